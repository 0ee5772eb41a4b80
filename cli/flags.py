"""Command-line flags that several commands share."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from msgspec import Struct

if TYPE_CHECKING:
    from spawn.core.values.ttl import Ttl as Time

RUN = "Run options"
S3 = "S3 options"
AWS = "AWS options"
SSH = "SSH options"


def option(
    flag: str, metavar: str, help_: str, envvar: str | None = None, *, group: str | None = None
) -> Any:
    """An option with a value and without a default in its help.

    Args:
        group: Heading of the group in the command's help; None: Options.
    """
    return typer.Option(
        flag,
        metavar=metavar,
        help=help_,
        envvar=envvar,
        show_default=False,
        rich_help_panel=group,
    )


def region_option(help_: str) -> Any:
    """`--region`, with the help text of a command."""
    return option("--region", "REGION", help_, "SPAWN_REGION", group=AWS)


QueueId = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE-ID",
        help="Queue ID, EC2 instance ID, or `local` for this machine's current queue.",
        show_default=False,
    ),
]
FromS3 = Annotated[
    bool,
    typer.Option(
        "--from-s3",
        help="Read the queue from S3, even if this machine or the instance has it.",
        rich_help_panel=S3,
    ),
]
Bucket = Annotated[
    str | None,
    option(
        "--bucket",
        "NAME",
        "Bucket for the log and results (default on EC2: spawn-results-<region>).",
        "SPAWN_BUCKET",
        group=S3,
    ),
]
Prefix = Annotated[
    str | None,
    option(
        "--prefix",
        "PREFIX",
        "Prefix of the queue in the bucket (default: the queue ID).",
        "SPAWN_PREFIX",
        group=S3,
    ),
]
Region = Annotated[str | None, region_option("AWS region of the bucket or the instance.")]
Profile = Annotated[
    str | None,
    option(
        "--profile",
        "NAME",
        "Profile of your AWS configuration to use.",
        "SPAWN_PROFILE",
        group=AWS,
    ),
]
InstanceId = Annotated[
    str,
    typer.Argument(
        metavar="INSTANCE",
        help="EC2 instance ID, such as i-0123456789abcdef0.",
        show_default=False,
    ),
]
InstanceRegion = Annotated[
    str | None,
    region_option("AWS region of the instance (default: the last known, else the configured one)."),
]
Json = Annotated[bool, typer.Option("--json", help="Output in JSON format.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only IDs, newest first.")]
Detach = Annotated[
    bool,
    typer.Option("--detach", "-d", help="Print the queue ID and exit; the queue keeps running."),
]
LeaveJobs = Annotated[
    bool,
    typer.Option(
        "--leave-jobs",
        help="When the queue is stopped, leave its running jobs to the next runner.",
        rich_help_panel=RUN,
    ),
]
At = Annotated[
    str | None,
    option(
        "--at",
        "TIME",
        "Show the queue as of a past time: `2026-01-27T15:04:05`, `15:04` (today), or `10m ago`.",
    ),
]
SshUser = Annotated[
    str | None,
    option(
        "--ssh-user",
        "NAME",
        "SSH user (default: the one set at launch or in your SSH configuration, else ec2-user).",
        "SPAWN_SSH_USER",
        group=SSH,
    ),
]
Identity = Annotated[
    str | None,
    option(
        "--identity",
        "FILE",
        "Private key for SSH, in addition to the keys that `ssh` uses.",
        "SPAWN_IDENTITY",
        group=SSH,
    ),
]
Queue = Annotated[
    str | None,
    option("--queue", "ID", "Queue to use when the target has several (or set SPAWN_QUEUE)."),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Start without checking ownership in S3.", rich_help_panel=S3),
]

Ttl = Annotated[
    str | None,
    option(
        "--ttl",
        "DURATION|MOMENT",
        "Stop the queue after a duration (`8h`) or at a time (`2026-01-27T22:00:00Z`); exit code "
        "143.",
        group=RUN,
    ),
]
OnComplete = Annotated[
    Literal["keep", "stop", "terminate"],
    typer.Option(
        "--on-complete",
        help="Power off this EC2 instance when the queue ends or --ttl expires, once everything is "
        "in S3. The instance's shutdown behavior decides whether it stops or terminates.",
        rich_help_panel=RUN,
    ),
]


def parse_ttl(text: str | None) -> "Time | None":
    """Parse the value of `--ttl`.

    Raises:
        InvalidArgument: The text is neither a duration nor a moment.
    """
    from spawn.core.errors import InvalidArgument
    from spawn.core.values.ttl import parse_ttl

    try:
        return None if text is None else parse_ttl(text)
    except ValueError as error:
        raise InvalidArgument(f"--ttl {text}: {error}") from None


def typed_on_command_line(context: typer.Context, *names: str) -> bool:
    """Whether any of these flags was typed, rather than set in the environment."""
    sources = (context.get_parameter_source(name) for name in names)
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


class LocationFlags(Struct, frozen=True, kw_only=True):
    """The location flags of a command: each field has the name of its flag, None if unset."""

    queue: str | None = None
    from_s3: bool = False
    bucket: str | None = None
    prefix: str | None = None
    region: str | None = None
    profile: str | None = None
    ssh_user: str | None = None
    identity: str | None = None
    place_typed: bool = True
    """Whether `bucket` or `prefix` was typed; values from the environment are only defaults."""
