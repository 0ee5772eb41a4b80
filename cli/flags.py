"""Flags that several commands share: where a queue is in S3, and as of when."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from msgspec import Struct

if TYPE_CHECKING:
    from spawn.core.ttl import Ttl as Time


def option(flag: str, metavar: str, help_: str, envvar: str | None = None) -> Any:
    """A flag whose value has no default to show."""
    return typer.Option(flag, metavar=metavar, help=help_, envvar=envvar, show_default=False)


def region_option(help_: str) -> Any:
    """`--region`, of whatever."""
    return option("--region", "REGION", help_, "SPAWN_REGION")


QueueId = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE-ID", help="A queue id, `local`, or an instance id.", show_default=False
    ),
]
FromS3 = Annotated[
    bool,
    typer.Option("--from-s3", help="Read its log in S3, also where this machine has one."),
]
Bucket = Annotated[
    str | None,
    option(
        "--bucket",
        "NAME",
        "The bucket of its log and results; on EC2 spawn-results-<region>.",
        "SPAWN_BUCKET",
    ),
]
Prefix = Annotated[
    str | None,
    option("--prefix", "PREFIX", "Where in the bucket, instead of the queue's id.", "SPAWN_PREFIX"),
]
Region = Annotated[str | None, region_option("The bucket's.")]
Profile = Annotated[
    str | None, option("--profile", "NAME", "Of the AWS configuration.", "SPAWN_PROFILE")
]
InstanceId = Annotated[
    str, typer.Argument(metavar="INSTANCE", help="An instance's id.", show_default=False)
]
InstanceRegion = Annotated[
    str | None, region_option("Where the instance is; else where it was, or the configured one.")
]
Json = Annotated[bool, typer.Option("--json", help="Output in JSON format.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only ids, newest first.")]
Detach = Annotated[
    bool, typer.Option("--detach", "-d", help="Print the queue's id and leave it running.")
]
LeaveJobs = Annotated[
    bool, typer.Option("--leave-jobs", help="A stop leaves running jobs to the next runner.")
]
At = Annotated[
    str | None,
    option("--at", "TIME", "As it was then: `2026-01-27T15:04:05`, `15:04` today, or `10m ago`."),
]
SshUser = Annotated[
    str | None,
    option(
        "--ssh-user",
        "NAME",
        "Whom to log in as on an instance; ec2-user where nobody says.",
        "SPAWN_SSH_USER",
    ),
]
Identity = Annotated[
    str | None,
    option(
        "--identity",
        "FILE",
        "The private key for an instance, beside those of ssh.",
        "SPAWN_IDENTITY",
    ),
]
Queue = Annotated[
    str | None,
    option("--queue", "ID", "Which one `local` or an instance means; SPAWN_QUEUE is read too."),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Begin though S3 cannot be asked whether the queue is ours."),
]

Ttl = Annotated[
    str | None,
    option(
        "--ttl",
        "DURATION|MOMENT",
        "Stop in good order after `8h`, or at `2026-01-27T22:00:00Z`; exit code 143.",
    ),
]
OnComplete = Annotated[
    Literal["keep", "stop", "terminate"],
    typer.Option(
        "--on-complete",
        help="Power this EC2 instance off at the queue's end, failed or not, or after --ttl, once "
        "all is in S3. Its shutdown behavior says whether it is stopped or terminated then.",
    ),
]


def ttl_of(text: str | None) -> "Time | None":
    """Read `--ttl`.

    Raises:
        InvalidArgument: It is neither a duration nor a moment.
    """
    from spawn.core.errors import InvalidArgument
    from spawn.core.ttl import parse

    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise InvalidArgument(f"--ttl {text}: {error}") from None


def typed(context: typer.Context, *names: str) -> bool:
    """Whether one of these flags was typed, and not just set in the environment."""
    sources = (context.get_parameter_source(name) for name in names)
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


class Where(Struct, frozen=True, kw_only=True):
    """Where to look for a queue, as far as somebody said. Named as the flags are."""

    queue: str | None = None
    """Which of several: of this machine, or of an instance."""
    from_s3: bool = False
    bucket: str | None = None
    prefix: str | None = None
    region: str | None = None
    profile: str | None = None
    ssh_user: str | None = None
    identity: str | None = None
    typed: bool = True
    """Whether bucket or prefix were typed: those of the environment are but defaults."""
