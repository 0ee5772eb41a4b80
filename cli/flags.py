"""Flags that several commands share: where a queue is in S3."""

from typing import Annotated

import typer

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
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Begin though S3 cannot be asked whether the queue is ours."),
]


def typed(context: typer.Context, *names: str) -> bool:
    """Whether one of these flags was typed, and not just set in the environment."""
    sources = (context.get_parameter_source(name) for name in names)
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)
