"""Reconcile a local log with its replica, before a runner takes the queue."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain as chain_

from msgspec import Struct

from spawn.core.domain import chain
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.state import QueueState
from spawn.core.errors import CorruptLog, QueueExists, SpawnError
from spawn.store.objects.interface import AccessDenied, SmallObjects
from spawn.store.replica import read
from spawn.store.replica.lease import (
    FORCE,
    Fenced,
    LeaseSnapshot,
    OwnedElsewhere,
    Owner,
    owner_name,
    read_lease,
)
from spawn.store.replica.ship import Log


class StoreHead(Struct, frozen=True):
    """The state of the store: its newest event, and the lease that a claim replaces."""

    seq: int
    hash: bytes
    seen: LeaseSnapshot | None
    fetched: int = 0
    """How many events the local log lacked."""


def reconcile(
    store: SmallObjects,
    queue_id: str,
    log: Log,
    append: Callable[[Iterable[Row]], None],
) -> StoreHead:
    """Compare the local log with the store's, and fetch the events that it lacks.

    Args:
        log: The local log.
        append: Appends events to the local log, in one transaction.

    Raises:
        Fenced: The logs differ: the queue was resumed elsewhere.
        CorruptLog: The store's log is incomplete or not legal.
        StoreError: The store cannot be read.
    """
    seen = read_lease(store)
    seq, hash_ = _known(seen, log)
    at_lease = {seq: hash_}
    fetched = 0

    def note(row: Row) -> None:
        nonlocal seq, hash_
        seq, hash_ = row[0], row[3]
        if seen is not None and seq == seen.lease.seq:
            at_lease[seq] = hash_

    def missing(first: Row) -> Iterator[Row]:
        nonlocal fetched
        fold = Replay(queue_id)
        fold.feed(log(0))
        for row in chain_([first], rows):
            fold.feed([row])
            note(row)
            fetched += 1
            yield row
        read.expect_head(seen, seq, at_lease)
        _ = fold.state  # raises if jobs of the configuration are missing

    local_rows = iter(log(seq))
    rows = read.read(store, queue_id, after=seq, hash_=hash_)
    for row in rows:
        local_row = next(local_rows, None)
        if local_row is None:
            append(missing(row))
            break
        if (local_row[2], local_row[3]) != (row[2], row[3]):
            raise Fenced(f"event {row[0]} in the store differs from the local one")
        note(row)
    read.expect_head(seen, seq, at_lease)
    return StoreHead(seq, hash_ or chain.genesis(queue_id), seen, fetched)


def reconcile_or_claim(
    store: SmallObjects,
    queue_id: str,
    log: Log,
    append: Callable[[Iterable[Row]], None],
    claim_place: Callable[[], bool] | None,
) -> tuple[StoreHead, bool]:
    """Reconcile. If the store has no log and no lease of the queue yet, claim the place first.

    A log or a lease decides who owns the queue. `queue.json` does not: it always names the machine
    that submitted the queue.

    Args:
        take: Claims the place and returns whether the store honors conditional writes; None if the
            place is claimed.

    Returns:
        The state of the store, and whether it honors conditional writes as far as known.

    Raises:
        As `reconcile`; `Fenced` also if another queue or machine has the place.
    """
    unread: SpawnError | None = None
    try:
        found = reconcile(store, queue_id, log, append)
    except (AccessDenied, CorruptLog) as error:
        if claim_place is None:
            raise
        unread = error
    else:
        if claim_place is None or found.seen is not None or found.seq:
            return found, True
    try:
        fence = claim_place()
    except QueueExists as error:
        if unread is not None:  # the owner is unknown
            raise unread from None
        raise Fenced(str(error)) from None
    return reconcile(store, queue_id, log, append), fence


def _known(seen: LeaseSnapshot | None, log: Log) -> tuple[int, bytes]:
    """The lease's newest event if the local log has it, else `(0, b"")`."""
    if seen is None or seen.lease.seq == 0:
        return 0, b""
    row = next(iter(log(seen.lease.seq - 1)), None)
    if row is None:
        return 0, b""
    if row[3].hex() != seen.lease.hash:
        raise Fenced(f"event {row[0]} in the store differs from the local one")
    return row[0], row[3]


def check_takeover(
    state: QueueState | None,
    found: StoreHead,
    me: Owner,
    *,
    fence: bool,
    force: bool,
    gone: Callable[[str, str | None], str],
    nonce: str = "",
) -> None:
    """Check whether this runner may take the queue.

    Args:
        state: The state by the store's log, without events that only this machine has; None if the
            store has no events.
        fence: Whether the store honors conditional writes.
        gone: Returns why an instance of a region certainly runs nothing; empty if it may run.
        nonce: The nonce of this process's claims, whose earlier try was allowed.

    Raises:
        Owned: The owner may still be running.
    """
    owner = state.owner if state else None
    if force or state is None or owner is None:
        return
    seen = found.seen
    same_place = owner.place in ("", me.place)
    if same_place and (seen is None or seen.lease.owner.place == me.place):
        return
    claimed_here = seen is not None and seen.lease.owner.place == me.place
    machine = owner_name(seen.lease) if seen and not claimed_here else owner.hostname
    if not fence:
        raise OwnedElsewhere(
            f"queue {state.queue_id} cannot be taken over safely",
            why="its object store ignores conditional writes, so the log has no fence there",
            hint=FORCE,
        )
    handed_back = seen is not None and seen.lease.handed_back and seen.lease.epoch >= state.epoch
    if handed_back or (owner.instance_id != "local" and gone(owner.instance_id, owner.region)):
        return
    if seen is not None and seen.lease.nonce != nonce and not seen.expired:
        if claimed_here:
            raise OwnedElsewhere(
                f"queue {state.queue_id} may still be running on {machine}",
                why=f"this machine claimed it {seen.age:.0f} s ago, and {machine} may not know yet",
                hint=f"wait; {FORCE}",
            )
        raise OwnedElsewhere(
            f"queue {state.queue_id} is owned by {machine}",
            why=f"its lease was renewed {seen.age:.0f} s ago",
            hint=f"stop the queue there, or wait; {FORCE}",
        )
    if state.running and not same_place:
        job = next(iter(state.running))
        renewed = f"; its lease was renewed {seen.age:.0f} s ago" if seen else ""
        raise OwnedElsewhere(
            f"queue {state.queue_id} may still be running on {owner.hostname}",
            why=f"according to the log, job {job} is running there{renewed}",
            hint=FORCE,
        )
