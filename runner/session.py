"""One try to own a queue, and to carry it to its end: wires a runner together."""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from spawn import __version__
from spawn.core import resumption
from spawn.core.config.model import QueueConfig
from spawn.core.errors import QueueExists, QueueNotFound
from spawn.core.events import Data, Draft, Event, MachineKept, QueueResumed, QueueStarted
from spawn.core.moments import moment
from spawn.core.owned import owned_seconds
from spawn.core.state import JobState, QueueState
from spawn.core.submission import config_sha256, submit
from spawn.runner.clock import SystemClock
from spawn.runner.epoch import OWNING_SECONDS
from spawn.runner.lag import LagReport
from spawn.runner.launcher import ProcessLauncher
from spawn.runner.loop import FENCED_GRACE, Runner
from spawn.runner.machine import ownership
from spawn.runner.notices import Notices
from spawn.runner.owning import Owning, moved_from, own
from spawn.runner.parting import MISSING, Parting
from spawn.runner.placing import choose_place
from spawn.runner.plans import Plans
from spawn.runner.poller import Poller
from spawn.runner.ports import Drained, Happening, Published, Removed, Requested, Signalled
from spawn.runner.publisher import ThreadPublisher
from spawn.runner.replicator import Replicator
from spawn.runner.start import Committed, RunOrder, Said
from spawn.runner.telling import Teller
from spawn.runner.threads import ReplicatorThread, ThreadBell
from spawn.runner.troubles import Troubles
from spawn.store import lag
from spawn.store import owning as owned_hint
from spawn.store.failpoints import reached
from spawn.store.identity import boot_id, hostname, owner
from spawn.store.instance import instance, metadata
from spawn.store.instance import place as place_here
from spawn.store.log.ledger import Ledger
from spawn.store.log.write import LogFull
from spawn.store.output import recent
from spawn.store.paths import QueuePaths, Roots
from spawn.store.place import open_place
from spawn.store.replica.claim import claim
from spawn.store.replica.lease import Owner
from spawn.store.replica.rebuild import discard
from spawn.store.requests import Inbox
from spawn.store.results.owed import owed
from spawn.store.results.restore import Restored
from spawn.store.troubles import Board

LAST_LINES = 10
STOP_DRAIN_SECONDS = 30.0
"""How long a runner that was stopped may take to bring the log to the store."""
AT_ONCE_DRAIN_SECONDS = 2.0
"""The same for one that was asked to stop a second time."""
END_DRAIN_SECONDS = 3600.0
"""The same for a queue that has ended."""


class Overtaken(Exception):
    """Somebody else took the queue while we did, before anything of ours began."""


class Session:
    """One try to own a queue and carry it to its end.

    Args:
        nonce: Of the leases that it claims: the same for every try of a process.
        against: The nonce of the lease that `--force` is meant for; empty before it was seen.
        died: How the runner of this order died that its guardian has started again.
    """

    def __init__(
        self,
        order: RunOrder,
        roots: Roots,
        paths: QueuePaths,
        launcher: ProcessLauncher,
        tell: Teller,
        nonce: str,
        against: str = "",
        died: str = "",
    ) -> None:
        self._order = order
        self._paths = paths
        self._launcher = launcher
        self._poller = Poller(tell.stopping)
        self._tell = tell
        self._clock = SystemClock()
        self._board = Board(paths.folder)
        self._troubles = Troubles(self._board, self._say, self._clock.wall)
        self._ledger = Ledger(paths.events, order.queue_id)
        self._log_file = _file_at(paths.events)
        self._fresh = self._ledger.empty
        self._instance = instance(os.environ)
        self._me = Owner(
            place=place_here(self._instance, roots.state),
            instance_id=self._instance.instance_id,
            hostname=hostname(),
            region=self._instance.region,
        )
        state = None if self._fresh else self._ledger.state
        self._objects = roots.objects
        try:
            self._place = choose_place(order, state, self._instance)
            self._store = open_place(self._place, roots.objects)
            self._parting = Parting(order.on_complete, self._instance, paths, self._store.location)
            self._parting.check(self._place)
        except BaseException:
            self.close()
            if self._fresh:
                self.discard()  # a log without an event would be taken for a queue's
            raise
        self._wrote = False
        self._nonce = nonce
        self._died = died
        self.against = against
        """The nonce of the lease that `--force` is meant for; empty before it was seen."""
        self.fenced = ""
        self.removed = ""
        """That the queue's folder or log is gone; empty while it is there."""
        self.unsaid = 0

    def run(self) -> QueueState:
        """Own the queue, run it, and bring what is left to the store; returns its last state.

        Raises:
            SpawnError: It cannot be run, or need not.
            Overtaken: The folder that was restored holds nothing of its own.
        """
        order, ledger = self._order, self._ledger
        if self._died and ledger.empty:
            raise QueueNotFound(f"the log of queue {order.queue_id} was removed")
        if not ledger.empty and order.task == "run":
            raise _exists(order.queue_id, ledger.state)
        if not ledger.empty:
            here = self._same_boot(ledger.state)
            self._parting.expect_time(ledger.state, order.ttl, self._clock.wall(), same_boot=here)
        owning = self._own()
        if not self.against and owning.found is not None and owning.found.seen is not None:
            self.against = owning.found.seen.lease.nonce
        if ledger.empty:
            self._submit(owning.config)
        elif self._fresh and order.task == "run":
            raise _exists(order.queue_id, ledger.state)  # it was here, and its folder is gone
        state = ledger.state
        found = owning.found
        behind = found is None
        if state.ended and found is not None and found.seq < ledger.seq:
            behind = self._settle(owning) > 0
        if state.ended and (owning.diverged or self.fenced):
            self.fenced = self.fenced or owning.diverged
            return state
        if state.ended and (self._died or order.task in ("or_resume", "cancel")):
            if self._same_boot(state):  # else somebody has started the machine for another purpose
                self._part(behind=behind)
            return state
        plans = self._plans()
        reached("runner.claimed")
        opening = ownership(
            QueueStarted if state.state == "pending" else QueueResumed,
            self._store.location,
            instance=self._instance,
            place=self._me.place,
            region=self._place.region or self._instance.region,
            fence=owning.fence,
        )
        if isinstance(opening, QueueResumed):
            here = not plans.moved_from  # elsewhere somebody else's epoch has this number
            told = owned_hint.find(self._paths.folder, state.epoch) if here else None
            owned = owned_seconds(state, told, every=OWNING_SECONDS)
            opening = structs.replace(opening, owned_seconds=owned, died=self._died)
        epoch = owning.epoch(state)
        return self._carry(state, plans, opening, epoch, self._replicator(owning, epoch))

    def _carry(
        self,
        state: QueueState,
        plans: Plans,
        opening: QueueStarted,
        epoch: int,
        replicator: Replicator,
    ) -> QueueState:
        poller, ledger = self._poller, self._ledger
        self._launcher.serve(
            self._paths, self._order.queue_id, lambda: ledger.state.config.kill_grace, poller
        )
        publisher = ThreadPublisher(self._store, poller.post, Restored(self._paths.folder))
        poller.look(self._look_at_disks)
        poller.look(self._look_at_log)
        inbox = Inbox(self._paths.requests)
        if state.ended:
            for request in inbox.read():
                inbox.done(request.id)  # it was meant for what the queue was before its end
        poller.watch(inbox, lambda: map(Requested, inbox.read()), also_unasked=True)
        for request in inbox.read():
            poller.post(Requested(request))

        runner = Runner(
            ledger=ledger,
            launcher=self._launcher,
            publisher=publisher,
            replica=replicator,
            clock=self._clock,
            waiter=poller,
            opening=[Draft(opening)],
            epoch=epoch,
            fraction=random.random,
            last_lines=lambda job: recent(job, LAST_LINES),
            committed=self._committed,
            say=self._say,
            troubles=self._troubles,
            answered=inbox.done,
            plans=plans,
            owed=owed(
                self._order.queue_id,
                ledger.log.rows(),
                failed_too=self._order.task == "resume",
            ),
            owning=lambda seconds: owned_hint.leave(
                self._paths.folder, owned_hint.Owning(epoch, seconds)
            ),
        )
        thread = ReplicatorThread(replicator, over=lambda: poller.post(Drained()))
        thread.start()
        notices = Notices(metadata(os.environ), poller.post) if self._instance.on_ec2 else None
        if notices is not None:
            notices.start()
        state = runner.run()
        if notices is not None:
            notices.close()
        self.unsaid = runner.unsaid
        if self.unsaid or self.removed:
            return state  # at once: what is left to copy is the next runner's, or gone
        missing = self._drain(replicator, thread, publisher, state, runner)
        self.fenced = replicator.fenced
        if self.fenced:
            for job_id in state.running:  # left to a next runner that will not be
                self._end(state.jobs[job_id])
        if self.fenced and self._fresh and not runner.epoch.owned and self._order.from_s3:
            raise Overtaken
        if not self.fenced:
            self._part(missing, behind=replicator.behind > 0)
        return state

    def discard(self) -> None:
        """Forget a log that was only fetched."""
        discard(self._paths.events)
        for name in (lag.NAME, owned_hint.NAME):  # they say what was in it
            (self._paths.folder / name).unlink(missing_ok=True)

    @property
    def ours(self) -> bool:
        """Whether the log has more than what this session fetched to take the queue over."""
        if self._fresh and self._order.from_s3:
            return self._wrote
        return next(iter(self._ledger.log.rows()), None) is not None

    def close(self) -> None:
        """Close the log."""
        self._ledger.close()
        self._board.close()

    def _own(self) -> Owning:
        """See `own`."""
        order = self._order
        return own(
            self._ledger,
            self._store,
            me=self._me,
            take=None if order.from_s3 else self._take_place,
            restore=order.from_s3,
            force=order.force,
            end=self._end,
            gone=self._gone,
            say=self._say,
            nonce=self._nonce,
            against=self.against,
        )

    def _whole_config(self) -> QueueConfig:
        """The configuration as it was submitted, with the queue's id."""
        if not self._ledger.empty:
            config = resumption.config_of(self._ledger.state)
        elif self._order.config is not None and self._order.task in ("run", "or_resume"):
            config = self._order.config
        else:
            raise QueueNotFound(f"queue {self._order.queue_id} was never submitted")
        return structs.replace(config, queue_id=self._order.queue_id)

    def _ensure_bucket(self) -> None:
        from spawn.store.bucket import ensure_bucket

        config = self._order.config
        chosen = bool(self._order.bucket or (config and config.result_s3_bucket))
        chosen = chosen or not self._ledger.empty  # the log says where it is
        place = ensure_bucket(self._place, self._say, chosen=chosen)
        if place != self._place:
            self._place = place
            self._store = open_place(place, self._objects)

    def _take_place(self) -> bool:
        if self._place.bucket:  # an earlier runner may not have reached it to make it
            self._ensure_bucket()
        return claim(self._store, self._whole_config(), by=self._me.place)

    def _submit(self, config: QueueConfig | None) -> None:
        drafts = submit(
            config or self._order.config or self._whole_config(),
            file=self._order.file,
            file_sha256=self._order.file_sha256,
            version=__version__,
        )
        self._ledger.stage(drafts, at=self._clock.wall())

    def _end(self, job: JobState) -> None:
        """End what still runs here of an attempt that counts no more."""
        self._launcher.end(job, "fenced", FENCED_GRACE)

    def _gone(self, instance_id: str, region: str | None) -> str:
        """Say why an instance certainly runs nothing any more."""
        from spawn.store.instances import state_of

        return state_of(instance_id, region, self._place.profile)

    def _plans(self) -> Plans:
        """What this order wants of the queue that is there.

        Raises:
            NothingToDo, InvalidArgument: See `resumption.check`.
        """
        order, state = self._order, self._ledger.state
        config = None
        if order.task == "or_resume" and order.config and state.epoch:
            if config_sha256(order.config) != state.config_sha256:
                self._say("the configuration has changed since; the queue goes on with its own")
        elif order.task == "resume":
            whole = resumption.config_of(state)
            config = structs.replace(order.config or whole, queue_id=state.config.queue_id)
            if order.global_timeout is not None:
                config = structs.replace(config, global_timeout=order.global_timeout)
            if not resumption.changes(state, config):
                config = None
            resumption.check(
                state,
                retry_failed=order.retry_failed,
                config=config,
                from_s3=order.from_s3,
            )
        return Plans(
            by=order.by or owner(),
            retry_failed=order.retry_failed,
            config=config,
            cancel=order.task == "cancel",
            leave_jobs=order.leave_jobs,
            offline=order.offline,
            rebooted=self._rebooted(state),
            ttl=order.ttl,
            powers_off=order.on_complete != "keep",
            moved_from=moved_from(state, self._me),
        )

    def _same_boot(self, state: QueueState) -> bool:
        """Whether this machine runs without a restart since the newest epoch began on it."""
        owner = state.owner
        if owner is None or owner.place != self._me.place:
            return False
        return owner.boot_id == boot_id() != ""

    def _part(self, missing: str = "", *, behind: bool) -> None:
        """See what becomes of the machine, and let the log say so where it is kept after all."""
        rows = self._ledger.log.rows()
        why = self._parting.part(self._ledger.state, rows, self._say, missing, behind=behind)
        if why:
            try:
                self._ledger.stage([Draft(MachineKept(why=why))], at=self._clock.wall())
                self._committed(self._ledger.commit())
            except LogFull:
                self._ledger.rollback()

    def _rebooted(self, state: QueueState) -> bool:
        """Whether this machine was restarted since the newest epoch began on it."""
        owner = state.owner
        if owner is None or owner.place not in ("", self._me.place):
            return False
        return bool(owner.boot_id) and boot_id() not in ("", owner.boot_id)

    def _replicator(self, owning: Owning, epoch: int) -> Replicator:
        return Replicator(
            store=self._store,
            queue_id=self._order.queue_id,
            log=self._ledger.log.rows,
            found=owning.found,
            take=self._take_place,
            fence=owning.fence,
            owner=self._me,
            epoch=epoch,
            nonce=self._nonce,
            clock=self._clock,
            bell=ThreadBell(),
            fraction=random.random,
            post=self._poller.post,
            free=self._place.bucket is None,
            report=LagReport(self._paths.folder, self._store.location, self._say, self._troubles),
            troubles=self._troubles.present,
        )

    def _settle(self, owning: Owning) -> int:
        """Bring what a queue that has ended still owes to the store; returns how many of its events
        are not there even so."""
        replicator = self._replicator(owning, owning.epoch(self._ledger.state))
        replicator.committed(self._ledger.seq)
        replicator.drain(STOP_DRAIN_SECONDS)
        replicator.run()
        self.fenced = replicator.fenced
        return replicator.behind

    def _drain_seconds(self, state: QueueState, runner: Runner) -> float:
        """How long it may take to bring what is left to the store: who stops us, or stopped the
        queue, waits less, and EC2 not at all."""
        if runner.at_once:
            return AT_ONCE_DRAIN_SECONDS
        ends = state.ended or self._parting.due(state)
        seconds = END_DRAIN_SECONDS if ends else STOP_DRAIN_SECONDS
        if runner.taken_at is not None and not state.ended:
            left = runner.taken_at - self._clock.monotonic()
            seconds = max(AT_ONCE_DRAIN_SECONDS, min(seconds, left))
        return seconds

    def _drain(
        self,
        replicator: Replicator,
        thread: ReplicatorThread,
        publisher: ThreadPublisher,
        state: QueueState,
        runner: Runner,
    ) -> str:
        """Wait until the whole log and all output are in the store, for as long as that may take.

        Returns:
            Why some of it may not be; empty where it is, but for events that are behind.
        """
        missing = ""
        seconds = self._drain_seconds(state, runner)
        if runner.at_once:
            publisher.abandon()
        until = self._clock.monotonic() + seconds
        replicator.drain(seconds, hand_back=not state.running)
        while not (thread.over and publisher.idle):
            left = until - self._clock.monotonic()
            if left <= 0 and not publisher.idle:
                publisher.abandon()
                missing = MISSING
            for happening in self._poller.wait(max(0.0, left) if not publisher.idle else None):
                if isinstance(happening, Published) and happening.unsaved:
                    missing = happening.unsaved
                if isinstance(happening, Signalled):
                    replicator.drain(0)
                    publisher.abandon()
                    missing = "somebody asked the runner to stop"
        publisher.close()
        if replicator.behind and not replicator.fenced:
            self._say(
                f"{replicator.behind} events are not in {self._store.location} yet; "
                f"`spawn queue resume {self._order.queue_id}` brings them"
            )
        return missing

    def _look_at_disks(self) -> Iterator[Happening]:
        self._troubles.look_at_disks((self._paths.folder, self._paths.log))
        return iter(())

    def _look_at_log(self) -> Iterator[Happening]:
        """See whether the log is still where readers look for it."""
        try:
            gone = _file_at(self._paths.events) != self._log_file
        except OSError:
            return  # a file system that fails for a moment
        if gone and not self.removed:
            there = self._paths.events.exists()
            how = "was replaced by another file" if there else "was removed"
            self.removed = f"{self._paths.events} {how}"
            self._say(f"{self.removed}: the queue's jobs are ended")
            yield Removed(self.removed)

    def _committed(self, events: list[Event[Data]]) -> None:
        if events:
            self._wrote = True
            self._tell(Committed(events[-1].seq))
            for happening in self._look_at_log():
                self._poller.post(happening)

    def _say(self, text: str) -> None:
        with suppress(OSError):  # its disk may be what is full
            print(text, file=sys.stderr, flush=True)
        self._tell(Said(text))


def _exists(queue_id: str, state: QueueState) -> QueueExists:
    resume = f"`spawn queue resume {queue_id}` goes on with it, " * (state.state != "completed")
    return QueueExists(
        f"queue {queue_id} was run before",
        why=f"submitted {moment(state.submitted_at).astimezone():%Y-%m-%d %H:%M:%S %Z}, "
        f"now {state.state}",
        hint=f"{resume}`--queue-id NEW` runs it anew",
    )


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to; None for none.

    Raises:
        OSError: That cannot be told.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
