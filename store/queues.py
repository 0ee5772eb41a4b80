"""The queues of this machine: find one, make room for one."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from spawn.core.errors import QueueNotFound, SpawnError
from spawn.store import lock
from spawn.store.durable import sync
from spawn.store.log import head
from spawn.store.paths import QueuePaths, Roots

_PRIVATE = 0o700
_ASIDE = re.compile(r"\.(fenced|damaged)-(\d+)(?:-(\d+))?$")

Cause = Literal["fenced", "damaged"]
"""Why a folder was put aside: another machine owns its queue, or its log could not be restored."""


class Aside(Struct, frozen=True):
    """A folder that was kept of a queue."""

    folder: Path
    cause: Cause
    epoch: int
    """Of the runner that owned the queue here."""

    @property
    def events(self) -> Path:
        """The event log as it was then."""
        return self.folder / "events.db"


def make(roots: Roots, queue_id: str) -> QueuePaths:
    """Make a queue's folder durably, if it is not there. It is its owner's alone.

    Raises:
        OSError: It cannot be made.
    """
    paths = roots.queue(queue_id)
    paths.folder.parent.mkdir(parents=True, exist_ok=True)
    paths.folder.mkdir(mode=_PRIVATE, exist_ok=True)
    for folder in (roots.state.parent, roots.state, roots.queues, paths.folder):
        sync(folder.parent)
    return paths


def close_to_others(paths: QueuePaths) -> None:
    """Make a queue's folder its owner's alone, should it have been made otherwise.

    The log has commands and what they printed last, and whoever could write a record or a request
    in it could forge how a job ended.
    """
    with suppress(PermissionError):  # a file system without modes of its own, as vfat
        if paths.folder.stat().st_mode & 0o077:
            paths.folder.chmod(_PRIVATE)


def names(roots: Roots) -> Iterator[str]:
    """The ids of the queues here that have an event log, or have lost it, newest first."""
    try:
        folders = list(roots.queues.iterdir())
    except OSError:
        return
    ages = []
    for folder in folders:
        if _ASIDE.search(folder.name):
            continue
        with suppress(OSError):
            if _has_log(folder / "events.db"):
                ages.append((_born(folder), folder.name))
    yield from (name for _, name in sorted(ages, reverse=True))


def put_aside(paths: QueuePaths, epoch: int, cause: Cause = "fenced") -> Path:
    """Rename the folder of a queue; returns its new path.

    Args:
        epoch: Of the runner that owned it here.
    """
    base = f"{paths.folder.name}.{cause}-{epoch}"
    kept = paths.folder.with_name(base)
    number = 1
    while kept.exists():
        number += 1
        kept = paths.folder.with_name(f"{base}-{number}")
    paths.folder.rename(kept)
    sync(kept.parent)
    return kept


def aside(roots: Roots, queue_id: str) -> list[Aside]:
    """The folders that were kept of a queue, oldest first."""
    found = []
    for folder in roots.queues.glob(f"{queue_id}.*-*"):  # an id has no wildcards
        named = _ASIDE.fullmatch(folder.name.removeprefix(queue_id))
        if named is not None:
            cause: Cause = "fenced" if named[1] == "fenced" else "damaged"
            found.append((int(named[2]), int(named[3] or 1), folder, cause))
    return [Aside(folder, cause, epoch) for epoch, _, folder, cause in sorted(found)]


def find(roots: Roots, queue_id: str) -> QueuePaths:
    """Find a queue that is here.

    Raises:
        QueueNotFound: It is not.
        SpawnError: It is another user's.
    """
    paths = roots.queue(queue_id)
    try:
        if _has_log(paths.events):
            return paths
    except PermissionError:
        raise SpawnError(
            f"queue {queue_id} is another user's",
            why=f"{paths.folder} is open to its owner alone",
            hint=f"run spawn as {_owner(paths.folder)}",
        ) from None
    if kept := [each for each in aside(roots, queue_id) if each.cause == "fenced"]:
        raise QueueNotFound(
            f"queue {queue_id} is not on this machine",
            why="somebody else took it over; what was here is kept in "
            f"{kept[-1].folder}, fenced in epoch {kept[-1].epoch}",
            hint=f"`spawn queue status {queue_id} --from-s3` shows how it went on, "
            f"`spawn queue resume {queue_id} --from-s3` takes it back",
        )
    raise QueueNotFound(
        f"queue {queue_id} is not on this machine",
        why=f"there is no log at {paths.events}",
        hint="`spawn queue list` shows the queues that are",
    )


def not_yet(queue_id: str, *, held: bool) -> QueueNotFound:
    """Say that a queue has a log here without an event.

    Args:
        held: Whether a runner has it.
    """
    if held:
        return QueueNotFound(
            f"queue {queue_id} was not submitted yet",
            why="its runner has only just begun, or waits for S3",
            hint="ask again in a moment",
        )
    return QueueNotFound(
        f"queue {queue_id} was not submitted",
        why="its log is empty, and no runner has it",
        hint="`spawn queue run FILE` submits it",
    )


def local(roots: Roots) -> tuple[str, list[str]]:
    """Choose the queue that `local` means: the one that runs, else the newest. One whose runner
    died before it submitted anything counts only where there is no other.

    Returns:
        Its id, and the ids of others that run too.

    Raises:
        QueueNotFound: There is none.
    """
    newest = list(names(roots))
    if not newest:
        raise QueueNotFound(
            "no queue was ever run on this machine",
            why=f"{roots.queues} has none",
            hint="`spawn queue run FILE` runs one",
        )
    running = [name for name in newest if lock.is_held(roots.queue(name).lock)]
    from spawn.store.log.read import is_empty  # sqlite3 costs 20 ms to import

    if running:
        chosen = running[0]
    else:
        chosen = next(
            (name for name in newest if not is_empty(roots.queue(name).events)), newest[0]
        )
    return chosen, [name for name in running if name != chosen]


def _has_log(events: Path) -> bool:
    """Whether a folder has an event log, or shows that it had one.

    Raises:
        PermissionError: It is another user's.
    """
    try:
        events.stat()
    except (FileNotFoundError, NotADirectoryError):
        return head.newest(events) > 0
    return True


def _owner(folder: Path) -> str:
    try:
        return f"the user {folder.owner()}"
    except KeyError:
        return f"the user {folder.stat().st_uid}"


def _born(folder: Path) -> float:
    """When a queue was made: its lock file is made once and never written."""
    try:
        return (folder / "runner.lock").stat().st_mtime
    except OSError:
        return folder.stat().st_mtime
