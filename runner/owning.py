"""Come to own a queue: bring log and replica together, and see that nobody else is at work."""

from collections.abc import Callable
from copy import copy
from itertools import takewhile

from msgspec import Struct

from spawn.core.config.model import QueueConfig
from spawn.core.replay import Replay
from spawn.core.state import JobState, QueueState
from spawn.store.log.ledger import Ledger
from spawn.store.objects.port import Denied, SmallObjects, StoreError
from spawn.store.replica.claim import submitted
from spawn.store.replica.lease import Fenced, Owner
from spawn.store.replica.reconcile import Found, allow, find


class Owning(Struct, frozen=True, kw_only=True):
    """What was found out before the opening.

    `found` is None where the store could not be asked, or has another log: nothing begins then
    before the replicator has settled it. `fence`: whether the store honours conditional writes.
    """

    found: Found | None
    fence: bool
    diverged: str = ""
    """How the two logs differ: the queue went on elsewhere."""
    config: QueueConfig | None = None
    """What was submitted, where nothing but that is in the store."""

    def epoch(self, state: QueueState) -> int:
        """The epoch that the opening has: later than any that was begun or claimed."""
        claimed = self.found.seen.lease.epoch if self.found and self.found.seen else 0
        return max(state.epoch, claimed) + 1


def own(
    ledger: Ledger,
    store: SmallObjects,
    *,
    me: Owner,
    take: Callable[[], bool] | None,
    restore: bool,
    force: bool,
    end: Callable[[JobState], None],
    gone: Callable[[str, str | None], str],
    say: Callable[[str], None],
    nonce: str = "",
    against: str = "",
) -> Owning:
    """Reconcile a log with its replica, and see that the queue may be ours.

    Args:
        ledger: The local log; what the store has more is appended to it.
        take: Takes the place in the store for a queue that is new, and says whether the store
            honours conditional writes; None for one that must be there.
        restore: Whether the queue is to come from the store: then that must answer.
        force: Take it though its owner may be at work.
        end: Ends what still runs here of an attempt that is over by the log.
        gone: Says why an instance of a region certainly runs nothing; empty when it may.
        say: Told what a person should know.
        nonce: Of the leases that this process claims.
        against: The nonce of the only lease that `force` is meant for; empty: whichever is there.

    Raises:
        Owned: Somebody else owns it, or may.
        QueueExists, QueueNotFound: The place has another queue, or none.
        CorruptLog: The store's log is not whole.
        StoreError: The store does not answer, and nothing here can go on without.
    """
    new = ledger.empty and take is not None
    fence = True
    running = [] if ledger.empty else [copy(ledger.state.jobs[key]) for key in ledger.state.running]
    try:
        if new and take is not None:
            fence = take()
        rows, adopt = ledger.log.rows, ledger.adopt
        found, honoured = find(store, ledger.queue_id, rows, adopt, None if new else take)
    except Fenced as error:
        say(f"the queue went on elsewhere: {error}")
        # What runs here is ended like any fenced queue's.
        return Owning(found=None, fence=fence, diverged=str(error))
    except StoreError as error:
        if restore or (isinstance(error, Denied) and not running):
            raise
        say(f"{error} ({error.hint})" if error.hint else str(error))
        return Owning(found=None, fence=fence)
    if ledger.empty and new:
        return Owning(found=found, fence=fence)
    if ledger.empty:
        config, fence = submitted(store, ledger.queue_id, me, force=force)
        return Owning(found=found, fence=fence, config=config)
    moved = moved_from(ledger.state, me)  # its owner may not have said yet what that means for jobs
    for job in running:
        now = ledger.state.jobs.get(job.config.job_id)
        if moved or now is None or now.token != job.token or now.state != "running":
            end(job)
    fence = honoured and (ledger.state.owner.fence if ledger.state.owner else True)
    if against and found.seen is not None and found.seen.lease.nonce not in (against, nonce):
        force = False  # another machine took it meanwhile, and is alive for certain
    allow(_in_store(ledger, found), found, me, fence=fence, force=force, gone=gone, nonce=nonce)
    return Owning(found=found, fence=fence)


def _in_store(ledger: Ledger, found: Found) -> QueueState | None:
    """The state of the log as the store has it: an opening that is only here counts for nothing."""
    if found.seq >= ledger.state.owned_seq:
        return ledger.state
    fold = Replay(ledger.queue_id)
    fold.feed(takewhile(lambda row: row[0] <= found.seq, ledger.log.rows()))
    return fold.partial


def moved_from(state: QueueState, me: Owner) -> str:
    """The machine that the queue ran on, if it was another; empty otherwise."""
    owner = state.owner
    if owner is None or owner.place in ("", me.place):
        return ""
    return owner.hostname if owner.instance_id == "local" else owner.instance_id
