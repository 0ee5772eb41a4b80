"""What comes before an instance is terminated, and what is said after it."""

import sys
from collections.abc import Iterator

from spawn.cli.flags import Where
from spawn.cli.sources.copies import copies
from spawn.cli.sources.whereabouts import TAG_QUEUE, TAG_RESULTS
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.launch.names import parameter as parameter_of
from spawn.core.launch.tags import ENVIRONMENT, LAUNCH
from spawn.core.safety import missing
from spawn.store.instances import Described
from spawn.store.paths import Roots


def expect_ours(found: Described) -> None:
    """See that an instance was launched for a queue.

    Raises:
        SpawnError: It was not, as far as its tags say.
    """
    if TAG_QUEUE not in found.tags:
        raise SpawnError(
            f"instance {found.instance_id} is not one of ours",
            why=f"it has no tag {TAG_QUEUE}",
            hint=f"`aws ec2 terminate-instances --region {found.region} --instance-ids "
            f"{found.instance_id}` ends any",
        )


def expect_somebody() -> None:
    """See that there is somebody to ask.

    Raises:
        InvalidArgument: There is not.
    """
    if not sys.stdin.isatty():
        raise InvalidArgument(
            "nobody can be asked whether to terminate it",
            why="stdin is not a terminal",
            hint="--yes answers for you",
        )


def expect_safe(found: Described, roots: Roots, where: Where) -> None:
    """See that nothing would be lost.

    Raises:
        SpawnError: Something would, or may be: all of it is named.
    """
    lost = [
        each for copy in copies(found, roots, where) for each in missing(copy, found.instance_id)
    ]
    if not lost:
        return
    todo = dict.fromkeys(each.do for each in lost if each.do)
    raise SpawnError(
        f"instance {found.instance_id} was not terminated",
        why="; ".join(each.what for each in lost),
        hint="; ".join([*todo, "`--force` terminates it all the same"]),
    )


def confirm(found: Described, *, force: bool) -> bool:
    """Ask the person; no answer is no."""
    queue = found.tags.get(TAG_QUEUE, "")
    risk = ", whatever is not in S3" if force else ""
    question = f"Terminate {found.instance_id} (queue {queue}, {found.state}){risk}? [y/N] "
    from spawn.cli.render.text import printable

    print(printable(question), end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip().lower() in ("y", "yes")


def forget(found: Described, profile: str | None) -> Iterator[str]:
    """Delete the environment that was kept for the instance alone, and say what became of it."""
    name = found.tags.get(ENVIRONMENT, "")
    ours = parameter_of(found.tags.get(TAG_QUEUE, ""), found.tags.get(LAUNCH, ""))
    if not name or name != ours:  # whoever tags an instance deletes no other parameter by it
        return
    from spawn.store.ec2 import parameter

    try:
        there = parameter.forget(name, found.region, profile)
    except SpawnError as error:
        yield (
            f"Warning: the jobs' environment stays in SSM: {error}; `aws ssm delete-parameter "
            f"--region {found.region} --name {name}` deletes it"
        )
    else:
        if not there:
            return
        yield f"The jobs' environment ({name}) was deleted from SSM"


def remains(found: Described) -> Iterator[str]:
    """What stays, and goes on to cost."""
    location = found.tags.get(TAG_RESULTS, "")
    if location:
        yield f"The log and results stay in {location}, which costs what S3 costs"
    if found.spot_request and LAUNCH not in found.tags:  # a launch's own is for one time
        yield (
            f"It came from spot request {found.spot_request}: a persistent one starts another "
            f"instance, until `aws ec2 cancel-spot-instance-requests --region {found.region} "
            f"--spot-instance-request-ids {found.spot_request}` ends it"
        )
    stay = [each.volume_id for each in found.volumes if each.stays]
    if stay:
        yield (
            f"These volumes stay, and cost, until somebody deletes them: {', '.join(stay)} "
            f"(`aws ec2 delete-volume --region {found.region} --volume-id ID`)"
        )
