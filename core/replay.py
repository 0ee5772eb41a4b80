"""Rebuild a queue's state from its log: decode, chain, legality, fold."""

from collections.abc import Iterable

from spawn.core import chain, codec
from spawn.core.errors import CorruptLog, UnreadableEvent
from spawn.core.events import Data, Event
from spawn.core.evolve import begin, evolve
from spawn.core.legality import check, check_first
from spawn.core.state import QueueState

Row = tuple[int, bytes | None, bytes, bytes]
"""`(seq, type or None, line, hash)`: an event as a log holds it."""


class Replay:
    """A fold in progress, which can be fed more as the log grows.

    Args:
        queue_id: Whose log it is; the chain begins with it.
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
            CorruptLog: There was none, or jobs of the configuration are missing.
        """
        if self._state is None:
            raise CorruptLog(f"the log of {self.queue_id} is empty")
        if not self._state.whole:
            raise CorruptLog(f"the log of {self.queue_id} ends within its configuration")
        return self._state

    @property
    def partial(self) -> QueueState | None:
        """The state even if jobs of the configuration are missing; None before any event."""
        return self._state

    @property
    def empty(self) -> bool:
        """Whether no event was fed yet."""
        return self._state is None

    def feed(self, rows: Iterable[Row], *, until: str | None = None) -> bool:
        """Verify and fold events, which follow those fed before.

        Args:
            rows: In the log's order.
            until: A stamp; the first event after it and all that follow are left out.

        Returns:
            Whether every row was taken.

        Raises:
            CorruptLog: With the first event that is wrong; the state is then of no use.
        """
        state, seq, hash_, queue_id = self._state, self.seq, self.hash, self.queue_id
        link, fast = chain.link, codec.fast
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
                    f"event {seq} is not of this place",
                    seq=seq,
                    why=f"it says {event.queue_id} seq {event.seq}",
                )
            try:
                if state is None:
                    check_first(event)
                    state = begin(event)
                else:
                    check(state, event)
                    evolve(state, event)
            except (KeyError, ValueError) as error:  # a job that is not there, a date that is none
                raise CorruptLog(f"event {seq} cannot be", seq=seq, why=repr(error)) from None
        self._state, self.seq, self.hash = state, seq, hash_
        return taken

    def apply(self, event: Event[Data], line: bytes) -> bytes:
        """Fold an event that is about to be written.

        Returns:
            The chain's hash up to and with `line`.

        Raises:
            CorruptLog: It is not legal here; nothing changed.
        """
        if self._state is None:
            check_first(event)
            self._state = begin(event)
        else:
            check(self._state, event)
            evolve(self._state, event)
        self.seq = event.seq
        self.hash = chain.link(self.hash, line)
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
    return CorruptLog(f"event {found} stands where {expected} belongs", seq=expected)
