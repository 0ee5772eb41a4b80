"""Takes ownership of a queue: reconciles the log with its replica, and checks the lease."""

import os
from collections.abc import Callable
from copy import copy
from itertools import takewhile
from pathlib import Path

from msgspec import Struct

from spawn import __version__
from spawn.core.config.model import QueueConfig
from spawn.core.domain.events import QueueResumed, QueueStarted
from spawn.core.domain.replay import Replay
from spawn.core.domain.state import JobState, QueueState
from spawn.store.aws.this_machine import Instance
from spawn.store.files import read_small
from spawn.store.identity import boot_id, hostname, owner
from spawn.store.log.ledger import Ledger
from spawn.store.objects.interface import AccessDenied, SmallObjects, StoreError
from spawn.store.replica.claim import take_over_submitted
from spawn.store.replica.lease import Fenced, Owner
from spawn.store.replica.reconcile import StoreHead, check_takeover, reconcile_or_claim


class OwnershipCheck(Struct, frozen=True, kw_only=True):
    """The state of the replica before the opening.

    `found` is None if the store is unreachable or has a different log; no job starts then until the
    replicator has resolved that. `fence`: whether the store honours conditional writes.
    """

    replica: StoreHead | None
    fence: bool
    diverged: str = ""
    """How the logs differ if another machine has continued the queue; empty otherwise."""
    config: QueueConfig | None = None
    """The submitted configuration, if the store has nothing else of the queue."""

    def epoch(self, state: QueueState) -> int:
        """The epoch of the opening: later than any that has started or been claimed."""
        claimed = self.replica.seen.lease.epoch if self.replica and self.replica.seen else 0
        return max(state.epoch, claimed) + 1


def take_ownership(
    ledger: Ledger,
    store: SmallObjects,
    *,
    me: Owner,
    take: Callable[[], bool] | None,
    restore: bool,
    force: bool,
    end: Callable[[JobState], None],
    why_terminated: Callable[[str, str | None], str],
    say: Callable[[str], None],
    nonce: str = "",
    force_nonce: str = "",
) -> OwnershipCheck:
    """Reconcile a log with its replica, and check that this process may own the queue.

    Args:
        ledger: The local log; events that only the store has are appended to it.
        take: Claims the place in the store for a new queue; returns whether the store honours
            conditional writes. None if the queue must exist.
        restore: Whether the queue comes from the store, which must then be reachable.
        force: Take over the queue even if its owner may be alive.
        end: Ends processes on this machine of an attempt that is over according to the log.
        gone: Returns why an instance certainly runs nothing, given its id and region; empty if it
            may run something.
        say: Receives user-facing warnings.
        nonce: Nonce of the leases that this process claims.
        against: Nonce of the only lease that `force` applies to; empty for any lease.

    Raises:
        Owned: Another process owns the queue, or may own it.
        QueueExists, QueueNotFound: The place in the store has another queue, or none.
        CorruptLog: The store's log is damaged.
        StoreError: The store is unreachable, and the queue cannot run without it.
    """
    new = ledger.empty and take is not None
    fence = True
    running = [] if ledger.empty else [copy(ledger.state.jobs[key]) for key in ledger.state.running]
    try:
        if new and take is not None:
            fence = take()
        rows, adopt = ledger.log.rows, ledger.adopt
        found, honoured = reconcile_or_claim(
            store, ledger.queue_id, rows, adopt, None if new else take
        )
    except Fenced as error:
        say(f"the queue continued on another machine: {error}")
        # The replicator finds the same and fences the queue, which ends its jobs here.
        return OwnershipCheck(replica=None, fence=fence, diverged=str(error))
    except StoreError as error:
        if restore or (isinstance(error, AccessDenied) and not running):
            raise
        say(f"{error} ({error.hint})" if error.hint else str(error))
        return OwnershipCheck(replica=None, fence=fence)
    if ledger.empty and new:
        return OwnershipCheck(replica=found, fence=fence)
    if ledger.empty:
        config, fence = take_over_submitted(store, ledger.queue_id, me, force=force)
        return OwnershipCheck(replica=found, fence=fence, config=config)
    moved = previous_machine(
        ledger.state, me
    )  # the new owner's log may not have these jobs' ends yet
    for job in running:
        now = ledger.state.jobs.get(job.config.job_id)
        if moved or now is None or now.token != job.token or now.state != "running":
            end(job)
    fence = honoured and (ledger.state.owner.fence if ledger.state.owner else True)
    if (
        force_nonce
        and found.seen is not None
        and found.seen.lease.nonce not in (force_nonce, nonce)
    ):
        force = False  # another machine has just taken over, so it is alive
    check_takeover(
        _in_store(ledger, found),
        found,
        me,
        fence=fence,
        force=force,
        gone=why_terminated,
        nonce=nonce,
    )
    return OwnershipCheck(replica=found, fence=fence)


def _in_store(ledger: Ledger, found: StoreHead) -> QueueState | None:
    """The state of the log in the store: an opening that only the local log has does not count."""
    if found.seq >= ledger.state.owned_seq:
        return ledger.state
    fold = Replay(ledger.queue_id)
    fold.feed(takewhile(lambda row: row[0] <= found.seq, ledger.log.rows()))
    return fold.partial


def previous_machine(state: QueueState, me: Owner) -> str:
    """Name of the machine that the queue ran on, if it was not this one; empty otherwise."""
    owner = state.owner
    if owner is None or owner.place in ("", me.place):
        return ""
    return owner.hostname if owner.instance_id == "local" else owner.instance_id


_HOST_KEYS = Path("/etc/ssh")
_MAX_BYTES = 8192
"""Largest host key file to read: an RSA key of 16,384 bits has 3 kB."""


def ownership(
    kind: type[QueueStarted] | type[QueueResumed],
    results_location: str,
    *,
    instance: Instance,
    place: str,
    region: str | None,
    fence: bool,
) -> QueueStarted:
    """Build the opening event with this process as the queue's owner.

    Args:
        place: Identifies this machine and the state folder.
        region: Region of the bucket, or of this instance.
        fence: Whether the object store honours conditional writes.
    """
    return kind(
        instance_id=instance.instance_id,
        place=place,
        region=region,
        fence=fence,
        hostname=hostname(),
        boot_id=boot_id(),
        version=__version__,
        owner=owner(),
        pid=os.getpid(),
        results_location=results_location,
        ssh_host_keys=tuple(
            _read_key(path) for path in sorted(_HOST_KEYS.glob("ssh_host_*_key.pub"))
        ),
    )


def _read_key(path: Path) -> str:
    try:
        return read_small(path, _MAX_BYTES, follow=True).decode("utf-8", "replace").strip()
    except OSError:
        return ""
