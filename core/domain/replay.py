"""Rebuild a queue's state from its log: verify the hash chain, decode, check and fold events."""

from collections.abc import Iterable

from spawn.core.domain import chain, codec
from spawn.core.domain.events import Data, Event
from spawn.core.domain.evolve import evolve, initial_state
from spawn.core.domain.legality import check, check_first
from spawn.core.domain.state import QueueState
from spawn.core.errors import CorruptLog, UnreadableEvent

Row = tuple[int, bytes | None, bytes, bytes]
"""`(seq, type or None, line, hash)`: an event as stored in a log."""


class Replay:
    """An incremental replay, which can be fed more events as the log grows.

    Args:
        queue_id: The queue's id, from which the hash chain starts.
    """

    def __init__(self, queue_id: str) -> None:
        self.queue_id = queue_id
        self.seq = 0
        self.hash = chain.genesis(queue_id)
        self._state: QueueState | None = None

    @property
    def state(self) -> QueueState:
        """The state after the newest event.

        Raises:
            CorruptLog: The log is empty, or jobs of the configuration are missing.
        """
        if self._state is None:
            raise CorruptLog(f"the log of {self.queue_id} is empty")
        if not self._state.all_jobs_read:
            raise CorruptLog(f"the log of {self.queue_id} ends before all jobs are submitted")
        return self._state

    @property
    def partial(self) -> QueueState | None:
        """The state even if jobs of the configuration are missing; None before any event."""
        return self._state

    @property
    def empty(self) -> bool:
        """Whether no event has been fed."""
        return self._state is None

    def feed(self, rows: Iterable[Row], *, until: str | None = None) -> bool:
        """Verify and fold the events that follow those fed before.

        Args:
            rows: Events in log order.
            until: A stamp; stop before the first event that is later.

        Returns:
            Whether all rows were folded.

        Raises:
            CorruptLog: At the first invalid event; the replay must not be used afterwards.
        """
        state, seq, hash_, queue_id = self._state, self.seq, self.hash, self.queue_id
        link, fast = chain.next_hash, codec.decode_expected
        taken = True
        for row_seq, type_, line, row_hash in rows:
            seq += 1
            if row_seq != seq:
                raise _gap(seq, row_seq)
            if type(line) is not bytes:
                raise CorruptLog(f"event {seq} is not text", seq=seq)
            next_hash = link(hash_, line)
            if next_hash != row_hash:
                raise CorruptLog(
                    f"event {seq} is not what was written",
                    seq=seq,
                    why="its hash does not continue the chain",
                )
            event = fast(line, type_)
            if event is None:
                event = _decode(line, seq, "" if state is None else state.version)
            if event is None:
                hash_ = next_hash
                continue
            if until is not None and event.at > until:
                seq -= 1
                taken = False
                break
            hash_ = next_hash
            if event.seq != seq or event.queue_id != queue_id:
                raise CorruptLog(
                    f"event {seq} does not belong here",
                    seq=seq,
                    why=f"it is event {event.seq} of queue {event.queue_id}",
                )
            try:
                if state is None:
                    check_first(event)
                    state = initial_state(event)
                else:
                    check(state, event)
                    evolve(state, event)
            except (KeyError, ValueError) as error:  # an unknown job, an invalid stamp
                raise CorruptLog(f"event {seq} is invalid", seq=seq, why=repr(error)) from None
        self._state, self.seq, self.hash = state, seq, hash_
        return taken

    def apply(self, event: Event[Data], line: bytes) -> bytes:
        """Fold an event that is about to be written.

        Returns:
            The hash of the chain including `line`.

        Raises:
            CorruptLog: The event is not legal; the state is unchanged.
        """
        if self._state is None:
            check_first(event)
            self._state = initial_state(event)
        else:
            check(self._state, event)
            evolve(self._state, event)
        self.seq = event.seq
        self.hash = chain.next_hash(self.hash, line)
        return self.hash


def _decode(line: bytes, seq: int, writer: str) -> Event[Data] | None:
    try:
        return codec.decode(line, writer=writer)
    except UnreadableEvent as error:
        if error.seq == seq:
            raise
        raise UnreadableEvent(f"event {seq} cannot be read", seq=seq, why=str(error)) from None


def _gap(expected: int, found: int) -> CorruptLog:
    if found > expected:
        return CorruptLog(f"event {expected} is missing", seq=expected)
    return CorruptLog(f"found event {found} in place of event {expected}", seq=expected)
