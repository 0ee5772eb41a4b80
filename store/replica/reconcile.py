"""Bring a local log and its replica together, before anybody owns the queue."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain as chain_

from msgspec import Struct

from spawn.core import chain
from spawn.core.errors import CorruptLog, QueueExists, SpawnError
from spawn.core.replay import Replay, Row
from spawn.core.state import QueueState
from spawn.store.objects.port import Denied, SmallObjects
from spawn.store.replica import restore
from spawn.store.replica.lease import FORCE, Fenced, Owned, Owner, Seen, describe, look
from spawn.store.replica.ship import Log


class Found(Struct, frozen=True):
    """What was found in the store: its newest event, and the lease that a claim rests on."""

    seq: int
    hash: bytes
    seen: Seen | None
    fetched: int = 0
    """How many events the local log did not have."""


def reconcile(
    store: SmallObjects,
    queue_id: str,
    log: Log,
    append: Callable[[Iterable[Row]], None],
) -> Found:
    """Compare the local log with the store's, and fetch what the store has more.

    Args:
        log: The local log.
        append: Writes events that follow the local log's last, in one transaction.

    Raises:
        Fenced: The two logs differ: the queue went on elsewhere.
        CorruptLog: The store's log is not whole, or not legal.
        StoreError: The store cannot be read.
    """
    seen = look(store)
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
        restore.expect_head(seen, seq, at_lease)
        _ = fold.state  # it must hold every job of the configuration

    ours = iter(log(seq))
    rows = restore.read(store, queue_id, after=seq, hash_=hash_)
    for row in rows:
        mine = next(ours, None)
        if mine is None:
            append(missing(row))
            break
        if (mine[2], mine[3]) != (row[2], row[3]):
            raise Fenced(f"event {row[0]} in the store is not the one here")
        note(row)
    restore.expect_head(seen, seq, at_lease)
    return Found(seq, hash_ or chain.genesis(queue_id), seen, fetched)


def find(
    store: SmallObjects,
    queue_id: str,
    log: Log,
    append: Callable[[Iterable[Row]], None],
    take: Callable[[], bool] | None,
) -> tuple[Found, bool]:
    """Reconcile; where nothing of the queue is in the store yet, take the place first: the machine
    that began it could not. Where a log or a lease is, they say whose the queue is, and not
    `queue.json`: that names the machine that it was submitted on, for ever.

    Args:
        take: Takes the place, and says whether the store honours conditional writes; None for a
            queue whose place is taken.

    Returns:
        What was found, and whether the store honours conditional writes for all we know.

    Raises:
        See `reconcile`; `Fenced` also where the place is another queue's, or machine's.
    """
    unread: SpawnError | None = None
    try:
        found = reconcile(store, queue_id, log, append)
    except (Denied, CorruptLog) as error:
        if take is None:
            raise
        unread = error
    else:
        if take is None or found.seen is not None or found.seq:
            return found, True
    try:
        fence = take()
    except QueueExists as error:
        if unread is not None:  # who owns the queue is not known
            raise unread from None
        raise Fenced(str(error)) from None
    return reconcile(store, queue_id, log, append), fence


def _known(seen: Seen | None, log: Log) -> tuple[int, bytes]:
    """The newest event that the lease says the store has, if the local log has it too."""
    if seen is None or seen.lease.seq == 0:
        return 0, b""
    row = next(iter(log(seen.lease.seq - 1)), None)
    if row is None:
        return 0, b""
    if row[3].hex() != seen.lease.hash:
        raise Fenced(f"event {row[0]} in the store is not the one here")
    return row[0], row[3]


def allow(
    state: QueueState | None,
    found: Found,
    me: Owner,
    *,
    fence: bool,
    force: bool,
    gone: Callable[[str, str | None], str],
    nonce: str = "",
) -> None:
    """See whether the queue may be taken.

    Args:
        state: Of the log as it is in the store: what is only here was never seen by anybody. None
            where nothing is there.
        fence: Whether the store honours conditional writes.
        gone: Says why an instance of a region certainly runs nothing any more; empty when it may.
        nonce: Of the leases that this process has claimed: an earlier try of ours was let have it.

    Raises:
        Owned: Its owner may still be at work.
    """
    owner = state.owner if state else None
    if force or state is None or owner is None:
        return
    seen = found.seen
    ours = owner.place in ("", me.place)
    if ours and (seen is None or seen.lease.owner.place == me.place):
        return
    claimed_here = seen is not None and seen.lease.owner.place == me.place
    who = describe(seen.lease) if seen and not claimed_here else owner.hostname
    if not fence:
        raise Owned(
            f"queue {state.queue_id} cannot be taken over safely",
            why="its object store ignores conditional writes, so that the log has no fence there",
            hint=FORCE,
        )
    handed_back = seen is not None and seen.lease.handed_back and seen.lease.epoch >= state.epoch
    if handed_back or (owner.instance_id != "local" and gone(owner.instance_id, owner.region)):
        return
    if seen is not None and seen.lease.nonce != nonce and not seen.expired:
        if claimed_here:
            raise Owned(
                f"queue {state.queue_id} may still run on {who}",
                why=f"this machine claimed it {seen.age:.0f} s ago, and {who} may not know yet",
                hint=f"wait; {FORCE}",
            )
        raise Owned(
            f"queue {state.queue_id} is owned by {who}",
            why=f"it said so {seen.age:.0f} s ago",
            hint=f"stop it there, or wait; {FORCE}",
        )
    if state.running and not ours:
        job = next(iter(state.running))
        silent = f", silent for {seen.age:.0f} s" if seen else ""
        raise Owned(
            f"queue {state.queue_id} may still run on {owner.hostname}",
            why=f"job {job} is running there as far as the log says{silent}",
            hint=FORCE,
        )
