"""The queue folders of this machine: find, create and put aside."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from spawn.core.errors import QueueNotFound, SpawnError
from spawn.store.files import flush_to_disk
from spawn.store.log import head
from spawn.store.queue_dir import lock
from spawn.store.queue_dir.paths import QueuePaths, Roots

_PRIVATE = 0o700
_ASIDE = re.compile(r"\.(fenced|damaged)-(\d+)(?:-(\d+))?$")

Cause = Literal["fenced", "damaged"]
"""Why a folder was put aside: another machine owns the queue, or the log cannot be restored."""


class PutAsideFolder(Struct, frozen=True):
    """A folder of a queue that was put aside."""

    folder: Path
    cause: Cause
    epoch: int
    """Epoch of the runner that owned the queue here."""

    @property
    def events(self) -> Path:
        """The event log in the folder."""
        return self.folder / "events.db"


def create_folder(roots: Roots, queue_id: str) -> QueuePaths:
    """Create a queue's folder durably, with mode 0700, if it does not exist.

    Raises:
        OSError: The folder cannot be created.
    """
    paths = roots.queue(queue_id)
    paths.folder.parent.mkdir(parents=True, exist_ok=True)
    paths.folder.mkdir(mode=_PRIVATE, exist_ok=True)
    for folder in (roots.state.parent, roots.state, roots.queues, paths.folder):
        flush_to_disk(folder.parent)
    return paths


def restrict_access(paths: QueuePaths) -> None:
    """Set a queue's folder to mode 0700, if an earlier version created it with another mode.

    The log contains commands and output, and a user who can write a record or request can forge a
    job's outcome.
    """
    with suppress(PermissionError):  # some file systems, such as vfat, have no modes
        if paths.folder.stat().st_mode & 0o077:
            paths.folder.chmod(_PRIVATE)


def list_queue_ids(roots: Roots) -> Iterator[str]:
    """Yield the ids of the queues that have an event log, or have lost it, newest first."""
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
                ages.append((_created_at(folder), folder.name))
    yield from (name for _, name in sorted(ages, reverse=True))


def put_aside(paths: QueuePaths, epoch: int, cause: Cause = "fenced") -> Path:
    """Rename a queue's folder to `<queue>.<cause>-<epoch>`; return the new path.

    Args:
        epoch: Epoch of the runner that owned the queue here.
    """
    base = f"{paths.folder.name}.{cause}-{epoch}"
    kept = paths.folder.with_name(base)
    number = 1
    while kept.exists():
        number += 1
        kept = paths.folder.with_name(f"{base}-{number}")
    paths.folder.rename(kept)
    flush_to_disk(kept.parent)
    return kept


def list_put_aside(roots: Roots, queue_id: str) -> list[PutAsideFolder]:
    """Return the folders of a queue that were put aside, oldest first."""
    found = []
    for folder in roots.queues.glob(f"{queue_id}.*-*"):  # an id has no wildcards
        match = _ASIDE.fullmatch(folder.name.removeprefix(queue_id))
        if match is not None:
            cause: Cause = "fenced" if match[1] == "fenced" else "damaged"
            found.append((int(match[2]), int(match[3] or 1), folder, cause))
    return [PutAsideFolder(folder, cause, epoch) for epoch, _, folder, cause in sorted(found)]


def find_queue(roots: Roots, queue_id: str) -> QueuePaths:
    """Find a queue on this machine.

    Raises:
        QueueNotFound: The queue is not on this machine.
        SpawnError: The queue belongs to another user.
    """
    paths = roots.queue(queue_id)
    try:
        if _has_log(paths.events):
            return paths
    except PermissionError:
        raise SpawnError(
            f"queue {queue_id} belongs to another user",
            why=f"only its owner can access {paths.folder}",
            hint=f"run spawn as {_owner(paths.folder)}",
        ) from None
    if kept := [each for each in list_put_aside(roots, queue_id) if each.cause == "fenced"]:
        raise QueueNotFound(
            f"queue {queue_id} is not on this machine",
            why="another machine took it over; the old folder is "
            f"{kept[-1].folder}, fenced in epoch {kept[-1].epoch}",
            hint=f"`spawn queue status {queue_id} --from-s3` shows its current state, "
            f"`spawn queue resume {queue_id} --from-s3` takes it back",
            cause="absent",
        )
    raise QueueNotFound(
        f"queue {queue_id} is not on this machine",
        why=f"there is no log at {paths.events}",
        hint="`spawn queue list` lists the queues on this machine",
        cause="absent",
    )


def not_submitted(queue_id: str, *, held: bool) -> QueueNotFound:
    """Return the error for a queue whose log on this machine has no events.

    Args:
        held: Whether the queue has a live runner.
    """
    if held:
        return QueueNotFound(
            f"queue {queue_id} was not submitted yet",
            why="its runner has just started, or waits for S3",
            hint="retry in a moment",
            cause="starting",
        )
    return QueueNotFound(
        f"queue {queue_id} was not submitted",
        why="its log is empty, and it has no runner",
        hint="`spawn queue run FILE` submits it",
    )


def choose_local(roots: Roots) -> tuple[str, list[str]]:
    """Choose the queue that `choose_local` means: the running queue, else the newest.

    A queue whose runner died before the submission is chosen only if there is no other.

    Returns:
        The queue's id, and the ids of other running queues.

    Raises:
        QueueNotFound: There is no queue.
    """
    newest = list(list_queue_ids(roots))
    if not newest:
        raise QueueNotFound(
            "no queue was ever run on this machine",
            why=f"there is no queue in {roots.queues}",
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
    """Whether an event log exists, or was lost.

    Raises:
        PermissionError: The log belongs to another user.
    """
    try:
        events.stat()
    except (FileNotFoundError, NotADirectoryError):
        return head.newest_noted_seq(events) > 0
    return True


def _owner(folder: Path) -> str:
    try:
        return f"the user {folder.owner()}"
    except KeyError:
        return f"the user {folder.stat().st_uid}"


def _created_at(folder: Path) -> float:
    """Return when a queue was created: its lock file is never written after its creation."""
    try:
        return (folder / "runner.lock").stat().st_mtime
    except OSError:
        return folder.stat().st_mtime
