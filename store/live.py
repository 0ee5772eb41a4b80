"""What this machine knows of a queue beyond its log: how far its jobs are, what they print, where
that is, how far the log's copy is, and how long the same jobs took before. None of it is state."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from spawn.core.codec import decode
from spawn.core.exit import Exit
from spawn.core.moments import moment
from spawn.core.replay import Row
from spawn.core.report.model import Ending, Live, Replica
from spawn.core.report.progress import Progress, each_of, from_file, from_output, measured
from spawn.core.retry import TIMED_OUT
from spawn.core.state import JobState, QueueState
from spawn.store import lag, lock, output, queues, record
from spawn.store.files import regular
from spawn.store.identity import boot_id
from spawn.store.output import RAW
from spawn.store.paths import Roots

RECENT_LINES = 50
"""Lines of output that are searched for progress."""
EARLIER_LOGS = 8
EARLIER_SECONDS = 10.0
"""How long nobody asks whether the logs of other queues have grown."""
AGAIN_SECONDS = 60.0
"""How long a job that does not run, and whose log nothing seems to have happened to, is not looked
at: only a person can have moved its files."""
_PROGRESS_BYTES = 4096
_FIRSTS = 2
_SETTLED_NS = 2_500_000_000
"""A folder that was changed so lately may change again and show the same time: some file systems
count in steps of two seconds."""

Stamp = tuple[tuple[int, int, int] | None, ...]


class _Begun(Struct):
    """The first progress of an attempt, by which it is seen where the attempt began."""

    newest: Progress
    """As of the newest look."""
    first: list[Progress]

    def is_of(self, other: Progress) -> bool:
        """Whether it counts the same."""
        return (self.newest.label, self.newest.total) == (other.label, other.total)


class Lives:
    """Looks at a queue again and again; what cannot have changed is not looked at twice."""

    def __init__(self, roots: Roots, queue_id: str) -> None:
        self._roots = roots
        self._paths = roots.queue(queue_id)
        self._queue_id = queue_id
        self._seq = -1
        self._stamp: Stamp | None = None
        self._live: dict[str, Live] = {}
        self._all_at = float("-inf")
        self._begun: dict[str, _Begun] = {}
        """Of running attempts, by token."""
        self._first: tuple[int, datetime | None] = (-1, None)
        self._earlier: dict[str, float] = {}
        self._earlier_of: tuple[object, ...] = ()
        self._earlier_at = float("-inf")

    def jobs(self, state: QueueState, seq: int) -> Mapping[str, Live]:
        """Look at the jobs that ever ran.

        Args:
            seq: The newest event of that state.

        Returns:
            What there is to tell, by job id; not to be changed.
        """
        stamp, now = self._look_at_folders(), time.monotonic()
        jobs: Iterable[JobState] = state.jobs.values()
        live: dict[str, Live] = {}
        same = stamp is not None and (stamp, seq) == (self._stamp, self._seq)
        if same and now < self._all_at + AGAIN_SECONDS:
            jobs = [state.jobs[job_id] for job_id in state.running]
            live = self._live.copy()
        else:
            self._all_at = now
        self._stamp, self._seq = stamp, seq
        for job in jobs:
            if job.state == "running" or job.log_file:
                live[job.config.job_id] = self._look(job)
        self._live = live
        running = {state.jobs[job_id].token for job_id in state.running}
        self._begun = {token: each for token, each in self._begun.items() if token in running}
        return live

    def replica(self, seq: int, row: Callable[[int], Row | None]) -> Replica | None:
        """What the newest runner said of the log's copy, against the log.

        Args:
            seq: The log's newest event.
            row: Reads the first event after a seq.
        """
        hint = lag.find(self._paths.folder)
        if hint is None:
            return None
        behind = max(0, seq - hint.seq)
        since = moment(hint.since) if hint.since else None
        if behind:
            if self._first[0] != hint.seq:
                self._first = hint.seq, _at(row(hint.seq))
            since = self._first[1] or since
        return Replica(
            location=hint.location,
            behind=behind,
            since=since,
            trouble=hint.trouble,
            fence=hint.fence,
        )

    def endings(self, state: QueueState) -> dict[str, Ending]:
        """How running jobs of a queue without a runner ended that no runner has noticed, by job
        id. One whose supervisor still holds its lock goes on, and is left out."""
        restarted = _is_restarted(state)
        found = {}
        for job_id in state.running:
            job = state.jobs[job_id]
            folder = Path(job.folder)
            if not self._paths.has(job.folder) or not self._is_ours(job):
                continue  # it runs on another machine
            if restarted:
                found[job_id] = Ending(how="ended when the machine was restarted")
            elif not lock.is_held(folder / "lock"):
                found[job_id] = _ending(job, record.read(folder / "record", job.token))
        return found

    def earlier(self, state: QueueState) -> Mapping[str, float]:
        """How long the jobs of a queue that goes on took in earlier queues of this machine,
        seconds, by job id."""
        if state.state not in ("running", "pending"):
            return {}
        now = time.monotonic()
        if now < self._earlier_at + EARLIER_SECONDS:
            return self._earlier
        self._earlier_at = now
        others = [name for name in queues.names(self._roots) if name != self._queue_id]
        logs = [self._roots.queue(name).events for name in others[:EARLIER_LOGS]]
        key = (state.config_sha256, *(_signature(log) for log in logs))
        if key != self._earlier_of:
            from spawn.store.log.earlier import durations

            commands = {job_id: job.config.command for job_id, job in state.jobs.items()}
            self._earlier = durations(logs, commands)
            self._earlier_of = key
        return self._earlier

    def _look_at_folders(self) -> Stamp | None:
        """What tells that no log came, went, or was linked to; None where that cannot be told."""
        folders = self._roots.log, self._paths.log, self._paths.jobs
        stamp = tuple(_stamp(folder) for folder in folders)
        newest = max((each[2] for each in stamp if each is not None), default=0)
        return stamp if newest < time.time_ns() - _SETTLED_NS else None

    def _look(self, job: JobState) -> Live:
        shown, raw = self._shown(job)
        if job.state != "running":
            return Live(log_file=shown, raw_alone=raw)
        if not self._is_ours(job):
            return Live(log_file=shown)
        lines = output.recent(job, RECENT_LINES)
        progress = self._progress(job, lines) if job.folder else None
        return Live(progress=progress, recent=lines, log_file=shown, raw_alone=raw)

    def _progress(self, job: JobState, lines: tuple[str, ...]) -> Progress | None:
        """The newer of what the progress file and the output say, measured from where the attempt
        began."""
        printed = from_output([_bare(line) for line in lines])
        told = _told(Path(job.folder), newer_than_output=printed is not None)
        newest = told or printed
        if newest is None or newest.base or (told and job.attempt == 1):
            return newest
        begun = self._begun.get(job.token)
        if begun is None or not begun.is_of(newest):
            begun = self._begun[job.token] = _Begun(newest, [])
        elif begun.newest == newest:
            return measured(newest, begun.first)
        begun.newest = newest
        if len(begun.first) < _FIRSTS:
            # A file that is written over has no beginning: what was seen of it has to do.
            said = [newest] if told else each_of(map(_bare, output.beginning(job)))
            known = {each.fraction: each for each in begun.first}
            known |= {each.fraction: each for each in said if begun.is_of(each)}
            begun.first = list(known.values())[:_FIRSTS]
        return measured(newest, [*begun.first, newest])

    def _is_ours(self, job: JobState) -> bool:
        """Whether what a log names is in its queue's own folders: nothing else is read for it."""
        return (not job.folder or _inside(job.folder, self._paths.folder)) and (
            not job.log_file or _inside(job.log_file, self._paths.log)
        )

    def _shown(self, job: JobState) -> tuple[str, bool]:
        """The short path of a job's log, while it leads there: another queue may have taken it;
        else the raw output, where the log is not there; empty where nothing is. And whether the
        output is kept raw alone."""
        if not job.log_file:
            return "", False
        log = Path(job.log_file)
        short = self._roots.log / log.name
        with suppress(OSError):
            if short.is_symlink() and short.samefile(log):
                return str(short), False
        if output.is_there(log):
            return str(log), False
        raw = Path(job.folder) / RAW[0]
        return str(raw) if output.is_there(raw) else "", output.is_kept_raw_alone(job)


def _is_restarted(state: QueueState) -> bool:
    """Whether this machine was restarted since a runner began on it: no record of before then is
    true, because it was not flushed to disk."""
    owner = state.owner
    return owner is not None and owner.boot_id != "" and boot_id() not in ("", owner.boot_id)


def _ending(job: JobState, exit_: Exit | None) -> Ending:
    """How the attempt of a running job ended, once its lock is free."""
    if exit_ is None or not exit_.seen:
        return Ending(how="lost its supervisor, which left no record of its end")
    if not exit_.began:
        return Ending(how="has not begun: its runner stopped before")
    timed_out = exit_.stop == "timeout"
    code = None if job.pid in exit_.unended else exit_.exit_code
    return Ending(
        seconds=exit_.wall_seconds,
        exit_code=TIMED_OUT if timed_out else code,
        signal=exit_.signal,
        timed_out=timed_out,
    )


def _told(folder: Path, *, newer_than_output: bool) -> Progress | None:
    """What an attempt's progress file says.

    Args:
        newer_than_output: Whether it counts only where nothing was printed since.
    """
    try:
        with open(folder / "progress", "rb", opener=regular) as file:
            size = os.fstat(file.fileno()).st_size
            text = file.read(_PROGRESS_BYTES)
            if size > _PROGRESS_BYTES:
                file.seek(size - _PROGRESS_BYTES)
                text = text.rpartition(b"\n")[0] + b"\n" + file.read().partition(b"\n")[2]
            written = os.fstat(file.fileno()).st_mtime
        printed = max((folder / name).stat().st_mtime for name in RAW)
    except OSError:
        return None
    if newer_than_output and printed > written:
        return None
    return from_file(text.decode("utf-8", "replace"))


def _inside(path: str, folder: Path) -> bool:
    """Whether a path leads below a folder, whatever links are on the way."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _bare(line: str) -> str:
    """A line of a combined log without its time."""
    return line[11:] if line[:1] == "[" and line[9:11] == "] " else line


def _at(row: Row | None) -> datetime | None:
    """When an event happened."""
    event = None if row is None else decode(row[2], row[1])
    return None if event is None else moment(event.at)


def _signature(log: Path) -> tuple[object, ...]:
    """What tells that a log was not written to."""
    wal = log.with_name(log.name + "-wal")
    return str(log), *(
        None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
        for found in (_stat(log), _stat(wal))
    )


def _stamp(folder: Path) -> tuple[int, int, int] | None:
    found = _stat(folder)
    return None if found is None else (found.st_dev, found.st_ino, found.st_mtime_ns)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
