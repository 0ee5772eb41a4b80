"""Facts about a queue that only this machine has, in addition to the log: progress and output of
jobs, unrecorded outcomes, the replica's lag, and durations in earlier queues."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from spawn.core.domain.attempt_exit import AttemptExit
from spawn.core.domain.codec import decode
from spawn.core.domain.replay import Row
from spawn.core.domain.retry import TIMED_OUT
from spawn.core.domain.state import JobState, QueueState
from spawn.core.reports.model import LiveData, Replica, UnloggedEnd
from spawn.core.reports.progress import Progress, all_in, from_file, from_output, with_base
from spawn.core.values.timestamps import parse_timestamp
from spawn.store import queues
from spawn.store.files import open_regular
from spawn.store.identity import boot_id
from spawn.store.log import replica_progress
from spawn.store.queue_dir import lock, output, record
from spawn.store.queue_dir.output import RAW
from spawn.store.queue_dir.paths import Roots

RECENT_LINES = 50
"""Number of last output lines that are searched for progress."""
EARLIER_LOGS = 8
EARLIER_SECONDS = 10.0
"""Interval of checks whether the logs of other queues have grown."""
RECHECK_SECONDS = 60.0
"""Interval of checks of jobs that do not run and whose files seem unchanged: only a user can have
moved them."""
_PROGRESS_BYTES = 4096
_MAX_FIRST = 2
_SETTLED_NS = 2_500_000_000
"""Age from which a folder's time is reliable. Some file systems have a resolution of two seconds,
so a folder may change again without a new time."""

Stamp = tuple[tuple[int, int, int] | None, ...]


class _AttemptProgress(Struct):
    """The first progress values of an attempt, which show where it started."""

    newest: Progress
    """As of the last check."""
    first: list[Progress]

    def has_same_scale(self, other: Progress) -> bool:
        """Whether both have the same label and total."""
        return (self.newest.label, self.newest.total) == (other.label, other.total)


class LiveFactsReader:
    """Reads the live facts of one queue repeatedly; skips files that cannot have changed."""

    def __init__(self, roots: Roots, queue_id: str) -> None:
        self._roots = roots
        self._paths = roots.queue(queue_id)
        self._queue_id = queue_id
        self._seq = -1
        self._stamp: Stamp | None = None
        self._live: dict[str, LiveData] = {}
        self._all_checked_at = float("-inf")
        self._progress: dict[str, _AttemptProgress] = {}
        """Progress of running attempts, by token."""
        self._behind_since: tuple[int, datetime | None] = (-1, None)
        self._earlier: dict[str, float] = {}
        self._earlier_key: tuple[object, ...] = ()
        self._earlier_at = float("-inf")

    def jobs(self, state: QueueState, seq: int) -> Mapping[str, LiveData]:
        """Return the live facts of all jobs that ever ran, by job id. Do not modify the result.

        Args:
            seq: Newest event of `state`.
        """
        stamp, now = self._stamp_folders(), time.monotonic()
        jobs: Iterable[JobState] = state.jobs.values()
        live: dict[str, LiveData] = {}
        same = stamp is not None and (stamp, seq) == (self._stamp, self._seq)
        if same and now < self._all_checked_at + RECHECK_SECONDS:
            jobs = [state.jobs[job_id] for job_id in state.running]
            live = self._live.copy()
        else:
            self._all_checked_at = now
        self._stamp, self._seq = stamp, seq
        for job in jobs:
            if job.state == "running" or job.log_file:
                live[job.config.job_id] = self._read_job(job)
        self._live = live
        running = {state.jobs[job_id].token for job_id in state.running}
        self._progress = {token: each for token, each in self._progress.items() if token in running}
        return live

    def replica(self, seq: int, row: Callable[[int], Row | None]) -> Replica | None:
        """Return the replica's lag from the newest runner's hint and the log; None without a hint.

        Args:
            seq: Newest event of the log.
            row: Reads the first event after a seq.
        """
        hint = replica_progress.load_progress(self._paths.folder)
        if hint is None:
            return None
        behind = max(0, seq - hint.seq)
        since = parse_timestamp(hint.since) if hint.since else None
        if behind:
            if self._behind_since[0] != hint.seq:
                self._behind_since = hint.seq, _event_time(row(hint.seq))
            since = self._behind_since[1] or since
        return Replica(
            location=hint.location,
            behind=behind,
            since=since,
            trouble=hint.trouble,
            fence=hint.fence,
        )

    def endings(self, state: QueueState) -> dict[str, UnloggedEnd]:
        """Return the outcomes that no runner has recorded, by job id.

        Call it only without a live runner. A job whose supervisor still holds its lock is running,
        and is omitted.
        """
        restarted = _is_restarted(state)
        found = {}
        for job_id in state.running:
            job = state.jobs[job_id]
            folder = Path(job.folder)
            if not self._paths.has(job.folder) or not self._is_local(job):
                continue  # the job runs on another machine
            if restarted:
                found[job_id] = UnloggedEnd(how="ended when the machine was restarted")
            elif not lock.is_held(folder / "lock"):
                found[job_id] = _ending(job, record.read(folder / "record", job.token))
        return found

    def earlier(self, state: QueueState) -> Mapping[str, float]:
        """Return the durations of the jobs in earlier queues of this machine, in seconds by job id;
        empty unless the queue is pending or running."""
        if state.state not in ("running", "pending"):
            return {}
        now = time.monotonic()
        if now < self._earlier_at + EARLIER_SECONDS:
            return self._earlier
        self._earlier_at = now
        others = [name for name in queues.list_queue_ids(self._roots) if name != self._queue_id]
        logs = [self._roots.queue(name).events for name in others[:EARLIER_LOGS]]
        key = (state.config_sha256, *(_signature(log) for log in logs))
        if key != self._earlier_key:
            from spawn.store.log.past_durations import past_durations

            commands = {job_id: job.config.command for job_id, job in state.jobs.items()}
            self._earlier = past_durations(logs, commands)
            self._earlier_key = key
        return self._earlier

    def _stamp_folders(self) -> Stamp | None:
        """Return values that change when a log is created, removed or linked; None if they are not
        reliable yet."""
        folders = self._roots.log, self._paths.log, self._paths.jobs
        stamp = tuple(_stamp(folder) for folder in folders)
        newest = max((each[2] for each in stamp if each is not None), default=0)
        return stamp if newest < time.time_ns() - _SETTLED_NS else None

    def _read_job(self, job: JobState) -> LiveData:
        log_file, raw = self._find_log(job)
        if job.state != "running":
            return LiveData(log_file=log_file, raw_alone=raw)
        if not self._is_local(job):
            return LiveData(log_file=log_file)
        lines = output.last_lines(job, RECENT_LINES)
        progress = self._read_progress(job, lines) if job.folder else None
        return LiveData(progress=progress, recent=lines, log_file=log_file, raw_alone=raw)

    def _read_progress(self, job: JobState, lines: tuple[str, ...]) -> Progress | None:
        """Return the newer progress of the progress file and the output, measured from the
        attempt's start."""
        printed = from_output([_without_time(line) for line in lines])
        in_file = _progress_file(Path(job.folder), newer_than_output=printed is not None)
        newest = in_file or printed
        if newest is None or newest.base or (in_file and job.attempt == 1):
            return newest
        seen = self._progress.get(job.token)
        if seen is None or not seen.has_same_scale(newest):
            seen = self._progress[job.token] = _AttemptProgress(newest, [])
        elif seen.newest == newest:
            return with_base(newest, seen.first)
        seen.newest = newest
        if len(seen.first) < _MAX_FIRST:
            # The file is overwritten, so its first value is the first that was read.
            values = [newest] if in_file else all_in(map(_without_time, output.beginning(job)))
            known = {each.fraction: each for each in seen.first}
            known |= {each.fraction: each for each in values if seen.has_same_scale(each)}
            seen.first = list(known.values())[:_MAX_FIRST]
        return with_base(newest, [*seen.first, newest])

    def _is_local(self, job: JobState) -> bool:
        """Whether the job's paths are in the queue's own folders. Other paths are never read."""
        return (not job.folder or _inside(job.folder, self._paths.folder)) and (
            not job.log_file or _inside(job.log_file, self._paths.log)
        )

    def _find_log(self, job: JobState) -> tuple[str, bool]:
        """Return the path of the job's output, or an empty string, and whether it is only raw.

        It is the short link if it leads to the job's log (another queue may have taken it), else
        the log, else the raw output.
        """
        if not job.log_file:
            return "", False
        log = Path(job.log_file)
        short = self._roots.log / log.name
        with suppress(OSError):
            if short.is_symlink() and short.samefile(log):
                return str(short), False
        if output.is_accessible(log):
            return str(log), False
        raw = Path(job.folder) / RAW[0]
        return str(raw) if output.is_accessible(raw) else "", output.is_kept_raw_alone(job)


def _is_restarted(state: QueueState) -> bool:
    """Whether this machine was restarted since the owner's start.

    Records from before a restart are not trusted, because they are not flushed to disk.
    """
    owner = state.owner
    return owner is not None and owner.boot_id != "" and boot_id() not in ("", owner.boot_id)


def _ending(job: JobState, exit_: AttemptExit | None) -> UnloggedEnd:
    """Return the outcome of an attempt whose lock is free."""
    if exit_ is None or not exit_.observed:
        return UnloggedEnd(how="lost its supervisor, which left no record of the exit")
    if not exit_.started:
        return UnloggedEnd(how="has not started: its runner stopped first")
    timed_out = exit_.stop == "timeout"
    code = None if job.pid in exit_.unended else exit_.exit_code
    return UnloggedEnd(
        seconds=exit_.wall_seconds,
        exit_code=TIMED_OUT if timed_out else code,
        signal=exit_.signal,
        timed_out=timed_out,
    )


def _progress_file(folder: Path, *, newer_than_output: bool) -> Progress | None:
    """Read an attempt's progress file.

    Args:
        newer_than_output: Return None if output was written after the file.
    """
    try:
        with open(folder / "progress", "rb", opener=open_regular) as file:
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
    """Whether a path is below a folder after all links are resolved."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _without_time(line: str) -> str:
    """Remove the time of a combined log's line."""
    return line[11:] if line[:1] == "[" and line[9:11] == "] " else line


def _event_time(row: Row | None) -> datetime | None:
    event = None if row is None else decode(row[2], row[1])
    return None if event is None else parse_timestamp(event.at)


def _signature(log: Path) -> tuple[object, ...]:
    """Return values that change whenever a log is written."""
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
