"""A queue's log and the state it amounts to, kept in step by the one process that writes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from spawn.core.codec import encode
from spawn.core.errors import CorruptLog
from spawn.core.events import Data, Draft, Event, seal
from spawn.core.machine import Guard
from spawn.core.moments import stamp
from spawn.core.replay import Replay, Row
from spawn.core.state import QueueState
from spawn.store.log.read import restored_by
from spawn.store.log.write import Entry, LogWriter


class EventLog(Protocol):
    """A log that this process alone may write."""

    @property
    def name(self) -> str:
        """What a person calls it: its path."""
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
        """Append events that were written elsewhere, in one durable transaction.

        Raises:
            LogConflict, LogFull: Nothing was written.
        """
        ...

    def close(self) -> None:
        """Let it go."""
        ...


class Ledger:
    """Stage events, see the state that they lead to, then commit them together.

    Until `commit` returns nothing has happened, and no effect may follow. When it raises, the
    state is that of the log again.

    Args:
        log: The event log, or the path of one, which is made where it is not there.
        queue_id: Whose log it is.

    Raises:
        CorruptLog: The log cannot be replayed.
    """

    def __init__(self, log: EventLog | Path, queue_id: str) -> None:
        self.queue_id = queue_id
        self.log: EventLog = LogWriter(log) if isinstance(log, Path) else log
        self._guard = Guard()
        self._staged: list[Entry] = []
        try:
            self._replay = self._read()
        except BaseException:
            self.log.close()
            raise

    @property
    def empty(self) -> bool:
        """Whether the log has no event, staged ones included."""
        return self._replay.empty

    @property
    def state(self) -> QueueState:
        """The state, staged events included."""
        return self._replay.state

    @property
    def staged(self) -> bool:
        """Whether something waits for `commit`."""
        return bool(self._staged)

    @property
    def seq(self) -> int:
        """The newest seq, staged events included."""
        return self._replay.seq

    def stage(self, drafts: Iterable[Draft], *, at: datetime, epoch: int | None = None) -> None:
        """Judge events and fold them, without writing them yet.

        Args:
            at: The moment that they are dated with.
            epoch: Given by who takes the queue; the state's own otherwise.

        Raises:
            CorruptLog: One is not legal; every staged event is dropped.
        """
        when = stamp(at)
        try:
            for draft in drafts:
                state = self._replay.partial
                if epoch is None:
                    epoch = 0 if state is None else state.epoch
                event = seal(
                    draft,
                    seq=self._replay.seq + 1,
                    queue_id=self.queue_id,
                    epoch=epoch,
                    at=when,
                )
                self._judge(event)
                line = encode(event)
                hash_ = self._replay.apply(event, line)
                self._staged.append((event, line, hash_))
        except Exception:
            self.rollback()
            raise

    def commit(self) -> list[Event[Data]]:
        """Write what is staged in one durable transaction.

        Returns:
            The events that were written.

        Raises:
            LogConflict, LogFull: Nothing was written, and nothing is staged any more.
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
        """Drop what is staged; the state is read from the log again."""
        self._staged = []
        self._replay = self._read()

    def adopt(self, rows: Iterable[Row]) -> None:
        """Append events that were written elsewhere, all or none, and fold them."""
        self.log.adopt(rows)
        self._replay = self._read()

    def close(self) -> None:
        """Close the log."""
        self.log.close()

    def _judge(self, event: Event[Data]) -> None:
        """Let the machines themselves refuse an illegal move, before it is written."""
        state = self._replay.partial
        if event.note or state is None:
            return
        self._guard.move_queue(state.state, event.type, seq=event.seq)
        if event.job_id is not None and event.job_id in state.jobs:
            job = state.jobs[event.job_id]
            self._guard.move_job(job.state, event.type, job_id=event.job_id, seq=event.seq)

    def _read(self) -> Replay:
        fold = Replay(self.queue_id)
        try:
            fold.feed(self.log.rows())
        except CorruptLog as error:
            hint = restored_by(Path(self.log.name))
            error.hint = error.hint or f"{self.log.name} was cut or changed; {hint}"
            raise
        return fold
