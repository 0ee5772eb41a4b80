"""What was typed, read and judged before anybody is asked."""

import os
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from spawn.core.boot import environment
from spawn.core.config import rules
from spawn.core.config.model import QueueConfig
from spawn.core.durations import parse as duration
from spawn.core.errors import InvalidArgument
from spawn.core.ids import why_not_queue_id
from spawn.core.launch.wanted import Wanted
from spawn.core.moments import stamp


class Order(Struct, frozen=True, kw_only=True):
    """A launch, as far as it can be known without asking."""

    wanted: Wanted
    config: bytes = b""
    """The configuration's file, as it is; empty when a queue is gone on with."""
    parsed: QueueConfig | None = None
    queue_id: str | None = None
    """None: one of this second."""
    resume: bool = False
    retry_failed: bool = False
    force: bool = False
    bucket: str | None = None
    prefix: str | None = None
    region: str | None = None
    profile: str | None = None
    typed: bool = False
    """Whether bucket or prefix were typed."""
    environment: str = ""
    """The text of `--env-file`."""
    sync: Path | None = None
    setup: Path | None = None
    ttl_at: str | None = None


def environment_of(file: Path | None) -> str:
    """Read `--env-file`.

    Raises:
        InvalidArgument: It cannot be read, or is none.
    """
    if file is None:
        return ""
    return environment.check(read(file, "--env-file"), str(file))


def read(file: Path, flag: str) -> bytes:
    """Read a file that a flag names.

    Raises:
        InvalidArgument: It cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidArgument(
            f"{flag} {file} cannot be read", why=error.strerror or str(error)
        ) from None


def folder(path: Path | None) -> Path | None:
    """See that `--sync` names a folder.

    Raises:
        InvalidArgument: It does not.
    """
    if path is not None and not (path.is_dir() and os.access(path, os.R_OK | os.X_OK)):
        raise InvalidArgument(f"--sync {path} is no folder that can be read")
    return path


def script(path: Path | None) -> Path | None:
    """See that `--setup` names a program with its `#!`, which Linux understands.

    Raises:
        InvalidArgument: It does not.
    """
    if path is None:
        return None
    first = read(path, "--setup").partition(b"\n")[0]
    if not first.startswith(b"#!"):
        raise InvalidArgument(
            f"--setup {path} cannot be run",
            why="it does not begin with #!",
            hint="its first line names what runs it: #!/bin/bash",
        )
    if first.endswith(b"\r"):
        raise InvalidArgument(
            f"--setup {path} cannot be run",
            why="its lines end as on Windows, with CR and LF: no program has such a name",
            hint="save it with LF alone, as `dos2unix` does",
        )
    return path


def until(ttl: str | None, now: datetime) -> str | None:
    """The moment at which a queue stops.

    Raises:
        InvalidArgument: It is no duration, or too short to be meant.
    """
    if ttl is None:
        return None
    try:
        seconds = duration(ttl)
    except ValueError as error:
        raise InvalidArgument(f"--ttl {ttl}: {error}") from None
    if seconds < _LEAST_SECONDS:
        raise InvalidArgument(
            f"--ttl {ttl} is too short",
            why="it counts from now, and an instance takes minutes to begin",
            hint="--ttl 8h",
        )
    return stamp(now + timedelta(seconds=seconds))


def place_in_bucket(prefix: str | None) -> str | None:
    """See that `--prefix` can be one.

    Raises:
        InvalidArgument: It cannot.
    """
    wrong = None if prefix is None else rules.prefix(prefix.strip("/"))
    if wrong is not None:
        raise InvalidArgument(f"--prefix: {wrong[0]}", hint=wrong[1])
    return prefix


def chosen_id(name: str | None) -> str | None:
    """See that a queue's id can be one.

    Raises:
        InvalidArgument: It cannot.
    """
    why = None if name is None else why_not_queue_id(name)
    if why is not None:
        raise InvalidArgument(f"'{name}' cannot be a queue id", why=why)
    return name


_LEAST_SECONDS = 300.0
