"""The loop that runs a queue.

Each round records what has happened, decides, commits one transaction, and then acts. An action
always follows the commit that it depends on. The loop can rebuild all its state from the log.
"""

from collections.abc import Callable, Iterable, Set
from copy import copy

from msgspec import structs

from spawn.core.domain import decide, resumption
from spawn.core.domain.events import (
    Data,
    Draft,
    Event,
    JobReset,
    JobStarted,
    QueueCompleted,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
)
from spawn.core.domain.plan import Finish, Start, likely_next, plan
from spawn.core.domain.state import JobState, QueueState
from spawn.core.domain.submission import config_sha256, reconfigure
from spawn.core.values.timestamps import format_timestamp, parse_timestamp
from spawn.runner.loop.attempts import Attempts
from spawn.runner.loop.epoch import Epoch
from spawn.runner.loop.requests import Requests
from spawn.runner.loop.retries import Retries
from spawn.runner.ports import (
    CannotPrepare,
    CannotStart,
    CheckpointRestored,
    CheckpointRetrying,
    CheckpointUploaded,
    Clock,
    Ended,
    FencedOff,
    Launcher,
    LogRemoved,
    LoopMessage,
    OwnershipConfirmed,
    Publisher,
    Renewed,
    Replica,
    ReplicatorEnded,
    Requested,
    RestoreRetrying,
    ResultsListed,
    ResultsRestored,
    Shipped,
    Signalled,
    SpotNotice,
    UploadEnded,
    UploadRetrying,
    Waiter,
)
from spawn.runner.runner_process import RunOptions
from spawn.runner.shutdown.stopping import StopReasons
from spawn.runner.transfers.checkpoints import Checkpoints
from spawn.runner.transfers.results import Saving
from spawn.runner.troubles import Troubles
from spawn.store.failpoints import mark
from spawn.store.log.ledger import Ledger
from spawn.store.log.write import LogFull
from spawn.store.queue_dir.requests import Request, UnreadableRequest
from spawn.store.replica.lease import START_SECONDS

RETRY_SECONDS = 2.0
"""Time before a retry when the log cannot be written or an attempt cannot be prepared."""

UNLOGGED_STOP_SECONDS = 5.0
"""How long a runner that is stopping, and whose jobs have ended, tries to log the end."""

MAX_WAIT_SECONDS = 10.0
"""Longest wait of the loop."""

_LAPSED = f"the lease could not be renewed for {START_SECONDS:.0f} s"
_RISK = "another machine may have taken over the queue"
_LAPSE_TEXT = (
    f"{_LAPSED}, so {_RISK}: running jobs continue, and no job starts until the lease is renewed"
)

FENCED_GRACE = 3.0
"""Seconds from SIGTERM to SIGKILL for jobs of a queue that another runner owns."""


class Runner:
    """Runs one queue.

    Args:
        ledger: The queue's log. No other process writes it.
        opening: The drafts that make this process the owner.
        epoch: Epoch of the opening.
        fraction: Returns a random number in [0, 1), for jitter.
        last_lines: Returns the last lines of output of a job's newest attempt.
        committed: Receives events once they are durable.
        say: Receives user-facing warnings, one sentence each.
        troubles: Records what blocks the runner; by default it is only passed to `say`.
        answered: Receives the id of each request whose answer is durable.
        owning: Receives the seconds that this runner has owned the queue, every `OWNING_SECONDS`.
        owed: Jobs whose newest attempt ended before, with files that may not be uploaded.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        launcher: Launcher,
        publisher: Publisher,
        replica: Replica,
        clock: Clock,
        waiter: Waiter,
        opening: Iterable[Draft],
        epoch: int,
        fraction: Callable[[], float],
        last_lines: Callable[[JobState], tuple[str, ...]],
        on_committed: Callable[[list[Event[Data]]], None],
        warn: Callable[[str], None],
        on_answered: Callable[[str], None],
        plans: RunOptions,
        save_owned: Callable[[float], None] = lambda _: None,
        pending_uploads: Iterable[JobState] = (),
        troubles: Troubles | None = None,
    ) -> None:
        self._ledger = ledger
        self._launcher = launcher
        self._replica = replica
        self._clock = clock
        self._waiter = waiter
        self._opening = list(opening)
        self._committed = on_committed
        self._say = warn
        self._troubles = troubles or Troubles(lambda _: None, warn, clock.wall)
        self._plans = plans
        self._owed = pending_uploads
        self.epoch = Epoch(epoch, replica, clock, offline=plans.offline, save_owned=save_owned)
        self._config = plans.config
        """New configuration to log; None once it is logged."""
        self._config_sha256 = config_sha256(plans.config) if plans.config else ""
        self._leaving = StopReasons(
            clock,
            plans.by if plans.cancel else "",
            ttl=plans.ttl,
            powers_off=plans.powers_off,
        )
        self._requests = Requests(on_answered)
        self._attempts = Attempts(
            launcher, publisher, clock, fraction=fraction, last_lines=last_lines, say=warn
        )
        self._saving = Saving(publisher, clock, warn, self._troubles)
        self._checkpoints = Checkpoints(publisher, warn, self._troubles)
        self._needs_changed = True
        """Whether other results may be needed on this machine than at the last restore."""
        self._retries = Retries(clock)
        self._retry_at: float | None = None
        self._unlogged_since: float | None = None
        """When a stop began to wait only for a log that cannot be written."""
        self._finished = False
        self.unlogged_signal = 0
        """Signal that stopped the runner while the log could not be written; 0 otherwise."""

    @property
    def at_once(self) -> bool:
        """Whether a second signal asked to stop without waiting."""
        return self._leaving.immediate

    @property
    def spot_deadline(self) -> float | None:
        """Time of the EC2 interruption by the monotonic clock; None without a notice."""
        return self._leaving.spot_deadline if self._leaving.notice else None

    def run(self) -> QueueState:
        """Run until the queue has ended or is interrupted; returns its last state.

        Raises:
            SpawnError: The opening events cannot be logged.
        """
        self._open()
        while not self._finished:
            self._round()
            if not self._finished:
                for happening in self._waiter.wait(self._wait_seconds()):
                    self._record(happening)
        return self._ledger.state

    def _open(self) -> None:
        """Log the opening, and adopt what an earlier runner left."""
        self._ledger.stage(self._opening, at=self._clock.wall(), epoch=self.epoch.number)
        if self._plans.retry_failed:
            self._stage(decide.reset_failed(self._ledger.state, by=self._plans.by))
        self._announce(self._ledger.commit())
        self.epoch.begin(self._ledger.seq)
        mark("runner.owned")
        state = self._ledger.state
        self._leaving.set_deadline(self._config or state.config, state)
        self._attempts.adopt(state, self._plans)
        mark("runner.adopted")
        if self._leaving.cancelled_by:
            self._attempts.stop("cancel", state.config.kill_grace)
        for job_id in state.retrying:
            job = state.jobs[job_id]
            left = (parse_timestamp(job.retry_at) - self._clock.wall()).total_seconds()
            self._retries.schedule(job, min(job.delay, max(0.0, left)))
        self._saving.load(state, self._launcher.ran_here)
        self._checkpoints.load(state, self._launcher.ran_here)
        for job in self._owed:
            self._publish(job)

    def _record(self, happening: LoopMessage) -> None:
        """Record what has happened; `_round` decides what follows."""
        match happening:
            case Ended() | ResultsListed():
                self._attempts.record(happening, self._ledger.state)
            case UploadEnded():
                mark("runner.published")
                self._saving.record(happening)
            case RestoreRetrying(job_id) if self._checkpoints.is_restoring(job_id):
                self._checkpoints.record(happening)
            case UploadRetrying() | ResultsRestored() | RestoreRetrying():
                self._saving.record(happening)
            case CheckpointUploaded() | CheckpointRetrying() | CheckpointRestored():
                self._checkpoints.record(happening)
            case SpotNotice():
                self._take_back(happening)
            case Signalled(number):
                self._interrupt(number)
            case Requested(request):
                mark("runner.requested")
                self._take_request(request)
            case Shipped() | OwnershipConfirmed() | Renewed():
                self.epoch.record(happening)
            case ReplicatorEnded():
                pass  # the replicator outlives the loop
            case FencedOff(why) | LogRemoved(why):
                self._leaving.fenced = why
                self._attempts.stop("fenced", FENCED_GRACE)

    def _take_request(self, request: Request | UnreadableRequest) -> None:
        """Act on a request; its answer is part of the next commit."""
        self._requests.add(request)
        if isinstance(request, UnreadableRequest) or request.kind != "cancel":
            return
        if not self._leaving.cancelled_by:
            self._leaving.cancelled_by = request.by
            self._attempts.stop("cancel", self._ledger.state.config.kill_grace)

    def _interrupt(self, number: int) -> None:
        """Stop cleanly on the first signal, immediately on the second."""
        self._leaving.record_signal(number)
        if not self._leaves_jobs:
            grace = self._ledger.state.config.kill_grace
            self._attempts.stop("stop", 0.0 if self._leaving.immediate else grace)

    def _take_back(self, notice: SpotNotice) -> None:
        """Warn and stop the jobs before EC2 interrupts the instance."""
        grace = self._leaving.record_spot_notice(notice, self._ledger.state.config.kill_grace)
        if grace is None:
            return
        deadline = format_timestamp(notice.at)
        self._say(f"EC2 interrupts this spot instance: {notice.action} at {deadline}")
        self._attempts.warn(deadline)
        self._attempts.stop("spot", grace)

    def _round(self) -> None:
        """Decide, commit, act."""
        now = self._clock.monotonic()
        self._retry_at = None
        self.epoch.begin_round()
        if self._leaving.expire(self._ledger.state):
            self._attempts.stop("stop", self._ledger.state.config.kill_grace)
        self._retries.collect_due(self._ledger.state)
        closed: list[JobState] = []
        try:
            for drafts in self._saving.drafts(self._ledger.state, by=self._plans.by):
                self._stage(drafts)
            self._stage(self._checkpoints.drafts(self._ledger.state))
            for drafts in self._requests.drafts(self._ledger.state, leaving=bool(self._leaving)):
                self._stage(drafts)
            closed = self._stage_outcomes()
            self._stage_config()
            if not self._leaving:
                if self._needs_changed or self._saving.is_restore_due(self._ledger.state):
                    for drafts in self._saving.restore(self._ledger.state, by=self._plans.by):
                        self._stage(drafts)
                self._checkpoints.restore(self._ledger.state)
            self._stage_starts()
            if self._attempts.prepared:
                mark("runner.prepared")
            self._stage_finish()
            events = self._ledger.commit()
        except LogFull as error:
            self._ledger.rollback()
            self._attempts.abandon()
            self._needs_changed = True
            self.epoch.roll_back(self._ledger.seq)
            self._retry_at = now + RETRY_SECONDS
            self._finished = self._stops_unlogged(now)
            if self._finished:
                self.unlogged_signal = self._leaving.signal or 0
                self._say(f"{error}; stopped anyway: the next runner logs how the jobs ended")
                return
            self._troubles.begin(
                "log",
                error.what,
                why=error.why,
                hint=error.hint,
                holds=True,
                warning=f"{error}; no job starts until it can",
            )
            self._retries.rebuild(self._ledger.state)
            self.epoch.end_round()
            return
        self._unlogged_since = None
        self._troubles.end("log")
        if self._retry_at is None:
            self._troubles.end("start")
        if events:
            mark("runner.committed")
        self._saving.mark_logged()
        self._checkpoints.mark_logged()
        if not self._leaving:
            self._needs_changed = False
        self._attempts.go(self._ledger.state)
        if closed:
            mark("runner.outcome")
        self._requests.mark_logged()
        if self._finished:
            mark("runner.finished")
            self._requests.answer_cancels()
        if self._reconfigured:
            self._config = None
        for job in closed:
            self._attempts.close(job)
            if job.state == "retrying":
                self._retries.schedule(job, job.delay)
            self._checkpoints.save(job)
            self._publish(job)
        self._announce(events)
        self.epoch.end_round()
        if events and not self._finished and not self._leaving and self._config is None:
            next_job = likely_next(self._ledger.state)
            if next_job is not None:
                self._launcher.foresee(next_job, next_job.attempt + 1)

    def _stops_unlogged(self, now: float) -> bool:
        """Whether to stop although the log cannot be written."""
        if self._leaving.signal is None or not (self._leaves_jobs or self._attempts.all_ended):
            return False
        if self._unlogged_since is None:
            self._unlogged_since = now
        return self._leaving.immediate or now >= self._unlogged_since + UNLOGGED_STOP_SECONDS

    def _stage_outcomes(self) -> list[JobState]:
        """Stage the outcome of each attempt that is over.

        Returns:
            Copies of their jobs: the next attempt may start in the same transaction.
        """
        closed = []
        state = self._ledger.state
        for job, drafts in self._attempts.outcomes(state):
            self._stage(drafts)
            if job.state == "completed" and state.config.durability == "s3":
                self.epoch.hold_dependents(job.config.job_id, self._ledger.seq)
            if self._leaving and not self._leaving.fenced:
                self._checkpoints.request(job)
            closed.append(copy(job))
        return closed

    def _stage_config(self) -> None:
        """Stage a new configuration once no job and no upload is in progress."""
        state = self._ledger.state
        if self._config is None or state.running or self._leaving or self._saving.is_progressing:
            return
        fresh = resumption.changed_failed_jobs(state, self._config)
        self._stage(
            reconfigure(self._config, changes=resumption.describe_changes(state, self._config))
        )
        for job_id in fresh:
            self._stage([Draft(JobReset(reason="retry", by=self._plans.by), job_id=job_id)])
        self._stage(decide.update_blocked(state))
        self._retries.rebuild(state)

    @property
    def _reconfigured(self) -> bool:
        """Whether the new configuration, if any, is staged or durable."""
        return self._config is None or self._ledger.state.config_sha256 == self._config_sha256

    @property
    def _leaves_jobs(self) -> bool:
        """Whether a stop leaves running jobs to the next runner."""
        return self._plans.leave_jobs and not self._leaving.ends_jobs

    def _stage_starts(self) -> None:
        """Prepare the attempts that may start now."""
        state = self._ledger.state
        held = self._held
        if not self.epoch.may_start_jobs(state.config):
            lapsed = self.epoch.lapsed
            if lapsed and isinstance(
                plan(state, self._retries.first_due(state, held), held), Start
            ):
                self._troubles.begin("lease", _LAPSED, why=_RISK, holds=True, warning=_LAPSE_TEXT)
            return
        self._troubles.end("lease")
        while not self._leaving and self._reconfigured:
            step = plan(state, self._retries.first_due(state, held), held)
            if not isinstance(step, Start):
                return
            job = step.job
            job_id, attempt = job.config.job_id, job.attempt + 1
            try:
                started = self._attempts.prepare(job)
            except CannotPrepare as error:
                self._troubles.begin(
                    "start",
                    error.what,
                    why=error.why,
                    hint=error.hint,
                    holds=True,
                    warning=str(error),
                )
                self._retry_at = self._clock.monotonic() + RETRY_SECONDS
                return
            except CannotStart as error:
                started = JobStarted(token="", pid=0, folder="", log_file="")
                self._stage([Draft(started, job_id=job_id, attempt=attempt)])
                self._stage(decide.fail_unprepared(state, job, str(error)))
                continue
            self._stage([Draft(started, job_id=job_id, attempt=attempt)])

    def _stage_finish(self) -> None:
        state = self._ledger.state
        leaving = self._leaving
        if leaving.fenced:
            if not state.running:
                self._finish(leaving.end_event)
            return
        leaving_jobs = leaving.signal is not None and self._leaves_jobs
        self._saving.give_up_if_due(state, leaving=bool(leaving))
        if state.running and not leaving_jobs:
            return
        if self._saving.must_wait and not leaving.upload_wait_over:
            return
        if self._checkpoints.is_saving:
            if not leaving.checkpoint_wait_over(is_progressing=self._checkpoints.is_progressing):
                return
            self._stage(self._checkpoints.drop(state))
        held = self._held
        step = plan(state, self._retries.first_due(state, held), held)
        ends = isinstance(step, Finish) and not leaving and self._retry_at is None
        if ends and self._saving.retry_given_up(state, self._launcher.ran_here):
            return
        if isinstance(step, Finish) and isinstance(step.verdict, QueueCompleted):
            self._finish(step.verdict)  # a stop or cancel came too late
        elif leaving:
            self._finish(leaving.end_event)
        elif isinstance(step, Finish) and self._retry_at is None:
            self._finish(step.verdict)

    def _finish(self, verdict: QueueInterrupted | QueueCompleted | QueueFailed | None) -> None:
        assert verdict is not None
        owned = round(self.epoch.seconds, 3)
        self._stage([Draft(structs.replace(verdict, owned_seconds=owned))])
        self._finished = True

    @property
    def _held(self) -> Set[str]:
        """Completed jobs whose dependents must wait, and jobs that must wait themselves."""
        state = self._ledger.state
        restoring = self._saving.held(state) | self._checkpoints.held(state)
        return decide.with_completed_dependents(state, self.epoch.held) | restoring

    def _stage(self, drafts: Iterable[Draft]) -> None:
        drafts = list(drafts)
        if any(isinstance(draft.data, JobReset | QueueReconfigured) for draft in drafts):
            self._needs_changed = True
        self._ledger.stage(drafts, at=self._clock.wall())

    def _announce(self, events: list[Event[Data]]) -> None:
        """Report durable events to the replicator and to `committed`."""
        if events:
            self._replica.committed(events[-1].seq)
        self._committed(events)

    def _publish(self, job: JobState) -> None:
        if not self._leaving.fenced:
            self._saving.publish(job)

    def _wait_seconds(self) -> float:
        times = (
            self._retries.next_at,
            self._leaving.next_at,
            self._retry_at,
            *self._saving.wakeup_times(self._ledger.state.config.upload_wait),
        )
        now = self._clock.monotonic()
        left = [time - now for time in times if time is not None]
        return max(0.0, min([MAX_WAIT_SECONDS, *left]))
