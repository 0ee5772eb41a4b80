"""The one place that knows what keeps the runner from its work at present."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from errno import EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC
from pathlib import Path
from threading import Lock

from msgspec import structs

from spawn.core.report.model import Trouble, TroubleKind
from spawn.core.why.advice import named

LEAST_BYTES = 256 * 1024
"""A disk with less room than this is full: an event and its index need some pages."""
_ROOM = "free some space, or some inodes, on its disk"
_PROCESSES = "end other processes, or raise the limit on processes (ulimit -u, pids.max)"
_FILES = "raise the limit on open files (ulimit -n)"
_HINTS = {
    ENOSPC: _ROOM,
    EDQUOT: _ROOM,
    EAGAIN: _PROCESSES,
    ENOMEM: "free some memory, or raise its limit",
    EMFILE: _FILES,
    ENFILE: _FILES,
}


class Troubles:
    """Notes troubles as they begin and end. From any thread.

    Args:
        keep: Takes all that are present, oldest first, whenever that changes.
        say: Receives user-facing warnings, a sentence each.
        now: The wall clock.
    """

    def __init__(
        self,
        keep: Callable[[Sequence[Trouble]], None],
        say: Callable[[str], None],
        now: Callable[[], datetime],
    ) -> None:
        self._keep = keep
        self._say = say
        self._now = now
        self._present: dict[tuple[TroubleKind, str], Trouble] = {}
        self._lock = Lock()

    def begin(
        self,
        kind: TroubleKind,
        what: str,
        *,
        about: str = "",
        why: str = "",
        hint: str = "",
        holds: bool = False,
        said: str = "",
    ) -> None:
        """Note a trouble, or that its cause has changed.

        Args:
            what: `{}` in it stands for the job.
            about: The job, where the trouble is one job's.
            holds: Whether jobs that are ready cannot start because of it.
            said: What is said aloud then, once; empty for nothing.
        """
        with self._lock:
            before = self._present.get((kind, about))
            trouble = Trouble(
                kind=kind,
                since=self._now() if before is None else before.since,
                what=what,
                why=why,
                hint=hint or _hint(why),
                holds=holds,
            )
            if trouble == before:
                return
            self._present[kind, about] = trouble
            self._keep(self._merged())
        if said:
            self._say(said)

    def end(self, kind: TroubleKind, about: str | None = None) -> None:
        """A trouble has passed; without `about` all of its kind have."""
        with self._lock:
            over = [key for key in self._present if key[0] == kind and about in (None, key[1])]
            for key in over:
                del self._present[key]
            if over:
                self._keep(self._merged())

    def present(self) -> list[Trouble]:
        """All that are present, oldest first."""
        with self._lock:
            return self._merged()

    def look_at_disks(self, folders: Iterable[Path]) -> None:
        """See whether a disk that the queue writes to is full."""
        for folder in folders:
            why = _full(folder)
            if why:
                self.begin(
                    "disk", f"the disk of {folder} is full", about=str(folder), why=why, hint=_ROOM
                )
            else:
                self.end("disk", str(folder))

    def _merged(self) -> list[Trouble]:
        """One for all jobs that have the same trouble for the same reason."""
        groups: dict[tuple[str, ...], tuple[Trouble, list[str]]] = {}
        for (kind, about), each in self._present.items():
            groups.setdefault((kind, each.what, each.why), (each, []))[1].append(about)
        return [
            structs.replace(first, what=first.what.replace("{}", named(jobs)))
            for first, jobs in groups.values()
        ]


def _hint(why: str) -> str:
    """What helps against an error of the system."""
    found = re.search(r"\[Errno (\d+)\]", why)
    return _HINTS.get(int(found[1]), "") if found else ""


def _full(folder: Path) -> str:
    """Why nothing can be written to a folder's disk; empty where it has room, or is not there."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    root = os.geteuid() == 0
    if (disk.f_bfree if root else disk.f_bavail) * disk.f_frsize < LEAST_BYTES:
        return "no space is left"
    if disk.f_files and not (disk.f_ffree if root else disk.f_favail):
        return "no inode is left"
    return ""
