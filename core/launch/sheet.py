"""The words of a launch: what is there, what would be made, what keeps costing."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from spawn.core.launch.wanted import Wanted


class Part(Struct, frozen=True):
    """A thing that an instance needs. `made`: whether this launch makes it."""

    what: str
    name: str
    made: bool = False
    more: str = ""


class Sheet(Struct, frozen=True, kw_only=True):
    """All that a launch would make and run."""

    wanted: Wanted
    region: str
    queue_id: str
    location: str
    image: str
    architecture: str
    volume_gib: int
    parts: Sequence[Part]
    tags: dict[str, str]
    ttl_at: str | None = None
    resume: bool = False
    sent: str = ""
    """What would go through S3, and how much that is."""


def lines(sheet: Sheet) -> Iterator[str]:
    """What `--dry-run` prints."""
    wanted = sheet.wanted
    verb = "go on with" if sheet.resume else "run"
    yield f"Would {verb} queue {sheet.queue_id}, in {sheet.location}"
    kind = "spot, one-time" if wanted.spot else "on demand"
    yield f"Instance: {wanted.instance_type} ({sheet.architecture}, {kind}) in {sheet.region}"
    yield f"Image: {sheet.image}"
    yield f"Volume: {sheet.volume_gib} GiB gp3, encrypted, deleted with the instance"
    for part in sheet.parts:
        state = "would be made" if part.made else "is there"
        yield f"{part.what}: {part.name} {state}" + (f"; {part.more}" if part.more else "")
    if sheet.sent:
        yield f"Through S3: {sheet.sent}"
    if sheet.ttl_at:
        yield f"Stops: {sheet.ttl_at} at the latest, by this machine's clock"
    yield f"At the queue's end: {end(wanted)}"
    for key, value in sheet.tags.items():
        yield f"Tag: {key}={value}"


def end(wanted: Wanted) -> str:
    """What becomes of the instance."""
    if wanted.on_complete == "terminate":
        return "the instance and its volume are terminated"
    if wanted.on_complete == "stop":
        return "the instance is stopped; its volume stays, and costs"
    return "the instance stays, and costs"


def costs(wanted: Wanted, instance_id: str) -> str:
    """What keeps costing, and how it ends."""
    if wanted.on_complete == "terminate":
        return (
            f"EC2 charges for it until the queue has ended; `spawn terminate {instance_id}` ends "
            "it before"
        )
    if wanted.on_complete == "stop":
        return (
            "EC2 charges for it until the queue has ended, and for its volume after that; "
            f"`spawn terminate {instance_id}` ends both"
        )
    return (
        "EC2 charges for it while it runs, also after the queue has ended; "
        f"`spawn terminate {instance_id}` ends it"
    )
