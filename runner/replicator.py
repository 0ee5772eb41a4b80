"""Keeps the log's replica: ships what is durable, holds the lease, packs, hands back.

It runs beside the loop and never holds it up. What it learns that the loop must know is posted.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from msgspec import Struct

from spawn.core.errors import SpawnError
from spawn.core.report.model import Trouble
from spawn.runner.ports import Clock, Confirmed, FencedOff, Happening, Renewed, Shipped
from spawn.store.failpoints import reached
from spawn.store.objects.port import SmallObjects, StoreError, Unavailable
from spawn.store.replica.lease import (
    RENEW_SECONDS,
    TTL_SECONDS,
    Fenced,
    Holder,
    Owner,
    Seen,
    describe,
)
from spawn.store.replica.pack import Packer
from spawn.store.replica.reconcile import Found, find
from spawn.store.replica.ship import Log, Shipper

SPACING_SECONDS = 0.5
"""From one segment to the next: at most two a second."""
PACK_AGAIN_SECONDS = 60.0
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 20.0
"""Seconds between tries when the store fails: doubled each time, with jitter."""


class Bell(Protocol):
    """Where the replicator rests."""

    def wait(self, seconds: float | None) -> None:
        """Return when rung since the last time, or after `seconds`; None sets no end."""
        ...

    def ring(self) -> None:
        """Wake it, now or as soon as it comes to rest. From any thread."""
        ...


class Lag(Struct, frozen=True, kw_only=True):
    """How far the replica is. `trouble` is why it does not get on, and `kind` what sort of trouble
    it is, as `StoreError` has it; both empty when it does. `lapsed`: the lease could not be renewed
    in time, so that no job starts until it is."""

    seq: int
    established: bool
    fence: bool
    trouble: str = ""
    kind: str = ""
    lapsed: bool = False


class Replicator:
    """One runner's side of the replica. An exchange that fails, in whatever way, is made again:
    what is noted of the store here changes only after one that succeeded.

    Args:
        queue_id: Whose log it is.
        log: The local log.
        found: What was found in the store before the opening; None: it could not be asked.
        take: Takes the place in the store for this queue, and says whether the store honours
            conditional writes. Called when `found` is None and nothing of the queue is there.
        fence: Whether it does, for all we know.
        epoch: That the runner's opening has in the log.
        nonce: Tells this runner from every other.
        free: Whether requests cost nothing: then what is left at the end goes at once.
        fraction: A random number in [0, 1), for jitter.
        post: Takes what the loop must know. From this thread.
        report: Told how far the replica is, whenever that changes.
        troubles: Tells the runner's present troubles; the lease carries them.
    """

    def __init__(
        self,
        *,
        store: SmallObjects,
        queue_id: str,
        log: Log,
        found: Found | None,
        take: Callable[[], bool],
        fence: bool,
        owner: Owner,
        epoch: int,
        nonce: str,
        clock: Clock,
        bell: Bell,
        fraction: Callable[[], float],
        post: Callable[[Happening], None],
        report: Callable[[Lag], None],
        troubles: Callable[[], Sequence[Trouble]] = tuple,
        free: bool = False,
    ) -> None:
        self._store = store
        self._queue_id = queue_id
        self._log = log
        self._found = found
        self._take = take
        self._fence = fence
        self._owner = owner
        self._epoch = epoch
        self._nonce = nonce
        self._clock = clock
        self._bell = bell
        self._fraction = fraction
        self._post = post
        self._report = report
        self._troubles = troubles
        self._free = free
        self._shipper: Shipper | None = None
        self._holder: Holder | None = None
        self._packer = Packer(store, log)
        self._taken: bool | None = None
        """What `take` said, once it has: what was done is not done again when the rest fails."""
        self._packed = False
        self._claimed = False
        self._committed = 0
        self._confirm = False
        self._drain_until: float | None = None
        self._over = False
        self._hand_back = True
        self._renew_at = self._again = self._pack_at = 0.0
        self._puts = (-inf, -inf)
        self._failures = 0
        self._told: Lag | None = None
        self._renewed_at = -inf
        self._renew_failures = 0
        self._unrenewed: Exception | None = None
        """Why the lease cannot be renewed; None while that may have been a single failure."""
        self._surprise = ""
        self.fenced = ""
        """Who owns the queue instead of us, once that is known."""

    @property
    def behind(self) -> int:
        """Events of ours that are not in the store for certain: none before the opening is told."""
        return max(0, self._committed - (self._shipper.seq if self._shipper else 0))

    @property
    def _ship_at(self) -> float:
        """When the next segment may go. What is left at the end need not be spread evenly."""
        if self._drain_until is not None:
            return -inf if self._free else self._puts[0] + 2 * SPACING_SECONDS
        return self._puts[1] + SPACING_SECONDS

    # for the loop, from its thread

    def committed(self, seq: int) -> None:
        """See `Replica.committed`.

        A replicator that is behind already will look again before it rests: only one that may be at
        rest is woken, not once for each commit.
        """
        before, self._committed = self._committed, seq
        if self._shipper is None or self._shipper.seq >= before:
            self._bell.ring()

    def confirm(self) -> None:
        """See `Replica.confirm`."""
        self._confirm = True
        self._bell.ring()

    def drain(self, seconds: float, *, hand_back: bool = True) -> None:
        """Ship what is left, pack, hand the lease back, and end; give up after so long.

        Args:
            hand_back: Whether anybody may take the queue: not while jobs of ours go on.
        """
        self._hand_back = hand_back
        self._drain_until = self._clock.monotonic() + seconds
        self._bell.ring()

    # its own thread

    def run(self) -> None:
        """Work until it is drained, or somebody else owns the queue."""
        try:
            while not self._over:
                self._turn()
        except Fenced as fence:
            if self._drain_until is not None and self._claimed and not self.behind:
                return  # all of ours is there: whoever has the queue now goes on from it
            self.fenced = str(fence)
            self._post(FencedOff(self.fenced))

    def _turn(self) -> None:
        now = self._clock.monotonic()
        if now >= self._again:
            # Only what is begun after the question answers it: a request may have slept as we did.
            asked = self._confirm
            try:
                if self._work(now):
                    self._failures = 0
                    self._tell(self._unrenewed)
                    return
            except Fenced:
                raise
            except Exception as error:  # of the store, of the disk that the log is on, or of ours
                self._fail(error, asked=asked)
        if self._drain_until is not None and self._clock.monotonic() >= self._drain_until:
            self._over = True
            return
        self._bell.wait(self._rest())

    def _work(self, now: float) -> bool:
        """Do the most urgent thing; returns whether there was one."""
        if not self._claimed:
            self._establish()
            return True
        assert self._shipper is not None
        assert self._holder is not None
        if now >= self._renew_at or self._confirm:
            self._renew_at = now + RENEW_SECONDS
            asked = self._confirm
            try:
                self._renew()
            except Exception as error:
                self._renew_failures += 1
                self._unrenewed = error if self._renew_failures > 1 else None
                raise
            if asked:
                self._confirm = False
                self._post(Confirmed())
            return True
        if self.behind and now >= self._ship_at:
            self._puts = (self._puts[1], now)
            shipped = self._shipper.ship()
            if shipped is not None:
                self._packer.shipped(*shipped)
                self._post(Shipped(self._shipper.seq))
            return True
        if self._drain_until is not None and not self.behind:
            # What is left is a courtesy: a lease that is not handed back expires as soon as this.
            self._drain_until = min(self._drain_until, now + TTL_SECONDS)
            self._pack(now)
            reached("replica.draining")
            self._renew(handed_back=self._hand_back)
            self._over = True
            return True
        if now >= self._pack_at and (not self._packed or self._packer.due):
            self._pack(now)
            return True
        return False

    def _pack(self, now: float) -> None:
        """Copy segments together. That it fails is no trouble: nothing rests on a pack."""
        assert self._shipper is not None
        try:
            if self._packed and self._drain_until is None:
                self._packer.pack()
            else:
                self._packer.pack_all(self._shipper.seq)
                self._packed = True
        except StoreError:
            self._pack_at = now + PACK_AGAIN_SECONDS

    def _renew(self, *, handed_back: bool = False) -> None:
        """Renew the lease. A later claim ends what we do, but not the bringing of what is done:
        whether that still counts is for the log to say."""
        assert self._holder is not None
        asked_at = self._clock.monotonic()
        try:
            age = self._holder.renew(handed_back=handed_back)
        except Fenced:
            if self._drain_until is None:
                raise
        else:
            self._renewed(asked_at - age)

    def _renewed(self, at: float) -> None:
        self._renew_failures, self._unrenewed = 0, None
        self._renewed_at = at
        self._post(Renewed(at))

    def _establish(self) -> None:
        """Find out where the replica is, and claim the lease.

        Raises:
            Fenced: The queue went on elsewhere.
        """
        found = self._found
        if found is None:
            found, honoured = find(self._store, self._queue_id, self._log, _refuse, self._take_once)
            self._fence = self._fence and honoured
            _expect_ours(found.seen, self._owner, self._epoch)
            self._found = found
        if self._shipper is None:
            shipper = Shipper(
                self._store, self._log, seq=found.seq, hash_=found.hash, fence=self._fence
            )
            self._shipper = shipper
            self._holder = Holder(
                self._store,
                owner=self._owner,
                epoch=self._epoch,
                nonce=self._nonce,
                seen=found.seen,
                fence=self._fence,
                head=lambda: shipper.head,
                troubles=self._troubles,
            )
        assert self._holder is not None
        reached("replica.claiming")
        asked_at = self._clock.monotonic()
        age = self._holder.claim()
        reached("replica.claimed")
        self._claimed = True
        self._renewed(asked_at - age)
        self._renew_at = self._clock.monotonic() + RENEW_SECONDS

    def _take_once(self) -> bool:
        if self._taken is None:
            self._taken = self._take()
        return self._taken

    def _fail(self, error: Exception, *, asked: bool) -> None:
        if not isinstance(error, SpawnError) and repr(error) != self._surprise:
            self._surprise = repr(error)
            print("error in the replicator, which tries again:", file=sys.stderr)
            traceback.print_exception(error)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._again = self._clock.monotonic() + pause * (0.5 + self._fraction() / 2)
        if self._failures > 1 or not isinstance(error, Unavailable):
            self._tell(error)
        if asked:  # it cannot be known: the queue goes on, as in any outage
            self._confirm = False
            self._post(Confirmed())

    def _rest(self) -> float:
        """Seconds until there is something to do."""
        now = self._clock.monotonic()
        if self._again > now or not self._claimed:
            at = self._again
        else:
            at = min(self._renew_at, self._ship_at) if self.behind else self._renew_at
        if self._drain_until is not None:
            at = min(at, self._drain_until)
        return max(0.0, at - now)

    def _tell(self, error: Exception | None) -> None:
        """Report how far the replica is, and what keeps it from getting on."""
        trouble, kind = _worded(error)
        late = self._clock.monotonic() - self._renewed_at > TTL_SECONDS
        lag = Lag(
            seq=self._shipper.seq if self._shipper else 0,
            established=self._claimed,
            fence=self._fence,
            trouble=trouble,
            kind=kind,
            lapsed=self._claimed and late and bool(trouble),
        )
        if lag != self._told:
            self._told = lag
            self._report(lag)


def _worded(error: Exception | None) -> tuple[str, str]:
    """What went wrong, for a person, and which sort of trouble it is."""
    if error is None:
        return "", ""
    if not isinstance(error, SpawnError):
        return f"internal error: {error!r}", "internal"
    hint = f" ({error.hint})" if error.hint else ""
    return f"{error.why or error.what}{hint}", getattr(error, "kind", "failed")


def _refuse(rows: object) -> None:
    raise Fenced("the queue went on elsewhere: the store has events that are not here")


def _expect_ours(seen: Seen | None, owner: Owner, epoch: int) -> None:
    """See that nobody owned the queue while the store could not be asked.

    Raises:
        Fenced: Somebody does.
    """
    if seen is None or seen.lease.handed_back or seen.lease.owner.place == owner.place:
        return
    raise Fenced(f"{describe(seen.lease)} owns the queue, in epoch {seen.lease.epoch}")
