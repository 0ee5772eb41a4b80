"""The flags and files of a launch, validated before any request is sent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from spawn.core.config import string_rules
from spawn.core.config.model import QueueConfig
from spawn.core.errors import InvalidArgument
from spawn.core.values.durations import parse_duration as duration
from spawn.core.values.ids import why_not_queue_id
from spawn.core.values.timestamps import format_timestamp
from spawn.store.aws.boot import environment_file
from spawn.store.aws.instance_request import InstanceRequest
from spawn.store.objects.interface import AccessDenied


class LaunchRequest(Struct, frozen=True, kw_only=True):
    """What the user asks for: the validated flags and files."""

    wanted: InstanceRequest
    config: bytes = b""
    """The bytes of the configuration file; empty with `--resume`."""
    parsed: QueueConfig | None = None
    queue_id: str | None = None
    """None: generate one from the current time."""
    resume: bool = False
    retry_failed: bool = False
    force: bool = False
    bucket: str | None = None
    prefix: str | None = None
    region: str | None = None
    profile: str | None = None
    typed: bool = False
    """Whether `bucket` or `prefix` was typed."""
    environment: str = ""
    """The text of `--env-file`."""
    sync: Path | None = None
    setup: Path | None = None
    ttl_at: str | None = None
    """When the queue stops; a stamp."""


def read_environment(file: Path | None) -> str:
    """Read the file of `--env-file`; empty without one.

    Raises:
        InvalidArgument: The file cannot be read, or its content is invalid.
    """
    if file is None:
        return ""
    return environment_file.check_environment(_read(file, "--env-file"), str(file))


def _read(file: Path, flag: str) -> bytes:
    """Read the file of a flag.

    Raises:
        InvalidArgument: The file cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidArgument(
            f"{flag} {file} cannot be read", why=error.strerror or str(error)
        ) from None


def check_sync_folder(path: Path | None) -> Path | None:
    """Check that the path of `--sync` is a readable folder, and return it.

    Raises:
        InvalidArgument: It is not.
    """
    if path is not None and not (path.is_dir() and os.access(path, os.R_OK | os.X_OK)):
        raise InvalidArgument(f"--sync {path} is not a readable folder")
    return path


def check_setup_script(path: Path | None) -> Path | None:
    """Check that the file of `--setup` starts with a `#!` line that Linux accepts.

    Raises:
        InvalidArgument: It does not.
    """
    if path is None:
        return None
    first = _read(path, "--setup").partition(b"\n")[0]
    if not first.startswith(b"#!"):
        raise InvalidArgument(
            f"--setup {path} cannot be run",
            why="it does not start with #!",
            hint="add the interpreter as the first line: #!/bin/bash",
        )
    if first.endswith(b"\r"):
        raise InvalidArgument(
            f"--setup {path} cannot be run",
            why="it has Windows line endings (CR LF), so its interpreter would not be found",
            hint="convert it to LF line endings, for example with `dos2unix`",
        )
    return path


def ttl_deadline(ttl: str | None, now: datetime) -> str | None:
    """The stamp of the moment at which the queue stops.

    Raises:
        InvalidArgument: `ttl` is not a duration, or shorter than an instance takes to boot.
    """
    if ttl is None:
        return None
    try:
        seconds = duration(ttl)
    except ValueError as error:
        raise InvalidArgument(f"--ttl {ttl}: {error}") from None
    if seconds < _MIN_TTL_SECONDS:
        raise InvalidArgument(
            f"--ttl {ttl} is too short",
            why="it counts from now, and an instance takes minutes to boot",
            hint="use at least 5m, for example --ttl 8h",
        )
    return format_timestamp(now + timedelta(seconds=seconds))


def check_prefix(prefix: str | None) -> str | None:
    """Check the value of `--prefix`, and return it.

    Raises:
        InvalidArgument: The prefix is invalid.
    """
    wrong = None if prefix is None else string_rules.check_prefix(prefix.strip("/"))
    if wrong is not None:
        raise InvalidArgument(f"--prefix: {wrong[0]}", hint=wrong[1])
    return prefix


def check_queue_id(name: str | None) -> str | None:
    """Check a queue id, and return it.

    Raises:
        InvalidArgument: The id is invalid.
    """
    why = None if name is None else why_not_queue_id(name)
    if why is not None:
        raise InvalidArgument(f"'{name}' cannot be a queue id", why=why)
    return name


_MIN_TTL_SECONDS = 300.0


@contextmanager
def requires_permissions(*actions: str) -> Iterator[None]:
    """Add the permissions that the block requires to the error when a request is denied."""
    try:
        yield
    except AccessDenied as error:
        raise error.with_why(f"this requires {' and '.join(actions)}") from error
