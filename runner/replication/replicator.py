"""Keeps the log's replica: uploads durable events, renews the lease, writes packs.

The replicator runs on its own thread and never blocks the loop; it posts what the loop must know.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from msgspec import Struct

from spawn.core.errors import SpawnError
from spawn.core.reports.model import Trouble
from spawn.runner.ports import Clock, FencedOff, LoopMessage, OwnershipConfirmed, Renewed, Shipped
from spawn.store.failpoints import mark
from spawn.store.objects.interface import SmallObjects, StoreError, Unavailable
from spawn.store.replica.lease import (
    RENEW_SECONDS,
    TTL_SECONDS,
    Fenced,
    LeaseHolder,
    LeaseSnapshot,
    Owner,
    owner_name,
)
from spawn.store.replica.pack import Packer
from spawn.store.replica.reconcile import StoreHead, reconcile_or_claim
from spawn.store.replica.ship import Log, Shipper

SEGMENT_SECONDS = 0.5
"""Time between segments: at most two per second."""
PACK_RETRY_SECONDS = 60.0
"""Time before a failed pack is retried."""
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 20.0
"""Pause between tries when the store fails: doubles with each failure, with jitter."""


class Bell(Protocol):
    """An event that the replicator waits for."""

    def wait(self, seconds: float | None) -> None:
        """Wait for a `ring` since the last return, for up to `seconds`; None for no limit."""
        ...

    def ring(self) -> None:
        """End the current or the next `wait`. From any thread."""
        ...


class Lag(Struct, frozen=True, kw_only=True):
    """The state of the replica, whose events up to `seq` are in the store.

    `trouble` is why replication fails, and `kind` the kind of `StoreError`; both are empty if it
    works. `lapsed`: the lease was not renewed in time, so that no job starts until it is.
    """

    seq: int
    established: bool
    fence: bool
    trouble: str = ""
    kind: str = ""
    lapsed: bool = False


class Replicator:
    """Replicates one runner's log. Retries whatever fails: it updates its view of the store only
    after a request that succeeded.

    Args:
        log: The local log.
        found: State of the replica before the opening; None if the store was unreachable.
        take: Claims the place in the store for this queue; returns whether the store honours
            conditional writes. Called if `found` is None and the store has nothing of the queue.
        fence: Whether the store honours conditional writes, as far as known.
        epoch: Epoch of the runner's opening.
        nonce: Identifies this runner in its leases.
        free: Whether requests cost nothing: then the last segments are not spaced.
        fraction: Returns a random number in [0, 1), for jitter.
        post: Receives happenings for the loop, on the replicator's thread.
        report: Receives the replica's state whenever it changes.
        troubles: Returns the runner's present troubles; the lease carries them.
    """

    def __init__(
        self,
        *,
        store: SmallObjects,
        queue_id: str,
        log: Log,
        replica: StoreHead | None,
        claim_place: Callable[[], bool],
        fence: bool,
        owner: Owner,
        epoch: int,
        nonce: str,
        clock: Clock,
        bell: Bell,
        fraction: Callable[[], float],
        post: Callable[[LoopMessage], None],
        report: Callable[[Lag], None],
        troubles: Callable[[], Sequence[Trouble]] = tuple,
        unspaced: bool = False,
    ) -> None:
        self._store = store
        self._queue_id = queue_id
        self._log = log
        self._found = replica
        self._take = claim_place
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
        self._free = unspaced
        self._shipper: Shipper | None = None
        self._holder: LeaseHolder | None = None
        self._packer = Packer(store, log)
        self._taken: bool | None = None
        """Result of `take`, which must not be called again when a later step fails."""
        self._packed = False
        self._claimed = False
        self._committed = 0
        self._confirm = False
        self._drain_until: float | None = None
        self._finished = False
        self._hand_back = True
        self._renew_at = self._retry_at = self._pack_at = 0.0
        self._puts = (-inf, -inf)
        """Times of the last two segments."""
        self._failures = 0
        self._reported: Lag | None = None
        self._renewed_at = -inf
        self._renew_failures = 0
        self._renew_error: Exception | None = None
        """Why the lease cannot be renewed; None after a single failure."""
        self._printed_error = ""
        self.fenced = ""
        """Which other runner owns the queue; empty while none does."""

    @property
    def behind(self) -> int:
        """Number of events that may not be in the store; 0 before the first `committed`."""
        return max(0, self._committed - (self._shipper.seq if self._shipper else 0))

    @property
    def _ship_at(self) -> float:
        """Earliest time of the next segment. The last ones need not be spread evenly."""
        if self._drain_until is not None:
            return -inf if self._free else self._puts[0] + 2 * SEGMENT_SECONDS
        return self._puts[1] + SEGMENT_SECONDS

    # Called by the loop, on its thread

    def committed(self, seq: int) -> None:
        """Upload the log up to this seq.

        A replicator that is behind does not need the bell, because it checks for events before it
        waits.
        """
        before, self._committed = self._committed, seq
        if self._shipper is None or self._shipper.seq >= before:
            self._bell.ring()

    def confirm(self) -> None:
        """Check the lease soon; `Confirmed` or `FencedOff` follows."""
        self._confirm = True
        self._bell.ring()

    def drain(self, seconds: float, *, hand_back: bool = True) -> None:
        """Upload what is left, pack, hand back the lease, and end; give up after `seconds`.

        Args:
            hand_back: Whether another machine may take the queue: not while jobs run here.
        """
        self._hand_back = hand_back
        self._drain_until = self._clock.monotonic() + seconds
        self._bell.ring()

    # On the replicator's thread

    def run(self) -> None:
        """Replicate until drained, or until another runner owns the queue."""
        try:
            while not self._finished:
                self._step()
        except Fenced as fence:
            if self._drain_until is not None and self._claimed and not self.behind:
                return  # the store has our whole log: the new owner continues from it
            self.fenced = str(fence)
            self._post(FencedOff(self.fenced))

    def _step(self) -> None:
        now = self._clock.monotonic()
        if now >= self._retry_at:
            # Only a request sent after `confirm` counts: an earlier one may predate a suspension.
            confirming = self._confirm
            try:
                if self._work(now):
                    self._failures = 0
                    self._update_lag(self._renew_error)
                    return
            except Fenced:
                raise
            except Exception as error:  # from the store, the log's disk, or a bug
                self._record_failure(error, confirming=confirming)
        if self._drain_until is not None and self._clock.monotonic() >= self._drain_until:
            self._finished = True
            return
        self._bell.wait(self._wait_seconds())

    def _work(self, now: float) -> bool:
        """Do the most urgent task; returns False if there is none."""
        if not self._claimed:
            self._establish()
            return True
        assert self._shipper is not None
        assert self._holder is not None
        if now >= self._renew_at or self._confirm:
            self._renew_at = now + RENEW_SECONDS
            confirming = self._confirm
            try:
                self._renew()
            except Exception as error:
                self._renew_failures += 1
                self._renew_error = error if self._renew_failures > 1 else None
                raise
            if confirming:
                self._confirm = False
                self._post(OwnershipConfirmed())
            return True
        if self.behind and now >= self._ship_at:
            self._puts = (self._puts[1], now)
            shipped = self._shipper.ship()
            if shipped is not None:
                self._packer.add_segment(*shipped)
                self._post(Shipped(self._shipper.seq))
            return True
        if self._drain_until is not None and not self.behind:
            # Hand back within the TTL of the lease: after that it has expired anyway.
            self._drain_until = min(self._drain_until, now + TTL_SECONDS)
            self._pack(now)
            mark("replica.draining")
            self._renew(handed_back=self._hand_back)
            self._finished = True
            return True
        if now >= self._pack_at and (not self._packed or self._packer.due):
            self._pack(now)
            return True
        return False

    def _pack(self, now: float) -> None:
        """Write packs. A failure is not reported: packs only save requests."""
        assert self._shipper is not None
        try:
            if self._packed and self._drain_until is None:
                self._packer.pack()
            else:
                self._packer.pack_all(self._shipper.seq)
                self._packed = True
        except StoreError:
            self._pack_at = now + PACK_RETRY_SECONDS

    def _renew(self, *, handed_back: bool = False) -> None:
        """Renew the lease. While draining, a later claim is no error: the log decides what counts.

        Raises:
            Fenced: Another runner has claimed the lease.
        """
        assert self._holder is not None
        sent_at = self._clock.monotonic()
        try:
            age = self._holder.renew(handed_back=handed_back)
        except Fenced:
            if self._drain_until is None:
                raise
        else:
            self._record_renewal(sent_at - age)

    def _record_renewal(self, at: float) -> None:
        self._renew_failures, self._renew_error = 0, None
        self._renewed_at = at
        self._post(Renewed(at))

    def _establish(self) -> None:
        """Read the state of the replica, and claim the lease.

        Raises:
            Fenced: Another machine has continued the queue.
        """
        found = self._found
        if found is None:
            found, honoured = reconcile_or_claim(
                self._store, self._queue_id, self._log, _refuse, self._take_once
            )
            self._fence = self._fence and honoured
            _expect_ours(found.seen, self._owner, self._epoch)
            self._found = found
        if self._shipper is None:
            shipper = Shipper(
                self._store, self._log, seq=found.seq, hash_=found.hash, fence=self._fence
            )
            self._shipper = shipper
            self._holder = LeaseHolder(
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
        mark("replica.claiming")
        sent_at = self._clock.monotonic()
        age = self._holder.claim()
        mark("replica.claimed")
        self._claimed = True
        self._record_renewal(sent_at - age)
        self._renew_at = self._clock.monotonic() + RENEW_SECONDS

    def _take_once(self) -> bool:
        if self._taken is None:
            self._taken = self._take()
        return self._taken

    def _record_failure(self, error: Exception, *, confirming: bool) -> None:
        if not isinstance(error, SpawnError) and repr(error) != self._printed_error:
            self._printed_error = repr(error)
            print("error in the replicator, which will retry:", file=sys.stderr)
            traceback.print_exception(error)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._retry_at = self._clock.monotonic() + pause * (0.5 + self._fraction() / 2)
        if self._failures > 1 or not isinstance(error, Unavailable):
            self._update_lag(error)
        if confirming:  # the owner is unknown: keep running, as in any outage
            self._confirm = False
            self._post(OwnershipConfirmed())

    def _wait_seconds(self) -> float:
        """Seconds until the next task is due."""
        now = self._clock.monotonic()
        if self._retry_at > now or not self._claimed:
            at = self._retry_at
        else:
            at = min(self._renew_at, self._ship_at) if self.behind else self._renew_at
        if self._drain_until is not None:
            at = min(at, self._drain_until)
        return max(0.0, at - now)

    def _update_lag(self, error: Exception | None) -> None:
        """Report the replica's state if it has changed."""
        trouble, kind = _error_text(error)
        late = self._clock.monotonic() - self._renewed_at > TTL_SECONDS
        lag = Lag(
            seq=self._shipper.seq if self._shipper else 0,
            established=self._claimed,
            fence=self._fence,
            trouble=trouble,
            kind=kind,
            lapsed=self._claimed and late and bool(trouble),
        )
        if lag != self._reported:
            self._reported = lag
            self._report(lag)


def _error_text(error: Exception | None) -> tuple[str, str]:
    """The error for a user-facing message, and its kind; both empty for None."""
    if error is None:
        return "", ""
    if not isinstance(error, SpawnError):
        return f"internal error: {error!r}", "internal"
    hint = f" ({error.hint})" if error.hint else ""
    return f"{error.why or error.what}{hint}", getattr(error, "kind", "failed")


def _refuse(rows: object) -> None:
    raise Fenced("the queue continued on another machine: the store has events that are not here")


def _expect_ours(seen: LeaseSnapshot | None, owner: Owner, epoch: int) -> None:
    """Check that no other machine has taken the queue while the store was unreachable.

    Raises:
        Fenced: Another machine has.
    """
    if seen is None or seen.lease.handed_back or seen.lease.owner.place == owner.place:
        return
    raise Fenced(f"{owner_name(seen.lease)} owns the queue, in epoch {seen.lease.epoch}")
