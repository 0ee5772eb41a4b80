"""Restore a damaged log from its copy."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from spawn.core.errors import CorruptLog
from spawn.store.files import flush_to_disk
from spawn.store.log.head import note_path
from spawn.store.log.verify import gather_evidence, verify
from spawn.store.log.write import LogWriter
from spawn.store.objects.interface import SmallObjects
from spawn.store.replica.reconcile import reconcile


class NoCopy(CorruptLog):
    """There is no copy to restore a damaged log from."""


def rebuild(log: Path, queue_id: str, store: SmallObjects) -> tuple[int, Path]:
    """Restore a damaged log from its copy. The damaged log is kept beside it.

    The caller holds the queue's `runner.lock`. May be retried after any failure.

    Returns:
        The number of restored events, and the path of the damaged log.

    Raises:
        CorruptLog: The copy is damaged or missing, or lacks events that were in the log.
        StoreError: The store cannot be read.
    """
    known = gather_evidence(log)
    folder = log.with_name(".rebuild")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        restored = folder / log.name
        with LogWriter(restored) as writer:
            found = reconcile(store, queue_id, lambda _: iter(()), writer.adopt)
        if not found.seq:
            raise NoCopy(f"there is no copy at {store.location}")
        verify(restored, queue_id, known)
        kept = next(each for each in _backup_paths(log) if not each.exists())
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                log.with_name(log.name + suffix).rename(kept.with_name(kept.name + suffix))
        restored.rename(log)
        note_path(restored).rename(note_path(log))
        flush_to_disk(log.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found.seq, kept


def discard(log: Path) -> None:
    """Delete a log and the note of its newest event."""
    for name in (log.name, f"{log.name}-wal", f"{log.name}-shm", note_path(log).name):
        log.with_name(name).unlink(missing_ok=True)


def _backup_paths(log: Path) -> Iterator[Path]:
    number = 0
    while True:
        number += 1
        yield log.with_name(f"{log.name}.damaged-{number}")
