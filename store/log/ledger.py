"""A queue's log and its current state, kept in step by the process that writes the log."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from spawn.core.domain.codec import encode
from spawn.core.domain.events import Data, Draft, Event, to_event
from spawn.core.domain.machine import StateMachines
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.state import QueueState
from spawn.core.errors import CorruptLog
from spawn.core.values.timestamps import format_timestamp
from spawn.store.log.read import restore_hint
from spawn.store.log.write import Entry, LogWriter


class EventLog(Protocol):
    """A log that only this process may write."""

    @property
    def name(self) -> str:
        """The log's path, for messages."""
        ...

    def rows(self, after: int = 0) -> Iterable[Row]:
        """The events after a seq, in order."""
        ...

    def append(self, entries: Sequence[Entry], *, expected_seq: int) -> None:
        """Append events in one durable transaction.

        Raises:
            LogConflict, LogFull: Nothing was written.
        """
        ...

    def adopt(self, rows: Iterable[Row]) -> None:
        """Append events that another machine wrote, in one durable transaction.

        Raises:
            LogConflict, LogFull: Nothing was written.
        """
        ...

    def close(self) -> None:
        """Close the log."""
        ...


class Ledger:
    """Stages events, applies them to the state, then commits them together.

    Act on an event only after `commit` has returned. If `commit` raises, the state is reread from
    the log.

    Args:
        log: The event log, or its path; a missing log is created.
        queue_id: The queue's ID.

    Raises:
        CorruptLog: The log cannot be replayed.
    """

    def __init__(self, log: EventLog | Path, queue_id: str) -> None:
        self.queue_id = queue_id
        self.log: EventLog = LogWriter(log) if isinstance(log, Path) else log
        self._guard = StateMachines()
        self._staged: list[Entry] = []
        try:
            self._replay = self._read()
        except BaseException:
            self.log.close()
            raise

    @property
    def empty(self) -> bool:
        """Whether the log has no events, staged events included."""
        return self._replay.empty

    @property
    def state(self) -> QueueState:
        """The state, staged events included."""
        return self._replay.state

    @property
    def staged(self) -> bool:
        """Whether events are staged."""
        return bool(self._staged)

    @property
    def seq(self) -> int:
        """The newest seq, staged events included."""
        return self._replay.seq

    def stage(self, drafts: Iterable[Draft], *, at: datetime, epoch: int | None = None) -> None:
        """Validate events and apply them to the state, without writing them.

        Args:
            at: The events' timestamp.
            epoch: The new epoch, when a runner takes the queue (default: the state's epoch).

        Raises:
            CorruptLog: An event is not legal; all staged events are dropped.
        """
        when = format_timestamp(at)
        try:
            for draft in drafts:
                state = self._replay.partial
                if epoch is None:
                    epoch = 0 if state is None else state.epoch
                event = to_event(
                    draft,
                    seq=self._replay.seq + 1,
                    queue_id=self.queue_id,
                    epoch=epoch,
                    at=when,
                )
                self._validate(event)
                line = encode(event)
                hash_ = self._replay.apply(event, line)
                self._staged.append((event, line, hash_))
        except Exception:
            self.rollback()
            raise

    def commit(self) -> list[Event[Data]]:
        """Write the staged events in one durable transaction.

        Returns:
            The written events.

        Raises:
            LogConflict, LogFull: Nothing was written; the staged events are dropped.
        """
        entries, self._staged = self._staged, []
        if not entries:
            return []
        try:
            self.log.append(entries, expected_seq=entries[0][0].seq)
        except Exception:
            self.rollback()
            raise
        return [entry[0] for entry in entries]

    def rollback(self) -> None:
        """Drop the staged events and reread the state from the log."""
        self._staged = []
        self._replay = self._read()

    def adopt(self, rows: Iterable[Row]) -> None:
        """Append events that another machine wrote, all or none, and reread the state."""
        self.log.adopt(rows)
        self._replay = self._read()

    def close(self) -> None:
        """Close the log."""
        self.log.close()

    def _validate(self, event: Event[Data]) -> None:
        """Reject an illegal transition before it is written."""
        state = self._replay.partial
        if event.note or state is None:
            return
        self._guard.next_queue_state(state.state, event.type, seq=event.seq)
        if event.job_id is not None and event.job_id in state.jobs:
            job = state.jobs[event.job_id]
            self._guard.next_job_state(job.state, event.type, job_id=event.job_id, seq=event.seq)

    def _read(self) -> Replay:
        fold = Replay(self.queue_id)
        try:
            fold.feed(self.log.rows())
        except CorruptLog as error:
            hint = restore_hint(Path(self.log.name))
            text = f"{self.log.name} was truncated or modified; {hint}"
            raise error.with_default_hint(text) from error
        return fold
