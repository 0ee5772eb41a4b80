"""Flags that several commands share: where a queue is in S3, and as of when."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import Struct

if TYPE_CHECKING:
    from spawn.core.ttl import Ttl as Time

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
    typer.Option(
        "--bucket",
        metavar="NAME",
        help="The bucket of its log and results; on EC2 spawn-results-<region>.",
        envvar="SPAWN_BUCKET",
        show_default=False,
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix",
        metavar="PREFIX",
        help="Where in the bucket, instead of the queue's id.",
        envvar="SPAWN_PREFIX",
        show_default=False,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="REGION",
        help="The bucket's.",
        envvar="SPAWN_REGION",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Of the AWS configuration.",
        envvar="SPAWN_PROFILE",
        show_default=False,
    ),
]
InstanceId = Annotated[
    str, typer.Argument(metavar="INSTANCE", help="An instance's id.", show_default=False)
]
InstanceRegion = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="REGION",
        help="Where the instance is; else where it was, or the configured one.",
        envvar="SPAWN_REGION",
        show_default=False,
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="TIME",
        help="As it was then: `2026-01-27T15:04:05`, `15:04` today, or `10m ago`.",
        show_default=False,
    ),
]
SshUser = Annotated[
    str | None,
    typer.Option(
        "--ssh-user",
        metavar="NAME",
        help="Whom to log in as on an instance; ec2-user where nobody says.",
        envvar="SPAWN_SSH_USER",
        show_default=False,
    ),
]
Identity = Annotated[
    str | None,
    typer.Option(
        "--identity",
        metavar="FILE",
        help="The private key for an instance, beside those of ssh.",
        envvar="SPAWN_IDENTITY",
        show_default=False,
    ),
]
Queue = Annotated[
    str | None,
    typer.Option(
        "--queue",
        metavar="ID",
        help="Which one `local` or an instance means; SPAWN_QUEUE is read too.",
        show_default=False,
    ),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Begin though S3 cannot be asked whether the queue is ours."),
]

Ttl = Annotated[
    str | None,
    typer.Option(
        "--ttl",
        metavar="DURATION|MOMENT",
        help="Stop in good order after `8h`, or at `2026-01-27T22:00:00Z`; exit code 143.",
        show_default=False,
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
