"""Messages of a launch: existing and new resources, and continuing costs."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from spawn.store.aws.instance_request import InstanceRequest


class Resource(Struct, frozen=True):
    """A resource of an instance. `made`: whether this launch creates it."""

    what: str
    name: str
    is_new: bool = False
    note: str = ""


class LaunchPreview(Struct, frozen=True, kw_only=True):
    """Everything that a launch would create and start."""

    wanted: InstanceRequest
    region: str
    queue_id: str
    location: str
    image: str
    architecture: str
    volume_gib: int
    parts: Sequence[Resource]
    tags: dict[str, str]
    ttl_at: str | None = None
    resume: bool = False
    upload: str = ""
    """The files to upload, and their size."""


def preview_lines(sheet: LaunchPreview) -> Iterator[str]:
    """Return the lines that `--dry-run` prints."""
    wanted = sheet.wanted
    verb = "resume" if sheet.resume else "run"
    yield f"Would {verb} queue {sheet.queue_id} in {sheet.location}"
    kind = "spot, one-time" if wanted.spot else "on demand"
    yield f"Instance: {wanted.instance_type} ({sheet.architecture}, {kind}) in {sheet.region}"
    yield f"Image: {sheet.image}"
    yield f"Volume: {sheet.volume_gib} GiB gp3, encrypted, deleted with the instance"
    for part in sheet.parts:
        state = "would be created" if part.is_new else "exists"
        yield f"{part.what}: {part.name} {state}" + (f"; {part.note}" if part.note else "")
    if sheet.upload:
        yield f"Upload: {sheet.upload}"
    if sheet.ttl_at:
        yield f"Stops: {sheet.ttl_at} at the latest, by this machine's clock"
    yield f"At the queue's end: {end(wanted)}"
    for key, value in sheet.tags.items():
        yield f"Tag: {key}={value}"


def end(wanted: InstanceRequest) -> str:
    """Return what happens to the instance when its queue ends."""
    if wanted.on_complete == "terminate":
        return "the instance is terminated and its volume is deleted"
    if wanted.on_complete == "stop":
        return "the instance is stopped; EC2 still charges for its volume"
    return "the instance keeps running, and EC2 charges for it"


def cost_notice(wanted: InstanceRequest, instance_id: str) -> str:
    """Return until when EC2 charges for the instance, and how to end that."""
    if wanted.on_complete == "terminate":
        return (
            "EC2 charges for the instance until the queue ends; "
            f"to end it earlier, run `spawn terminate {instance_id}`"
        )
    if wanted.on_complete == "stop":
        return (
            "EC2 charges for the instance until the queue ends, and for its volume after that; "
            f"to delete both, run `spawn terminate {instance_id}`"
        )
    return (
        "EC2 charges for the instance while it runs, also after the queue ends; "
        f"to end it, run `spawn terminate {instance_id}`"
    )
