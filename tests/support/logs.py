"""Logs built by hand: drafts become sealed, encoded and chained rows, as a runner's do."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from spawn.core.config.model import JobConfig, QueueConfig, RetryPolicy
from spawn.core.domain import chain
from spawn.core.domain.codec import encode
from spawn.core.domain.events import (
    Data,
    Draft,
    Event,
    JobCompleted,
    JobRetryScheduled,
    JobStarted,
    QueueCompleted,
    QueueResumed,
    QueueStarted,
    RequestRefused,
    to_event,
)
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.submission import submit
from spawn.core.values.timestamps import format_timestamp
from spawn.store.log.write import Entry, LogWriter

QUEUE_ID = "nightly"
VERSION = "0.1.0"
START = datetime(2026, 1, 27, 22, 5, 32, tzinfo=UTC)
SECOND = timedelta(seconds=1)

Record = tuple[int, str, str | None, str, str, bytes]
"""`(seq, type, job_id, at, line, hash)`: a row of the table `events`."""


class LogBuilder:
    """Builds a log in memory, without checking that it is legal.

    Args:
        step: Time between events.
    """

    def __init__(
        self, queue_id: str = QUEUE_ID, *, start: datetime = START, step: timedelta = SECOND
    ) -> None:
        self.queue_id = queue_id
        self.now = start
        self.epoch = 0
        self.entries: list[Entry] = []
        self._step = step
        self._hash = chain.genesis(queue_id)

    def add(self, *drafts: Draft, epoch: int | None = None) -> list[Event[Data]]:
        """Append drafts, each dated one step later than the previous one.

        Args:
            epoch: By default the log's, which a change of owner increments.
        """
        return [self._append(draft, epoch) for draft in drafts]

    def queue(self, *data: Data, epoch: int | None = None) -> list[Event[Data]]:
        """Append events of the queue."""
        return self.add(*map(Draft, data), epoch=epoch)

    def job(self, job_id: str, *data: Data, attempt: int | None = None) -> list[Event[Data]]:
        """Append events of one attempt of a job."""
        return self.add(*(Draft(each, job_id=job_id, attempt=attempt) for each in data))

    @property
    def seq(self) -> int:
        """The newest seq; 0 for an empty log."""
        return len(self.entries)

    @property
    def events(self) -> list[Event[Data]]:
        """Every event."""
        return [event for event, _, _ in self.entries]

    @property
    def rows(self) -> list[Row]:
        """The log in the format of `store.log.read.rows`."""
        return [
            (event.seq, event.type.encode(), line, hash_) for event, line, hash_ in self.entries
        ]

    def following(self, line: bytes) -> Row:
        """Return a row with this line that continues the chain; the log does not get it."""
        return self.seq + 1, None, line, chain.next_hash(self._hash, line)

    def replay(self) -> Replay:
        """Replay the whole log."""
        fold = Replay(self.queue_id)
        fold.feed(self.rows)
        return fold

    def write(self, path: Path) -> Path:
        """Write the log to a new database, including illegal events."""
        write_log(path, map(record, self.entries))
        return path

    def _append(self, draft: Draft, epoch: int | None) -> Event[Data]:
        if epoch is not None:
            self.epoch = epoch
        elif isinstance(draft.data, QueueStarted):
            self.epoch += 1
        self.now += self._step
        event = to_event(
            draft,
            seq=self.seq + 1,
            queue_id=self.queue_id,
            epoch=self.epoch,
            at=format_timestamp(self.now),
        )
        line = encode(event)
        self._hash = chain.next_hash(self._hash, line)
        self.entries.append((event, line, self._hash))
        return event


def submission(config: QueueConfig, *, version: str = VERSION) -> list[Draft]:
    """The drafts that put a configuration into an empty log."""
    return submit(config, file="queue.json", file_sha256="0" * 64, version=version)


def owner(kind: type[QueueStarted] = QueueStarted, *, version: str = VERSION) -> QueueStarted:
    """A runner that starts the queue."""
    return kind(
        instance_id="local",
        hostname="host",
        boot_id="11111111-2222-3333-4444-555555555555",
        version=version,
        owner="ana@host",
        pid=100,
        results_location="/state/objects/nightly/",
    )


def resumed() -> QueueStarted:
    """A runner that takes over the queue."""
    return owner(QueueResumed)


def started(job_id: str, attempt: int = 1, *, token: str = "") -> JobStarted:
    """An attempt's start; folder and token are derived from its name."""
    token = token or f"{job_id}{attempt}"
    return JobStarted(
        token=token,
        pid=1000 + attempt,
        folder=f"/state/queues/{QUEUE_ID}/jobs/{job_id}/attempt-{attempt}.{token}",
        log_file=f"/log/{QUEUE_ID}/{job_id}.log",
    )


def running(config: QueueConfig, *, queue_id: str = QUEUE_ID) -> LogBuilder:
    """A log up to the start by its first runner."""
    log = LogBuilder(queue_id)
    log.add(*submission(config))
    log.queue(owner())
    return log


def record(entry: Entry) -> Record:
    """Convert an entry to a row of the database."""
    event, line, hash_ = entry
    return event.seq, event.type, event.job_id, event.at, line.decode(), hash_


def write_log(path: Path, records: Iterable[Record]) -> None:
    """Write rows in bulk to a database with the current schema."""
    LogWriter(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", records)
        connection.execute("COMMIT")


def synthetic(events: int, *, jobs: int = 1000, queue_id: str = QUEUE_ID) -> Iterator[Record]:
    """A legal log of exactly this many events that ends with the queue completed.

    A chain of jobs that each fail repeatedly before they complete, and notes at the end.
    About 10 s for 1,000,000 events.

    Args:
        events: More than `3 * jobs + 100`, so that every job can run.
        jobs: The length of the chain.
    """
    config = _failing_chain(jobs, most=events)
    before = [*submission(config), Draft(owner())]
    attempts, notes = divmod(events - len(before) - 1, 2)
    if attempts < jobs:
        raise ValueError(f"{events} events are not enough for {jobs} jobs")
    drafts = _drafts(before, config, attempts, notes)
    hash_ = chain.genesis(queue_id)
    epoch = 0
    for seq, draft in enumerate(islice(drafts, events), 1):
        epoch = epoch or int(type(draft.data) is QueueStarted)
        event = to_event(draft, seq=seq, queue_id=queue_id, epoch=epoch, at=_cheap_stamp(seq))
        line = encode(event)
        hash_ = chain.next_hash(hash_, line)
        yield record((event, line, hash_))


def _drafts(before: list[Draft], config: QueueConfig, attempts: int, notes: int) -> Iterator[Draft]:
    yield from before
    jobs = len(config.jobs)
    failure = JobRetryScheduled(
        exit_code=1, wall_seconds=0.5, why="it failed", delay=0.0, retry_at=format_timestamp(START)
    )
    success = JobCompleted(exit_code=0, wall_seconds=0.5, cpu_seconds=0.25, peak_memory_bytes=4096)
    for index, job in enumerate(config.jobs):
        tries = attempts // jobs + (index < attempts % jobs)
        for attempt in range(1, tries + 1):
            yield Draft(started(job.job_id, attempt), job.job_id, attempt)
            yield Draft(success if attempt == tries else failure, job.job_id, attempt)
    for _ in range(notes):
        yield Draft(RequestRefused(request="reset nothing", why="there is no such job"))
    yield Draft(QueueCompleted())


def _failing_chain(jobs: int, *, most: int) -> QueueConfig:
    retry = RetryPolicy(max_attempts=most)
    names = [f"job-{number:06}" for number in range(jobs)]
    return QueueConfig(
        jobs=tuple(
            JobConfig(
                job_id=name,
                command=f"python step.py {name}",
                working_directory="/work",
                depends_on=tuple(names[index - 1 : index]) if index else (),
                retry=retry,
            )
            for index, name in enumerate(names)
        )
    )


def _cheap_stamp(millisecond: int) -> str:
    second, fraction = divmod(millisecond, 1000)
    day, rest = divmod(second, 86400)
    hour, rest = divmod(rest, 3600)
    return f"2026-01-{day + 1:02}T{hour:02}:{rest // 60:02}:{rest % 60:02}.{fraction:03}000Z"
