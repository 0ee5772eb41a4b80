"""The loop that carries a queue from its first event to its last.

Each round: take what has happened, decide, write one transaction, then act. An effect always
follows the commit that it rests on, and nothing is remembered that the log does not say.
"""

from collections.abc import Callable, Iterable, Set
from copy import copy

from msgspec import structs

from spawn.core import decide, resumption
from spawn.core.events import (
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
from spawn.core.moments import moment, stamp
from spawn.core.plan import Finish, Start, foresee, plan
from spawn.core.state import JobState, QueueState
from spawn.core.submission import config_sha256, reconfigure
from spawn.runner.attempts import Attempts
from spawn.runner.checkpoints import Checkpoints
from spawn.runner.epoch import Epoch
from spawn.runner.leaving import Leaving
from spawn.runner.plans import Plans
from spawn.runner.ports import (
    CannotBegin,
    CannotPrepare,
    Checkpointed,
    Clock,
    Collected,
    Confirmed,
    Drained,
    Ended,
    Faltering,
    FencedOff,
    Happening,
    Hindered,
    Launcher,
    Noticed,
    Published,
    Publisher,
    PutBack,
    Removed,
    Renewed,
    Replica,
    Requested,
    Returned,
    Shipped,
    Signalled,
    Troubled,
    Waiter,
)
from spawn.runner.requests import Requests
from spawn.runner.retries import Retries
from spawn.runner.saving import Saving
from spawn.runner.troubles import Troubles
from spawn.store.failpoints import reached
from spawn.store.log.ledger import Ledger
from spawn.store.log.write import LogFull
from spawn.store.replica.lease import START_SECONDS
from spawn.store.requests import Request, Unreadable

AGAIN_SECONDS = 2.0
"""How long the loop waits before it tries again what failed through no fault of the queue."""

UNSAID_SECONDS = 5.0
"""How long a runner that was asked to stop, and whose jobs have ended, tries to log that."""

LOOK_SECONDS = 10.0
"""How long the loop rests at most."""

_LAPSED = f"the lease could not be renewed for {START_SECONDS:.0f} s"
_LAPSE = "another machine may have taken the queue"
LAPSED = (
    f"{_LAPSED}, so that {_LAPSE}: what runs goes on, and nothing new starts until the lease is "
    "renewed"
)

FENCED_GRACE = 3.0
"""Seconds from TERM to KILL for jobs of a queue that somebody else owns."""


class Runner:
    """Runs one queue.

    Args:
        ledger: The queue's log, which this process alone may write.
        opening: The drafts that make this process the owner.
        epoch: Of the opening.
        fraction: A random number in [0, 1), for jitter.
        last_lines: The end of an attempt's output, given its job.
        committed: Told of every event, after it is durable.
        say: Told what a person should know, a sentence each.
        troubles: Where troubles are noted; said alone when absent.
        answered: Told the id of each request whose answer is durable.
        owning: Told now and then how many seconds the queue has been ours, should we die.
        owed: Attempts that were over before us, whose files may not be in the object store.
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
        committed: Callable[[list[Event[Data]]], None],
        say: Callable[[str], None],
        answered: Callable[[str], None],
        plans: Plans,
        owning: Callable[[float], None] = lambda _: None,
        owed: Iterable[JobState] = (),
        troubles: Troubles | None = None,
    ) -> None:
        self._ledger = ledger
        self._launcher = launcher
        self._replica = replica
        self._clock = clock
        self._waiter = waiter
        self._opening = list(opening)
        self._committed = committed
        self._say = say
        self._troubles = troubles or Troubles(lambda _: None, say, clock.wall)
        self._plans = plans
        self._owed = owed
        self.epoch = Epoch(epoch, replica, clock, offline=plans.offline, owning=owning)
        self._config = plans.config
        """What takes the place of the queue's own configuration; None once it has."""
        self._config_sha256 = config_sha256(plans.config) if plans.config else ""
        self._leaving = Leaving(
            clock,
            plans.by if plans.cancel else "",
            ttl=plans.ttl,
            powers_off=plans.powers_off,
        )
        self._requests = Requests(answered)
        self._attempts = Attempts(
            launcher, publisher, clock, fraction=fraction, last_lines=last_lines, say=say
        )
        self._saving = Saving(publisher, clock, say, self._troubles)
        self._checkpoints = Checkpoints(publisher, say, self._troubles)
        self._seeking = True
        """Whether it may have changed who needs which results."""
        self._retries = Retries(clock)
        self._again: float | None = None
        self._mute_since: float | None = None
        """When a stop first had nothing left to wait for but a log that cannot be written."""
        self._finished = False
        self.unsaid = 0
        """The signal that ended us before the log could say so, as its disk is full; else 0."""

    @property
    def at_once(self) -> bool:
        """Whether somebody asked a second time to stop: nothing is waited for any more."""
        return self._leaving.at_once

    @property
    def taken_at(self) -> float | None:
        """When EC2 takes this instance back, by the monotonic clock; None while it does not."""
        return self._leaving.taken_at if self._leaving.notice else None

    def run(self) -> QueueState:
        """Run until the queue has ended or is interrupted; returns its last state.

        Raises:
            SpawnError: The log could not even take the opening events.
        """
        self._own()
        while not self._finished:
            self._round()
            if not self._finished:
                for happening in self._waiter.wait(self._wait_seconds()):
                    self._note(happening)
        return self._ledger.state

    def _own(self) -> None:
        """Become the owner, and take up what an earlier runner left."""
        self._ledger.stage(self._opening, at=self._clock.wall(), epoch=self.epoch.number)
        if self._plans.retry_failed:
            self._stage(decide.reset_failed(self._ledger.state, by=self._plans.by))
        self._tell(self._ledger.commit())
        self.epoch.begin(self._ledger.seq)
        reached("runner.owned")
        state = self._ledger.state
        self._leaving.set_deadline(self._config or state.config, state)
        self._attempts.begin(state, self._plans)
        reached("runner.adopted")
        if self._leaving.cancelled_by:
            self._attempts.stop("cancel", state.config.kill_grace)
        for job_id in state.retrying:
            job = state.jobs[job_id]
            left = (moment(job.retry_at) - self._clock.wall()).total_seconds()
            self._retries.wait(job, min(job.delay, max(0.0, left)))
        self._saving.begin(state, self._launcher.holds)
        self._checkpoints.begin(state, self._launcher.holds)
        for job in self._owed:
            self._publish(job)

    def _note(self, happening: Happening) -> None:
        """Remember what has happened; `_round` decides what it means."""
        match happening:
            case Ended() | Collected():
                self._attempts.take(happening, self._ledger.state)
            case Published():
                reached("runner.published")
                self._saving.take(happening)
            case Hindered(job_id) if self._checkpoints.concerns(job_id):
                self._checkpoints.take(happening)
            case Troubled() | PutBack() | Hindered():
                self._saving.take(happening)
            case Checkpointed() | Faltering() | Returned():
                self._checkpoints.take(happening)
            case Noticed():
                self._take_back(happening)
            case Signalled(number):
                self._interrupt(number)
            case Requested(request):
                reached("runner.requested")
                self._take(request)
            case Shipped() | Confirmed() | Renewed():
                self.epoch.take(happening)
            case Drained():
                pass  # it was asked to end after us
            case FencedOff(why) | Removed(why):
                self._leaving.fenced = why
                self._attempts.stop("fenced", FENCED_GRACE)

    def _take(self, request: Request | Unreadable) -> None:
        """Begin to follow a request; its answer comes with the next commit."""
        self._requests.take(request)
        if isinstance(request, Unreadable) or request.kind != "cancel":
            return
        if not self._leaving.cancelled_by:
            self._leaving.cancelled_by = request.by
            self._attempts.stop("cancel", self._ledger.state.config.kill_grace)

    def _interrupt(self, number: int) -> None:
        """Stop in good order; asked a second time, at once."""
        self._leaving.interrupt(number)
        if not self._leaves_jobs:
            grace = self._ledger.state.config.kill_grace
            self._attempts.stop("stop", 0.0 if self._leaving.at_once else grace)

    def _take_back(self, notice: Noticed) -> None:
        """EC2 takes the instance back: tell the jobs until when, and end them before."""
        grace = self._leaving.take_back(notice, self._ledger.state.config.kill_grace)
        if grace is None:
            return
        deadline = stamp(notice.at)
        self._say(f"EC2 takes this spot instance back: {notice.action} at {deadline}")
        self._attempts.warn(deadline)
        self._attempts.stop("spot", grace)

    def _round(self) -> None:
        """Decide, write, act."""
        now = self._clock.monotonic()
        self._again = None
        self.epoch.wake()
        if self._leaving.expire(self._ledger.state):
            self._attempts.stop("stop", self._ledger.state.config.kill_grace)
        self._retries.wake(self._ledger.state)
        closed: list[JobState] = []
        try:
            for drafts in self._saving.drafts(self._ledger.state, by=self._plans.by):
                self._stage(drafts)
            self._stage(self._checkpoints.drafts(self._ledger.state))
            for drafts in self._requests.drafts(self._ledger.state, leaving=bool(self._leaving)):
                self._stage(drafts)
            closed = self._stage_ends()
            self._stage_config()
            if not self._leaving:
                if self._seeking or self._saving.is_due(self._ledger.state):
                    for drafts in self._saving.seek(self._ledger.state, by=self._plans.by):
                        self._stage(drafts)
                self._checkpoints.seek(self._ledger.state)
            self._stage_starts()
            if self._attempts.prepared:
                reached("runner.prepared")
            self._stage_finish()
            events = self._ledger.commit()
        except LogFull as error:
            self._ledger.rollback()
            self._attempts.abandon()
            self._seeking = True
            self.epoch.forget(self._ledger.seq)
            self._again = now + AGAIN_SECONDS
            self._finished = self._stops_unsaid(now)
            if self._finished:
                self.unsaid = self._leaving.signal or 0
                self._say(f"{error}; stopped all the same: the next runner says how jobs ended")
                return
            self._troubles.begin(
                "log",
                error.what,
                why=error.why,
                hint=error.hint,
                holds=True,
                said=f"{error}; nothing new starts until it can",
            )
            self._retries.find(self._ledger.state)
            self.epoch.rest()
            return
        self._mute_since = None
        self._troubles.end("log")
        if self._again is None:
            self._troubles.end("start")
        if events:
            reached("runner.committed")
        self._saving.written()
        self._checkpoints.written()
        if not self._leaving:
            self._seeking = False
        self._attempts.go(self._ledger.state)
        if closed:
            reached("runner.outcome")
        self._requests.written()
        if self._finished:
            reached("runner.finished")
            self._requests.ended()
        if self._reconfigured:
            self._config = None
        for job in closed:
            self._attempts.close(job)
            if job.state == "retrying":
                self._retries.wait(job, job.delay)
            self._checkpoints.save(job)
            self._publish(job)
        self._tell(events)
        self.epoch.rest()
        if events and not self._finished and not self._leaving and self._config is None:
            coming = foresee(self._ledger.state)
            if coming is not None:
                self._launcher.foresee(coming, coming.attempt + 1)

    def _stops_unsaid(self, now: float) -> bool:
        """Whether to stop although the log cannot say so: at once when asked twice."""
        if self._leaving.signal is None or not (self._leaves_jobs or self._attempts.at_rest):
            return False
        if self._mute_since is None:
            self._mute_since = now
        return self._leaving.at_once or now >= self._mute_since + UNSAID_SECONDS

    def _stage_ends(self) -> list[JobState]:
        """Stage the outcome of each attempt that is over.

        Returns:
            Their jobs as they are then: the next attempt may begin in the same transaction.
        """
        closed = []
        state = self._ledger.state
        for job, drafts in self._attempts.ends(state):
            self._stage(drafts)
            if job.state == "completed" and state.config.durability == "s3":
                self.epoch.ship(job.config.job_id, self._ledger.seq)
            if self._leaving and not self._leaving.fenced:
                self._checkpoints.want(job)
            closed.append(copy(job))
        return closed

    def _stage_config(self) -> None:
        """Let a new configuration take over, once nothing runs."""
        state = self._ledger.state
        if self._config is None or state.running or self._leaving or self._saving.flows:
            return
        fresh = resumption.mended(state, self._config)
        self._stage(reconfigure(self._config, changes=resumption.changes(state, self._config)))
        for job_id in fresh:
            self._stage([Draft(JobReset(reason="retry", by=self._plans.by), job_id=job_id)])
        self._stage(decide.reblock(state))
        self._retries.find(state)

    @property
    def _reconfigured(self) -> bool:
        """Whether the queue has its configuration, staged or durable."""
        return self._config is None or self._ledger.state.config_sha256 == self._config_sha256

    @property
    def _leaves_jobs(self) -> bool:
        """Whether a stop leaves what runs to the next runner."""
        return self._plans.leave_jobs and not self._leaving.ends_jobs

    def _stage_starts(self) -> None:
        """Bring to the gate what may start now."""
        state = self._ledger.state
        held = self._held
        if not self.epoch.allows(state.config):
            lapsed = self.epoch.lapsed
            if lapsed and isinstance(plan(state, self._retries.first(state, held), held), Start):
                self._troubles.begin("lease", _LAPSED, why=_LAPSE, holds=True, said=LAPSED)
            return
        self._troubles.end("lease")
        while not self._leaving and self._reconfigured:
            step = plan(state, self._retries.first(state, held), held)
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
                    said=str(error),
                )
                self._again = self._clock.monotonic() + AGAIN_SECONDS
                return
            except CannotBegin as error:
                started = JobStarted(token="", pid=0, folder="", log_file="")
                self._stage([Draft(started, job_id=job_id, attempt=attempt)])
                self._stage(decide.failed_to_begin(state, job, str(error)))
                continue
            self._stage([Draft(started, job_id=job_id, attempt=attempt)])

    def _stage_finish(self) -> None:
        state = self._ledger.state
        leaving = self._leaving
        if leaving.fenced:
            if not state.running:
                self._finish(leaving.verdict)
            return
        leaving_jobs = leaving.signal is not None and self._leaves_jobs
        self._saving.rest(state, leaving=bool(leaving))
        if state.running and not leaving_jobs:
            return
        if self._saving.busy and not leaving.impatient:
            return
        if self._checkpoints.busy:
            if not leaving.gives_up(flows=self._checkpoints.flows):
                return
            self._stage(self._checkpoints.drop(state))
        held = self._held
        step = plan(state, self._retries.first(state, held), held)
        ends = isinstance(step, Finish) and not leaving and self._again is None
        if ends and self._saving.publish_again(state, self._launcher.holds):
            return
        if isinstance(step, Finish) and isinstance(step.verdict, QueueCompleted):
            self._finish(step.verdict)  # whatever else was asked for came too late
        elif leaving:
            self._finish(leaving.verdict)
        elif isinstance(step, Finish) and self._again is None:
            self._finish(step.verdict)

    def _finish(self, verdict: QueueInterrupted | QueueCompleted | QueueFailed | None) -> None:
        assert verdict is not None
        owned = round(self.epoch.seconds, 3)
        self._stage([Draft(structs.replace(verdict, owned_seconds=owned))])
        self._finished = True

    @property
    def _held(self) -> Set[str]:
        """Completed jobs whose dependents wait all the same, and jobs that do themselves."""
        state = self._ledger.state
        away = self._saving.held(state) | self._checkpoints.held(state)
        return decide.spread(state, self.epoch.held) | away

    def _stage(self, drafts: Iterable[Draft]) -> None:
        drafts = list(drafts)
        if any(isinstance(draft.data, JobReset | QueueReconfigured) for draft in drafts):
            self._seeking = True
        self._ledger.stage(drafts, at=self._clock.wall())

    def _tell(self, events: list[Event[Data]]) -> None:
        """Let everybody know what is durable now."""
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
            self._again,
            *self._saving.due(self._ledger.state.config.upload_wait),
        )
        now = self._clock.monotonic()
        left = [time - now for time in times if time is not None]
        return max(0.0, min([LOOK_SECONDS, *left]))
