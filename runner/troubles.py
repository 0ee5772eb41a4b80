"""Collects the problems that the runner has at present, for `status` and for warnings."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from errno import EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC
from pathlib import Path
from threading import Lock

from msgspec import structs

from spawn.core.reports.model import Trouble, TroubleKind
from spawn.core.reports.why.advice import join_ids

LEAST_BYTES = 256 * 1024
"""A disk with less free space counts as full: an event and its index need a few pages."""
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
    """Records troubles as they begin and end. Thread-safe.

    Args:
        keep: Receives all present troubles, oldest first, whenever they change.
        say: Receives user-facing warnings, one sentence each.
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
        warning: str = "",
    ) -> None:
        """Record a trouble, or a change of its cause.

        Args:
            what: Description; `{}` stands for the job.
            about: The job or folder that has the trouble; empty if it is the queue's.
            holds: Whether it keeps ready jobs from starting.
            said: The warning to give if the trouble is new or has changed; empty for none.
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
        if warning:
            self._say(warning)

    def end(self, kind: TroubleKind, about: str | None = None) -> None:
        """Remove a trouble; without `about`, all of this kind."""
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

    def check_disks(self, folders: Iterable[Path]) -> None:
        """Record a trouble for each folder whose disk is full, and end it for each other one."""
        for folder in folders:
            why = _full(folder)
            if why:
                self.begin(
                    "disk", f"the disk of {folder} is full", about=str(folder), why=why, hint=_ROOM
                )
            else:
                self.end("disk", str(folder))

    def _merged(self) -> list[Trouble]:
        """The troubles, with one entry for all jobs that have the same for the same reason."""
        groups: dict[tuple[str, ...], tuple[Trouble, list[str]]] = {}
        for (kind, about), each in self._present.items():
            groups.setdefault((kind, each.what, each.why), (each, []))[1].append(about)
        return [
            structs.replace(first, what=first.what.replace("{}", join_ids(jobs)))
            for first, jobs in groups.values()
        ]


def _hint(why: str) -> str:
    """The hint for an error text with a system error number; empty for none."""
    found = re.search(r"\[Errno (\d+)\]", why)
    return _HINTS.get(int(found[1]), "") if found else ""


def _full(folder: Path) -> str:
    """Why a folder's disk is full; empty if it is not, or if the folder does not exist."""
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
