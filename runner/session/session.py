"""A runner's session: wires the parts together, takes ownership of a queue, and runs it."""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from spawn import __version__
from spawn.core.config.model import QueueConfig
from spawn.core.domain import resumption
from spawn.core.domain.events import Data, Draft, Event, MachineKept, QueueResumed, QueueStarted
from spawn.core.domain.resumption import owned_seconds
from spawn.core.domain.state import JobState, QueueState
from spawn.core.domain.submission import config_sha256, submit
from spawn.core.errors import QueueExists, QueueNotFound
from spawn.core.values.timestamps import parse_timestamp
from spawn.runner.loop.epoch import SAVE_OWNED_SECONDS
from spawn.runner.loop.queue_loop import FENCED_GRACE, Runner
from spawn.runner.poller import Poller
from spawn.runner.ports import (
    LogRemoved,
    LoopMessage,
    ReplicatorEnded,
    Requested,
    Signalled,
    UploadEnded,
)
from spawn.runner.process.launcher import ProcessLauncher
from spawn.runner.replication.lag_report import LagReport
from spawn.runner.replication.replicator import Replicator
from spawn.runner.runner_process import LogCommitted, RunOptions, RunRequest, WarningMessage
from spawn.runner.session.ownership import (
    OwnershipCheck,
    ownership,
    previous_machine,
    take_ownership,
)
from spawn.runner.session.reporter import Reporter
from spawn.runner.session.storage_place import choose_place
from spawn.runner.shutdown.machine_shutdown import MISSING, MachineShutdown
from spawn.runner.shutdown.spot_notices import Notices
from spawn.runner.system_clock import SystemClock
from spawn.runner.threads import ReplicatorThread, ThreadBell
from spawn.runner.transfers.publisher import ThreadPublisher
from spawn.runner.troubles import Troubles
from spawn.store.aws.this_machine import detect_instance, metadata
from spawn.store.aws.this_machine import machine_id as place_here
from spawn.store.failpoints import mark
from spawn.store.identity import boot_id, hostname, owner
from spawn.store.log import ownership_time as owned_hint
from spawn.store.log import replica_progress
from spawn.store.log.ledger import Ledger
from spawn.store.log.write import LogFull
from spawn.store.objects.location import open_place
from spawn.store.queue_dir.output import last_lines
from spawn.store.queue_dir.paths import QueuePaths, Roots
from spawn.store.queue_dir.requests import RequestInbox
from spawn.store.queue_dir.troubles import Board
from spawn.store.replica.claim import claim
from spawn.store.replica.lease import Owner
from spawn.store.replica.restore_log import discard
from spawn.store.results.pending_uploads import pending_uploads
from spawn.store.results.restore import RestoreRecord

LAST_LINES = 10
STOP_DRAIN_SECONDS = 30.0
"""How long a stopped runner may take to upload the log."""
AT_ONCE_DRAIN_SECONDS = 2.0
"""The same after a second stop signal."""
END_DRAIN_SECONDS = 3600.0
"""The same after the queue has ended."""


class Overtaken(Exception):
    """Another runner has taken over the queue before a job of this runner started."""


class Session:
    """One attempt to take ownership of a queue and to run it to its end.

    Args:
        nonce: Nonce of the leases it claims, the same for all sessions of a process.
        against: Nonce of the lease that `--force` applies to; empty until that is known.
        died: How the previous runner of this order died; empty for the first one.
    """

    def __init__(
        self,
        order: RunRequest,
        roots: Roots,
        paths: QueuePaths,
        launcher: ProcessLauncher,
        report: Reporter,
        nonce: str,
        against: str = "",
        died: str = "",
    ) -> None:
        self._order = order
        self._paths = paths
        self._launcher = launcher
        self._poller = Poller(report.stopping)
        self._report = report
        self._clock = SystemClock()
        self._board = Board(paths.folder)
        self._troubles = Troubles(self._board, self._say, self._clock.wall)
        self._ledger = Ledger(paths.events, order.queue_id)
        self._log_file = _file_at(paths.events)
        self._fresh = self._ledger.empty
        self._instance = detect_instance(os.environ)
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
            self._shutdown = MachineShutdown(
                order.on_complete, self._instance, paths, self._store.location
            )
            self._shutdown.check(self._place)
        except BaseException:
            self.close()
            if self._fresh:
                self.discard()  # readers would take an empty log for a queue's
            raise
        self._wrote = False
        self._nonce = nonce
        self._died = died
        self.against = against
        """Nonce of the lease that `--force` applies to; empty until that is known."""
        self.fenced = ""
        self.removed = ""
        """How the queue's log was removed; empty while it exists."""
        self.unlogged_signal = 0

    def run(self) -> QueueState:
        """Take ownership of the queue, run it, and upload the rest; returns its last state.

        Raises:
            SpawnError: The queue cannot run, or has nothing to do.
            Overtaken: Another runner was faster; the log has only what was fetched.
        """
        order, ledger = self._order, self._ledger
        if self._died and ledger.empty:
            raise QueueNotFound(f"the log of queue {order.queue_id} was removed")
        if not ledger.empty and order.task == "run":
            raise _exists(order.queue_id, ledger.state)
        if not ledger.empty:
            same_boot = self._same_boot(ledger.state)
            now = self._clock.wall()
            self._shutdown.check_ttl(ledger.state, order.ttl, now, same_boot=same_boot)
        owning = self._own()
        if not self.against and owning.replica is not None and owning.replica.seen is not None:
            self.against = owning.replica.seen.lease.nonce
        if ledger.empty:
            self._submit(owning.config)
        elif self._fresh and order.task == "run":
            raise _exists(order.queue_id, ledger.state)  # the folder was removed, the replica not
        state = ledger.state
        found = owning.replica
        behind = found is None
        if state.ended and found is not None and found.seq < ledger.seq:
            behind = self._settle(owning) > 0
        if state.ended and (owning.diverged or self.fenced):
            self.fenced = self.fenced or owning.diverged
            return state
        if state.ended and (self._died or order.task in ("or_resume", "cancel")):
            if self._same_boot(state):  # otherwise the machine was started for something else
                self._power_off_if_due(behind=behind)
            return state
        plans = self._plans()
        mark("runner.claimed")
        opening = ownership(
            QueueStarted if state.state == "pending" else QueueResumed,
            self._store.location,
            instance=self._instance,
            place=self._me.place,
            region=self._place.region or self._instance.region,
            fence=owning.fence,
        )
        if isinstance(opening, QueueResumed):
            here = not plans.moved_from  # otherwise a hint here is about another epoch
            hint = owned_hint.load_owned_time(self._paths.folder, state.epoch) if here else None
            owned = owned_seconds(state, hint, interval=SAVE_OWNED_SECONDS)
            opening = structs.replace(opening, owned_seconds=owned, died=self._died)
        epoch = owning.epoch(state)
        return self._run_loop(state, plans, opening, epoch, self._replicator(owning, epoch))

    def _run_loop(
        self,
        state: QueueState,
        plans: RunOptions,
        opening: QueueStarted,
        epoch: int,
        replicator: Replicator,
    ) -> QueueState:
        poller, ledger = self._poller, self._ledger
        self._launcher.serve(
            self._paths, self._order.queue_id, lambda: ledger.state.config.kill_grace, poller
        )
        publisher = ThreadPublisher(self._store, poller.post, RestoreRecord(self._paths.folder))
        poller.poll_regularly(self._check_disks)
        poller.poll_regularly(self._check_log)
        inbox = RequestInbox(self._paths.requests)
        if state.ended:
            for request in inbox.read():
                inbox.done(request.id)  # it was sent before the queue ended
        poller.watch(inbox, lambda: map(Requested, inbox.read()), also_poll=True)
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
            last_lines=lambda job: last_lines(job, LAST_LINES),
            on_committed=self._committed,
            warn=self._say,
            troubles=self._troubles,
            on_answered=inbox.done,
            plans=plans,
            pending_uploads=pending_uploads(
                self._order.queue_id,
                ledger.log.rows(),
                failed_too=self._order.task == "resume",
            ),
            save_owned=lambda seconds: owned_hint.save_owned_time(
                self._paths.folder, owned_hint.OwnershipTime(epoch, seconds)
            ),
        )
        thread = ReplicatorThread(replicator, on_end=lambda: poller.post(ReplicatorEnded()))
        thread.start()
        notices = Notices(metadata(os.environ), poller.post) if self._instance.on_ec2 else None
        if notices is not None:
            notices.start()
        state = runner.run()
        if notices is not None:
            notices.close()
        self.unlogged_signal = runner.unlogged_signal
        if self.unlogged_signal or self.removed:
            return state  # do not wait: the next runner uploads the rest, unless it was removed
        missing = self._drain(replicator, thread, publisher, state, runner)
        self.fenced = replicator.fenced
        if self.fenced:
            for job_id in state.running:  # no next runner here will adopt it
                self._end(state.jobs[job_id])
        if self.fenced and self._fresh and not runner.epoch.owned and self._order.from_s3:
            raise Overtaken
        if not self.fenced:
            self._power_off_if_due(missing, behind=replicator.behind > 0)
        return state

    def discard(self) -> None:
        """Remove a log that is empty or was only fetched."""
        discard(self._paths.events)
        for name in (replica_progress.NAME, owned_hint.NAME):  # hints about this log
            (self._paths.folder / name).unlink(missing_ok=True)

    @property
    def has_own_events(self) -> bool:
        """Whether the log has more than what this session has fetched for a takeover."""
        if self._fresh and self._order.from_s3:
            return self._wrote
        return next(iter(self._ledger.log.rows()), None) is not None

    def close(self) -> None:
        """Close the log."""
        self._ledger.close()
        self._board.close()

    def _own(self) -> OwnershipCheck:
        """Take ownership as the order says."""
        order = self._order
        return take_ownership(
            self._ledger,
            self._store,
            me=self._me,
            take=None if order.from_s3 else self._take_place,
            restore=order.from_s3,
            force=order.force,
            end=self._end,
            why_terminated=self._gone,
            say=self._say,
            nonce=self._nonce,
            force_nonce=self.against,
        )

    def _whole_config(self) -> QueueConfig:
        """The submitted configuration, with the queue's id."""
        if not self._ledger.empty:
            config = resumption.config_of(self._ledger.state)
        elif self._order.config is not None and self._order.task in ("run", "or_resume"):
            config = self._order.config
        else:
            raise QueueNotFound(f"queue {self._order.queue_id} was never submitted")
        return structs.replace(config, queue_id=self._order.queue_id)

    def _ensure_bucket(self) -> None:
        from spawn.store.aws.bucket import ensure_bucket

        config = self._order.config
        chosen = bool(self._order.bucket or (config and config.result_s3_bucket))
        chosen = chosen or not self._ledger.empty  # the log names the bucket
        place = ensure_bucket(self._place, self._say, chosen=chosen)
        if place != self._place:
            self._place = place
            self._store = open_place(place, self._objects)

    def _take_place(self) -> bool:
        if self._place.bucket:  # an earlier runner may have failed to create it
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
        """End the processes of an attempt that no longer counts."""
        self._launcher.end(job, "fenced", FENCED_GRACE)

    def _gone(self, instance_id: str, region: str | None) -> str:
        """Why an instance certainly runs nothing; empty if it may run something."""
        from spawn.store.aws.ec2_instances import state_of

        return state_of(instance_id, region, self._place.profile)

    def _plans(self) -> RunOptions:
        """The runner's options for this order and the current state.

        Raises:
            NothingToDo, InvalidArgument: From `resumption.check`.
        """
        order, state = self._order, self._ledger.state
        config = None
        if order.task == "or_resume" and order.config and state.epoch:
            if config_sha256(order.config) != state.config_sha256:
                self._say("the configuration has changed, but the queue keeps its current one")
        elif order.task == "resume":
            whole = resumption.config_of(state)
            config = structs.replace(order.config or whole, queue_id=state.config.queue_id)
            if order.global_timeout is not None:
                config = structs.replace(config, global_timeout=order.global_timeout)
            if not resumption.describe_changes(state, config):
                config = None
            resumption.check_resumable(
                state,
                retry_failed=order.retry_failed,
                config=config,
                from_s3=order.from_s3,
            )
        return RunOptions(
            by=order.by or owner(),
            retry_failed=order.retry_failed,
            config=config,
            cancel=order.task == "cancel",
            leave_jobs=order.leave_jobs,
            offline=order.offline,
            rebooted=self._rebooted(state),
            ttl=order.ttl,
            powers_off=order.on_complete != "keep",
            moved_from=previous_machine(state, self._me),
        )

    def _same_boot(self, state: QueueState) -> bool:
        """Whether the newest epoch began on this machine, and there was no reboot since."""
        owner = state.owner
        if owner is None or owner.place != self._me.place:
            return False
        return owner.boot_id == boot_id() != ""

    def _power_off_if_due(self, missing: str = "", *, behind: bool) -> None:
        """Power off the machine if due; log why if that is not possible."""
        state, rows = self._ledger.state, self._ledger.log.rows()
        why = self._shutdown.power_off_if_due(state, rows, self._say, missing, behind=behind)
        if why:
            try:
                self._ledger.stage([Draft(MachineKept(why=why))], at=self._clock.wall())
                self._committed(self._ledger.commit())
            except LogFull:
                self._ledger.rollback()

    def _rebooted(self, state: QueueState) -> bool:
        """Whether the newest epoch began on this machine, and there was a reboot since."""
        owner = state.owner
        if owner is None or owner.place not in ("", self._me.place):
            return False
        return bool(owner.boot_id) and boot_id() not in ("", owner.boot_id)

    def _replicator(self, owning: OwnershipCheck, epoch: int) -> Replicator:
        return Replicator(
            store=self._store,
            queue_id=self._order.queue_id,
            log=self._ledger.log.rows,
            replica=owning.replica,
            claim_place=self._take_place,
            fence=owning.fence,
            owner=self._me,
            epoch=epoch,
            nonce=self._nonce,
            clock=self._clock,
            bell=ThreadBell(),
            fraction=random.random,
            post=self._poller.post,
            unspaced=self._place.bucket is None,
            report=LagReport(self._paths.folder, self._store.location, self._say, self._troubles),
            troubles=self._troubles.present,
        )

    def _settle(self, owning: OwnershipCheck) -> int:
        """Upload the rest of an ended queue's log; returns how many events are still missing."""
        replicator = self._replicator(owning, owning.epoch(self._ledger.state))
        replicator.committed(self._ledger.seq)
        replicator.drain(STOP_DRAIN_SECONDS)
        replicator.run()
        self.fenced = replicator.fenced
        return replicator.behind

    def _drain_seconds(self, state: QueueState, runner: Runner) -> float:
        """Seconds for uploading the rest: less after a stop, and limited by an EC2 interruption."""
        if runner.at_once:
            return AT_ONCE_DRAIN_SECONDS
        ends = state.ended or self._shutdown.due(state)
        seconds = END_DRAIN_SECONDS if ends else STOP_DRAIN_SECONDS
        if runner.spot_deadline is not None and not state.ended:
            left = runner.spot_deadline - self._clock.monotonic()
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
        """Upload the rest of the log, and wait for uploads of files, up to `_drain_seconds`.

        Returns:
            Why some files may be missing in the store; empty if none is.
        """
        missing = ""
        seconds = self._drain_seconds(state, runner)
        if runner.at_once:
            publisher.abandon()
        until = self._clock.monotonic() + seconds
        replicator.drain(seconds, hand_back=not state.running)
        while not (thread.ended and publisher.idle):
            left = until - self._clock.monotonic()
            if left <= 0 and not publisher.idle:
                publisher.abandon()
                missing = MISSING
            for happening in self._poller.wait(max(0.0, left) if not publisher.idle else None):
                if isinstance(happening, UploadEnded) and happening.unsaved:
                    missing = happening.unsaved
                if isinstance(happening, Signalled):
                    replicator.drain(0)
                    publisher.abandon()
                    missing = "a signal stopped the runner"
        publisher.close()
        if replicator.behind and not replicator.fenced:
            self._say(
                f"{replicator.behind} events are not in {self._store.location} yet; "
                f"`spawn queue resume {self._order.queue_id}` uploads them"
            )
        return missing

    def _check_disks(self) -> Iterator[LoopMessage]:
        self._troubles.check_disks((self._paths.folder, self._paths.log))
        return iter(())

    def _check_log(self) -> Iterator[LoopMessage]:
        """Check that the log is still the file that readers open."""
        try:
            gone = _file_at(self._paths.events) != self._log_file
        except OSError:
            return  # a temporary error of the file system
        if gone and not self.removed:
            exists = self._paths.events.exists()
            how = "was replaced by another file" if exists else "was removed"
            self.removed = f"{self._paths.events} {how}"
            self._say(f"{self.removed}: the queue's jobs are being stopped")
            yield LogRemoved(self.removed)

    def _committed(self, events: list[Event[Data]]) -> None:
        if events:
            self._wrote = True
            self._report(LogCommitted(events[-1].seq))
            for happening in self._check_log():
                self._poller.post(happening)

    def _say(self, text: str) -> None:
        with suppress(OSError):  # the disk of runner.log may be full
            print(text, file=sys.stderr, flush=True)
        self._report(WarningMessage(text))


def _exists(queue_id: str, state: QueueState) -> QueueExists:
    resume = f"`spawn queue resume {queue_id}` resumes it, " * (state.state != "completed")
    return QueueExists(
        f"queue {queue_id} was run before",
        why=f"submitted {parse_timestamp(state.submitted_at).astimezone():%Y-%m-%d %H:%M:%S %Z}, "
        f"now {state.state}",
        hint=f"{resume}`--queue-id NEW` starts a new queue",
    )


def _file_at(path: Path) -> tuple[int, int] | None:
    """Device and inode of a path's file; None if there is no file.

    Raises:
        OSError: The file system fails.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
