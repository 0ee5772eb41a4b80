"""The checks before an instance is terminated, and the messages after it."""

import sys
from collections.abc import Iterator

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.copy_comparison import compare_copies
from spawn.cli.sources.instance_queue_location import TAG_QUEUE, TAG_RESULTS
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.reports.instance_loss import losses
from spawn.store.aws.ec2_instances import InstanceDescription
from spawn.store.aws.resource_names import parameter_name as parameter_of
from spawn.store.aws.tags import ENVIRONMENT, LAUNCH
from spawn.store.queue_dir.paths import Roots


def expect_queue_tag(found: InstanceDescription) -> None:
    """Check that an instance is tagged with a queue.

    Raises:
        SpawnError: The instance has no such tag.
    """
    if TAG_QUEUE not in found.tags:
        raise SpawnError(
            f"instance {found.instance_id} was not launched for a queue",
            why=f"it has no tag {TAG_QUEUE}",
            hint=f"`aws ec2 terminate-instances --region {found.region} --instance-ids "
            f"{found.instance_id}` terminates any instance",
        )


def expect_terminal() -> None:
    """Check that stdin is a terminal, for the confirmation prompt.

    Raises:
        InvalidArgument: stdin is not a terminal.
    """
    if not sys.stdin.isatty():
        raise InvalidArgument(
            "cannot ask for confirmation",
            why="stdin is not a terminal",
            hint="--yes skips the confirmation",
        )


def expect_no_data_loss(found: InstanceDescription, roots: Roots, where: LocationFlags) -> None:
    """Check that the instance holds the only copy of nothing.

    Raises:
        SpawnError: Data would be lost, or may be; the error names all of it.
    """
    lost = [
        each
        for copy in compare_copies(found, roots, where)
        for each in losses(copy, found.instance_id)
    ]
    if not lost:
        return
    todo = dict.fromkeys(each.hint for each in lost if each.hint)
    raise SpawnError(
        f"instance {found.instance_id} was not terminated",
        why="; ".join(each.what for each in lost),
        hint="; ".join([*todo, "`--force` terminates it anyway"]),
    )


def confirm(found: InstanceDescription, *, force: bool) -> bool:
    """Ask the user; anything but `y` or `yes` is no."""
    queue = found.tags.get(TAG_QUEUE, "")
    risk = ", losing everything that is not in S3" if force else ""
    question = f"Terminate {found.instance_id} (queue {queue}, {found.state}){risk}? [y/N] "
    from spawn.core.values.text import printable

    print(printable(question), end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip().lower() in ("y", "yes")


def delete_environment(found: InstanceDescription, profile: str | None) -> Iterator[str]:
    """Delete the instance's environment from SSM; yields what to tell the user."""
    name = found.tags.get(ENVIRONMENT, "")
    expected = parameter_of(found.tags.get(TAG_QUEUE, ""), found.tags.get(LAUNCH, ""))
    if not name or name != expected:  # a forged tag must not delete another parameter
        return
    from spawn.store.aws import parameter

    try:
        there = parameter.delete_by_name(name, found.region, profile)
    except SpawnError as error:
        yield (
            f"Warning: the jobs' environment is still in SSM: {error}; `aws ssm delete-parameter "
            f"--region {found.region} --name {name}` deletes it"
        )
    else:
        if not there:
            return
        yield f"Deleted the jobs' environment ({name}) from SSM"


def remaining_costs(found: InstanceDescription) -> Iterator[str]:
    """Messages about what remains and still costs money."""
    location = found.tags.get(TAG_RESULTS, "")
    if location:
        yield f"The log and results stay in {location} and are charged by S3"
    if found.spot_request and LAUNCH not in found.tags:  # a launch makes one-time requests
        yield (
            f"It came from spot request {found.spot_request}. A persistent request starts another "
            f"instance until `aws ec2 cancel-spot-instance-requests --region {found.region} "
            f"--spot-instance-request-ids {found.spot_request}` cancels it"
        )
    volumes = [each.volume_id for each in found.volumes if each.stays]
    if volumes:
        yield (
            f"These volumes remain and cost money until you delete them: {', '.join(volumes)} "
            f"(`aws ec2 delete-volume --region {found.region} --volume-id ID`)"
        )
