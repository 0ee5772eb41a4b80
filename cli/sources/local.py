"""A queue of this machine, read from its own log."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spawn.core.codec import decode
from spawn.core.errors import QueueNotFound
from spawn.core.events import Data, Event
from spawn.core.moments import moment
from spawn.core.replay import Replay, Row
from spawn.core.report.build import build
from spawn.core.report.model import Live, Replica, Report
from spawn.core.report.progress import Progress, from_file, from_output
from spawn.core.state import JobState, QueueState
from spawn.store import lag, lock, output, queues
from spawn.store.log import read
from spawn.store.output import RAW
from spawn.store.paths import Roots

if TYPE_CHECKING:
    from spawn.cli.sources.output import Attempt, Stream
    from spawn.store.objects.port import ObjectStore

RECENT_LINES = 50
"""Lines of output that are searched for progress."""


class LocalQueue:
    """Reads a queue's log as it grows, and looks at its jobs' files. Use it in a `with`.

    Args:
        region: Of the bucket of its results, instead of the one that the log says.
        profile: Of the AWS configuration, to ask for them.

    Raises:
        QueueNotFound: The queue is not here.
    """

    poll_seconds = 0.5

    def __init__(
        self,
        roots: Roots,
        queue_id: str,
        *,
        region: str | None = None,
        profile: str | None = None,
    ) -> None:
        self.queue_id = queue_id
        self._roots = roots
        self._region = region
        self._profile = profile
        self.paths = queues.find(roots, queue_id)
        self._replay = Replay(queue_id)
        self._open = ExitStack()
        self._connection: sqlite3.Connection | None = None
        self._earlier: dict[str, float] | None = None

    def __enter__(self) -> Self:
        self._connection = self._open.enter_context(read.opened(self.paths.events))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._open.__exit__(kind, error, traceback)  # names what SQLite says

    @property
    def state(self) -> QueueState:
        """The state as of the newest `refresh`."""
        return self._replay.state

    @property
    def seq(self) -> int:
        """The newest event of that state."""
        return self._replay.seq

    def refresh(self, *, until: str | None = None) -> None:
        """Fold what the log has gained.

        Args:
            until: A stamp; events after it are left out.

        Raises:
            QueueNotFound: The log has no event (up to then).
            CorruptLog: With the first event that is wrong.
        """
        assert self._connection is not None, "use LocalQueue in a with"
        self._replay.feed(read.rows(self._connection, self._replay.seq), until=until)
        if self._replay.empty:
            when = " at that time" if until else " yet"
            raise QueueNotFound(f"queue {self.queue_id} was not submitted{when}")

    def follow(self) -> list[Event[Data]]:
        """Fold what the log has gained, and return those events."""
        assert self._connection is not None, "use LocalQueue in a with"
        rows = list(read.rows(self._connection, self._replay.seq))
        self._replay.feed(rows)
        events = (decode(line, type_) for _, type_, line, _ in rows)
        return [event for event in events if event is not None]

    def rows(self) -> Iterator[Row]:
        """Every event as the log holds it, in order."""
        assert self._connection is not None, "use LocalQueue in a with"
        return read.rows(self._connection)

    def attempts(self, job_id: str) -> "list[Attempt]":
        """The attempts of a job that ever ran, oldest first."""
        from spawn.cli.sources.output import attempts

        with read.opened(self.paths.events) as connection:
            return attempts(read.rows(connection), job_id)

    def output(self, attempt: "Attempt", name: str) -> "Stream":
        """One stream of an attempt: where it was written, else the copy in the object store.

        Raises:
            SpawnError: Its bytes are gone.
        """
        from spawn.cli.sources.output import FileStream, StoredStream

        try:
            return FileStream(attempt.folder / name)
        except (FileNotFoundError, NotADirectoryError):
            stored = StoredStream(self.objects(), attempt, name)
            stored.expect()
            return stored

    def objects(self) -> "ObjectStore":
        """The object store of its results: the one that the log names, else a folder here."""
        from spawn.store.place import Place, open_place, parse

        state = self.state
        prefix = (state.config.result_s3_prefix or self.queue_id).strip("/")
        place = Place(prefix=prefix)
        if state.owner is not None and (at := parse(state.owner.results_location)) is not None:
            region = self._region or state.owner.region
            place = Place(bucket=at[0], prefix=at[1], region=region, profile=self._profile)
        return open_place(place, self._roots.objects)

    def runner_alive(self) -> bool:
        """Whether a runner holds the queue."""
        return lock.is_held(self.paths.lock)

    def report(self, now: datetime, *, past: bool = False) -> Report:
        """Report the queue.

        Args:
            past: `now` is long ago: what the machine says of jobs today does not count.
        """
        state = self.state
        if past:
            return build(state, now)
        return build(
            state,
            now,
            live=self._live(state),
            earlier=self._durations(state),
            runner_alive=self.runner_alive() if not state.ended else None,
            replica=self._replica(),
        )

    def _replica(self) -> Replica | None:
        """What the newest runner said of the log's copy, against the log."""
        hint = lag.find(self.paths.folder)
        if hint is None:
            return None
        behind = max(0, self._replay.seq - hint.seq)
        since = moment(hint.since) if hint.since else None
        if behind:
            assert self._connection is not None
            _, type_, line, _ = next(iter(read.rows(self._connection, hint.seq)))
            first = decode(line, type_)
            since = since if first is None else moment(first.at)
        return Replica(
            location=hint.location,
            behind=behind,
            since=since,
            trouble=hint.trouble,
            fence=hint.fence,
        )

    def _live(self, state: QueueState) -> Mapping[str, Live]:
        return {
            job_id: self._look(job)
            for job_id, job in state.jobs.items()
            if job.state == "running" or job.log_file
        }

    def _look(self, job: JobState) -> Live:
        shown = self._shown(job)
        raw = shown != job.log_file and output.is_kept_raw_alone(job)
        if job.state != "running":
            return Live(log_file=shown, raw_alone=raw)
        lines = output.recent(job, RECENT_LINES)
        progress = _progress(Path(job.folder), lines)
        return Live(progress=progress, recent=lines, log_file=shown, raw_alone=raw)

    def _shown(self, job: JobState) -> str:
        """The short path of a job's log, while it leads there: another queue may have taken it;
        else the raw output, where the log is not there; empty where nothing is."""
        log = Path(job.log_file)
        short = self._roots.log / log.name
        with suppress(OSError):
            if short.is_symlink() and short.samefile(log):
                return str(short)
        there = (each for each in (log, Path(job.folder) / RAW[0]) if output.is_there(each))
        return str(next(there, ""))

    def _durations(self, state: QueueState) -> dict[str, float]:
        if state.state not in ("running", "pending"):
            return {}
        if self._earlier is None:
            from spawn.store.log.earlier import durations

            others = [name for name in queues.names(self._roots) if name != self.queue_id]
            self._earlier = durations(
                [self._roots.queue(name).events for name in others[:8]],
                {job_id: job.config.command for job_id, job in state.jobs.items()},
            )
        return self._earlier


def _progress(folder: Path, lines: tuple[str, ...]) -> Progress | None:
    """The newer of what the progress file and the output say."""
    said = from_output([_bare(line) for line in lines])
    file = folder / "progress"
    try:
        text = file.read_text("utf-8", "replace")[-4096:]
        written = file.stat().st_mtime
        printed = max((folder / name).stat().st_mtime for name in ("stdout.log", "stderr.log"))
    except OSError:
        return said
    told = from_file(text)
    if told is None or (said is not None and printed > written):
        return said
    return told


def _bare(line: str) -> str:
    """A line of a combined log without its time."""
    return line[11:] if line[:1] == "[" and line[9:11] == "] " else line
