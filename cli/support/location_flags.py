"""The flags that locate a queue, shared by every command that reads one."""

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from typing import Any

import typer

from spawn.cli.flags import (
    Bucket,
    FromS3,
    Identity,
    LocationFlags,
    Prefix,
    Profile,
    Queue,
    Region,
    SshUser,
    typed_on_command_line,
)

_FLAGS: dict[str, tuple[Any, Any]] = {
    "queue": (Queue, None),
    "from_s3": (FromS3, False),
    "bucket": (Bucket, None),
    "prefix": (Prefix, None),
    "region": (Region, None),
    "profile": (Profile, None),
    "ssh_user": (SshUser, None),
    "identity": (Identity, None),
}


def with_location_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the location flags to a command, after its own; it receives them together as `where`."""

    @wraps(command)
    def with_where(context: typer.Context, **values: Any) -> None:
        flags = {name: values.pop(name) for name in _FLAGS}
        typed = typed_on_command_line(context, "bucket", "prefix")
        command(where=LocationFlags(**flags, place_typed=typed), **values)

    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.name != "where"]
    kind = Parameter.KEYWORD_ONLY
    parameters = [
        Parameter("context", kind, annotation=typer.Context),
        *(each.replace(kind=kind) for each in own),
        *(
            Parameter(name, kind, annotation=annotation, default=default)
            for name, (annotation, default) in _FLAGS.items()
        ),
    ]
    with_where.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_where.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_where
