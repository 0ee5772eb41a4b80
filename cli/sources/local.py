"""A queue of this machine, read from its log file."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spawn.core.domain.codec import decode
from spawn.core.domain.events import Data, Event
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.state import QueueState
from spawn.core.errors import QueueNotFound
from spawn.core.reports.build import build
from spawn.core.reports.model import LiveData, Replica, Report, Trouble
from spawn.store import queues
from spawn.store.live_facts import LiveFactsReader
from spawn.store.log import head, read
from spawn.store.queue_dir import lock, troubles
from spawn.store.queue_dir.paths import Roots

if TYPE_CHECKING:
    from spawn.cli.sources.output import OutputStream, StartedAttempt
    from spawn.store.objects.interface import ObjectStore


class LocalQueue:
    """A `QueueSource` that reads the log and the jobs' files on this machine.

    Args:
        region: Region of the results' bucket (default: the one in the log).
        profile: AWS profile to read the results with.

    Raises:
        QueueNotFound: The queue is not on this machine.
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
        self.paths = queues.find_queue(roots, queue_id)
        self._replay = Replay(queue_id)
        self._open = ExitStack()
        self._connection: sqlite3.Connection | None = None
        self._lives = LiveFactsReader(roots, queue_id)
        self.lost_events = 0
        """How many of its newest events the log had lost at the newest `refresh`."""
        self._alive = False
        """`runner_alive`, read before the log: if False, the log has all that the runner wrote."""

    def __enter__(self) -> Self:
        self._connection = self._open.enter_context(read.open_log(self.paths.events))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._open.__exit__(kind, error, traceback)  # turns SQLite errors into CorruptLog

    @property
    def state(self) -> QueueState:
        return self._replay.state

    @property
    def seq(self) -> int:
        return self._replay.seq

    def refresh(self, *, until: str | None = None) -> None:
        assert self._connection is not None, "use LocalQueue in a with"
        self._alive = self.runner_alive()
        written = head.newest_noted_seq(
            self.paths.events
        )  # before the log: a runner may append meanwhile
        self._replay.feed(read.rows(self._connection, self._replay.seq), until=until)
        newest = self.seq if until is None else read.head(self._connection)
        self.lost_events = max(0, written - newest)
        if self._replay.empty:
            if until is None:
                raise queues.not_submitted(self.queue_id, held=self.runner_alive())
            raise QueueNotFound(f"queue {self.queue_id} was not submitted at that time")

    def follow(self) -> list[Event[Data]]:
        """Fold the new events and return them."""
        assert self._connection is not None, "use LocalQueue in a with"
        self._alive = self.runner_alive()
        rows = list(read.rows(self._connection, self._replay.seq))
        self._replay.feed(rows)
        events = (decode(line, type_) for _, type_, line, _ in rows)
        return [event for event in events if event is not None]

    def rows(self) -> Iterator[Row]:
        assert self._connection is not None, "use LocalQueue in a with"
        return read.rows(self._connection)

    def attempts(self, job_id: str) -> "list[StartedAttempt]":
        from spawn.cli.sources.output import started_attempts

        with read.open_log(self.paths.events) as connection:
            return started_attempts(read.rows(connection), job_id)

    def output(self, attempt: "StartedAttempt", name: str) -> "OutputStream":
        """A stream of an attempt, from its file, else from the object store.

        Raises:
            SpawnError: Neither has it.
        """
        from spawn.cli.sources.output import FileStream, StoredStream

        try:
            return FileStream(attempt.folder / name)
        except (FileNotFoundError, NotADirectoryError):
            stored = StoredStream(self.objects(), attempt, name)
            stored.expect()
            return stored

    def objects(self) -> "ObjectStore":
        """The object store that the log names, else a folder of this machine."""
        from spawn.store.objects.location import StoreLocation, open_place, parse_s3_uri

        state = self.state
        prefix = (state.config.result_s3_prefix or self.queue_id).strip("/")
        place = StoreLocation(prefix=prefix)
        if (
            state.owner is not None
            and (at := parse_s3_uri(state.owner.results_location)) is not None
        ):
            region = self._region or state.owner.region
            place = StoreLocation(bucket=at[0], prefix=at[1], region=region, profile=self._profile)
        return open_place(place, self._roots.objects)

    def runner_alive(self) -> bool:
        """Whether a runner holds the queue now."""
        return lock.is_held(self.paths.lock)

    def troubles(self) -> tuple[Trouble, ...]:
        return troubles.find(self.paths.folder) if self._alive else ()

    def report(self, now: datetime, *, past: bool = False) -> Report:
        if past:
            return build(self.state, now, past=True, lost=self.lost_events)
        return self._report(
            now,
            live=self._lives.jobs(self.state, self.seq),
            earlier=self._lives.earlier(self.state),
            replica=self._lives.replica(self.seq, self._row),
        )

    def _report(
        self,
        now: datetime,
        *,
        live: Mapping[str, LiveData] | None = None,
        earlier: Mapping[str, float] | None = None,
        replica: Replica | None = None,
    ) -> Report:
        state = self.state
        alive = None if state.ended else self._alive
        return build(
            state,
            now,
            live=live,
            earlier=earlier,
            runner_alive=alive,
            replica=replica,
            endings=self._lives.endings(state) if alive is False else None,
            troubles=self.troubles(),
            lost=self.lost_events,
        )

    def summary(self, now: datetime) -> Report:
        """The report without the jobs' output."""
        return self._report(now)

    def _row(self, after: int) -> Row | None:
        assert self._connection is not None
        return next(iter(read.rows(self._connection, after)), None)
