"""The loop that carries a queue from its first event to its last.

Each round: take what has happened, decide, write one transaction, then act. An effect always
follows the commit that it rests on, and nothing is remembered that the log does not say.
"""

from collections.abc import Callable, Iterable
from copy import copy

from msgspec import Struct, structs

from spawn.core import decide, resumption
from spawn.core.config.model import QueueConfig
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
    RequestRefused,
    Results,
)
from spawn.core.exit import Exit, StopCause, unended_text
from spawn.core.moments import moment, stamp
from spawn.core.plan import Finish, Start, foresee, plan
from spawn.core.state import JobState, QueueState
from spawn.core.submission import config_sha256, reconfigure
from spawn.core.ttl import Ttl
from spawn.runner.checkpoints import Checkpoints
from spawn.runner.leaving import Leaving
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
    Replica,
    Requested,
    Returned,
    Shipped,
    Signalled,
    Troubled,
    Waiter,
)
from spawn.runner.retries import Retries
from spawn.runner.saving import Saving
from spawn.store.failpoints import reached
from spawn.store.log.ledger import Ledger
from spawn.store.log.write import LogFull
from spawn.store.requests import Request, Unreadable

AGAIN_SECONDS = 2.0
"""How long the loop waits before it tries again what failed through no fault of the queue."""

LOOK_SECONDS = 10.0
"""How long the loop rests at most."""

OWNING_SECONDS = 10.0
"""How often the loop tells how long the queue has been ours."""

SLEPT_SECONDS = 30.0
"""A round that comes so late says that the process, or the machine, was asleep."""

FENCED_GRACE = 3.0
"""Seconds from TERM to KILL for jobs of a queue that somebody else owns."""


class _Attempt(Struct, kw_only=True):
    """What the loop knows of an open attempt beyond the log."""

    job_id: str
    ended: bool = False
    exit: Exit | None = None
    lost: str = "its supervisor left no record"
    """Why it is lost, where it left no `exit`."""
    unended: tuple[int, ...] = ()
    """What of it is another user's, and could not be ended."""
    collected: bool = False
    results: Results | None = None


class Plans(Struct, frozen=True, kw_only=True):
    """What the one who starts a runner wants of it, beyond going on.

    `config` takes the place of the queue's own as soon as nothing runs. `rebooted`: the machine was
    restarted since the newest epoch, so that nothing of its attempts is alive, and no record that
    one of them left is believed: it outlives processes, not the host. `moved_from`: the machine
    that the queue ran on, if it was another. `offline`: begin though nobody knows whether the
    queue is ours. `ttl`: how long the queue may stay on this machine. `powers_off`: the machine is
    powered off when the queue ends, or `ttl` has passed.
    """

    by: str = ""
    retry_failed: bool = False
    config: QueueConfig | None = None
    cancel: bool = False
    leave_jobs: bool = False
    rebooted: bool = False
    moved_from: str = ""
    offline: bool = False
    ttl: Ttl | None = None
    powers_off: bool = False


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
    ) -> None:
        self._ledger = ledger
        self._launcher = launcher
        self._publisher = publisher
        self._replica = replica
        self._clock = clock
        self._waiter = waiter
        self._opening = list(opening)
        self._epoch = epoch
        self._fraction = fraction
        self._last_lines = last_lines
        self._committed = committed
        self._say = say
        self._answered = answered
        self._plans = plans
        self._owning = owning
        self._owed = owed
        self._owned_at = self._told_at = clock.monotonic()
        self._config = plans.config
        self._config_sha256 = config_sha256(plans.config) if plans.config else ""
        self._leaving = Leaving(
            clock,
            plans.by if plans.cancel else "",
            ttl=plans.ttl,
            powers_off=plans.powers_off,
        )
        self._requests: list[Request | Unreadable] = []
        self._cancels: list[str] = []
        self._attempts: dict[str, _Attempt] = {}
        self._saving = Saving(publisher, clock, self._complain)
        self._checkpoints = Checkpoints(publisher, self._complain)
        self._seeking = True
        """Whether it may have changed who needs which results."""
        self._retries = Retries(clock)
        self._again: float | None = None
        self._finished = False
        self._complaints: set[str] = set()
        self._opening_seq = 0
        self._shipped = 0
        self._unshipped: dict[str, int] = {}
        self._round_at: float | None = None
        self._unsure = False
        self.unsaid = 0
        """The signal that ended us before the log could say so, as its disk is full; else 0."""

    @property
    def owned(self) -> bool:
        """Whether the opening is in the object store: the queue was certainly ours."""
        return self._shipped >= self._opening_seq > 0

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
        self._ledger.stage(self._opening, at=self._clock.wall(), epoch=self._epoch)
        if self._plans.retry_failed:
            self._stage(decide.reset_failed(self._ledger.state, by=self._plans.by))
        self._opening_seq = self._ledger.seq
        self._tell(self._ledger.commit())
        self._owned_at = self._told_at = self._clock.monotonic()
        self._owning(0.0)
        reached("runner.owned")
        state = self._ledger.state
        self._leaving.set_deadline(self._config or state.config, state)
        for job_id in list(state.running):
            job = state.jobs[job_id]
            attempt = self._attempts[job.token] = _Attempt(job_id=job_id)
            if self._plans.moved_from and not self._launcher.holds(job):
                # Its supervisor may be alive there, and even be reached: it is not ours.
                attempt.ended = attempt.collected = True
                attempt.lost = f"it ran on {self._plans.moved_from}"
            elif self._plans.rebooted:
                attempt.ended = attempt.collected = True
                attempt.lost = "the machine was restarted while it ran"
            else:
                self._launcher.adopt(job)
                self._publisher.follow(job.token, copy(job))
        reached("runner.adopted")
        if self._leaving.cancelled_by:
            self._stop_all("cancel", state.config.kill_grace)
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
            case Ended(token, exit_, unended):
                reached("runner.ended")
                attempt = self._attempts[token]
                attempt.ended, attempt.exit = True, exit_
                attempt.unended = exit_.unended if exit_ else unended
                if attempt.unended:
                    self._say(f"{attempt.job_id}: {unended_text(attempt.unended)}")
                job = self._ledger.state.jobs[attempt.job_id]
                if _succeeded(exit_) and job.config.result_files:
                    self._publisher.collect(token, job.config, job.folder)
                else:
                    attempt.collected = True
            case Collected(token, results):
                reached("runner.collected")
                self._attempts[token].collected = True
                self._attempts[token].results = results
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
            case Shipped(seq):
                self._shipped = seq
                for job_id in [key for key, at in self._unshipped.items() if at <= seq]:
                    del self._unshipped[job_id]
            case Confirmed():
                self._unsure = False
            case Drained():
                pass  # it was asked to end after us
            case FencedOff(why):
                self._leaving.fenced = why
                self._stop_all("fenced", FENCED_GRACE)

    def _take(self, request: Request | Unreadable) -> None:
        """Begin to follow a request; its answer comes with the next commit."""
        if isinstance(request, Request) and request.kind == "cancel":
            self._cancels.append(request.id)
            if not self._leaving.cancelled_by:
                self._leaving.cancelled_by = request.by
                self._stop_all("cancel", self._ledger.state.config.kill_grace)
        else:
            self._requests.append(request)

    def _interrupt(self, number: int) -> None:
        """Stop in good order; asked a second time, at once."""
        self._leaving.interrupt(number)
        if not self._leaves_jobs:
            grace = self._ledger.state.config.kill_grace
            self._stop_all("stop", 0.0 if self._leaving.at_once else grace)

    def _take_back(self, notice: Noticed) -> None:
        """EC2 takes the instance back: tell the jobs until when, and end them before."""
        grace = self._leaving.take_back(notice, self._ledger.state.config.kill_grace)
        if grace is None:
            return
        deadline = stamp(notice.at)
        self._say(f"EC2 takes this spot instance back: {notice.action} at {deadline}")
        for token, attempt in self._attempts.items():
            if not attempt.ended:
                try:
                    self._launcher.warn(token, deadline)
                except OSError as error:
                    self._say(f"{attempt.job_id} cannot be told the deadline: {error}")
        self._stop_all("spot", grace)

    def _stop_all(self, cause: StopCause, grace: float) -> None:
        for token, attempt in self._attempts.items():
            if not attempt.ended:
                self._launcher.stop(token, cause, grace)
        reached("runner.stopping")

    def _round(self) -> None:
        """Decide, write, act."""
        now = self._clock.monotonic()
        self._again = None
        if now - self._told_at >= OWNING_SECONDS:
            self._told_at = now
            self._owning(now - self._owned_at)
        if self._round_at is not None and now - self._round_at > SLEPT_SECONDS:
            self._unsure = True
            self._replica.confirm()
        if self._leaving.expire(self._ledger.state):
            self._stop_all("stop", self._ledger.state.config.kill_grace)
        self._retries.wake(self._ledger.state)
        prepared: list[str] = []
        closed: list[JobState] = []
        requests, self._requests = self._requests, []
        try:
            for drafts in self._saving.drafts(self._ledger.state, by=self._plans.by):
                self._stage(drafts)
            self._stage(self._checkpoints.drafts(self._ledger.state))
            self._stage_answers(requests)
            closed = self._stage_ends()
            self._stage_config()
            if self._seeking and not self._leaving:
                for drafts in self._saving.seek(self._ledger.state, by=self._plans.by):
                    self._stage(drafts)
                self._checkpoints.seek(self._ledger.state)
            self._stage_starts(prepared)
            if prepared:
                reached("runner.prepared")
            self._stage_finish()
            events = self._ledger.commit()
        except LogFull as error:
            self._ledger.rollback()
            for token in prepared:
                self._launcher.abandon(token)
                del self._attempts[token]
            self._requests = requests + self._requests
            self._seeking = True
            seq = self._ledger.seq
            self._unshipped = {key: at for key, at in self._unshipped.items() if at <= seq}
            self._again = now + AGAIN_SECONDS
            self._finished = self._leaving.at_once and self._at_rest
            if self._finished:
                self.unsaid = self._leaving.signal or 0
                self._say(f"{error}; stopped all the same: the next runner says how jobs ended")
                return
            self._complain(f"{error}; nothing new starts until it can")
            self._retries.find(self._ledger.state)
            self._round_at = self._clock.monotonic()
            return
        if events:
            reached("runner.committed")
        self._saving.written()
        self._checkpoints.written()
        if not self._leaving:
            self._seeking = False
        for token in prepared:
            self._launcher.go(token)
            job = self._ledger.state.jobs[self._attempts[token].job_id]
            self._publisher.follow(token, copy(job))
        if prepared:
            reached("runner.went")
        if closed:
            reached("runner.outcome")
        for request in requests:
            reached("runner.answered")
            self._answered(request.id)
        if self._finished:
            reached("runner.finished")
            for request_id in self._cancels:
                self._answered(request_id)
        if self._reconfigured:
            self._config = None
        for job in closed:
            del self._attempts[job.token]
            if job.state == "retrying":
                self._retries.wait(job, job.delay)
            self._checkpoints.save(job)
            self._publish(job)
        if events:
            self._complaints.clear()
        self._tell(events)
        self._round_at = self._clock.monotonic()
        if events and not self._finished and not self._leaving and self._config is None:
            coming = foresee(self._ledger.state)
            if coming is not None:
                self._launcher.foresee(coming, coming.attempt + 1)

    def _stage_ends(self) -> list[JobState]:
        """Stage the outcome of each attempt that is over.

        Returns:
            Their jobs as they are then: the next attempt may begin in the same transaction.
        """
        closed = []
        for attempt in self._attempts.values():
            if not (attempt.ended and attempt.collected):
                continue
            state = self._ledger.state
            job = state.jobs[attempt.job_id]
            if attempt.exit is None:
                left = unended_text(attempt.unended)
                drafts = decide.lost(
                    state,
                    job,
                    f"{attempt.lost}; {left}" if left else attempt.lost,
                    last_lines=self._last_lines(job),
                    unended=attempt.unended,
                )
            else:
                drafts = decide.ended(
                    state,
                    job,
                    attempt.exit,
                    now=self._clock.wall(),
                    fraction=self._fraction(),
                    last_lines=() if _succeeded(attempt.exit) else self._last_lines(job),
                    results=attempt.results,
                )
            self._stage(drafts)
            if job.state == "completed" and state.config.durability == "s3":
                self._unshipped[attempt.job_id] = self._ledger.seq
            if self._leaving and not self._leaving.fenced:
                self._checkpoints.want(job)
            closed.append(copy(job))
        return closed

    def _stage_answers(self, requests: list[Request | Unreadable]) -> None:
        for request in requests:
            state = self._ledger.state
            if isinstance(request, Request) and request.id in state.answered:
                continue  # by a runner that died before it could take the file away
            why = _why_refused(request, state, leaving=bool(self._leaving))
            if why:
                self._stage([Draft(RequestRefused(request=request.id, why=why))])
            elif isinstance(request, Request):
                self._stage(decide.reset_failed(state, by=request.by, request=request.id))

    def _stage_config(self) -> None:
        """Let a new configuration take over, once nothing runs."""
        state = self._ledger.state
        if self._config is None or state.running or self._leaving or self._saving.flows:
            return
        fresh = resumption.mended(state, self._config)
        said = resumption.changes(state, self._config)
        self._stage(reconfigure(self._config, changes=said))
        for job_id in fresh:
            self._stage([Draft(JobReset(reason="retry", by=self._plans.by), job_id=job_id)])
        self._stage(decide.reblock(self._ledger.state))
        self._retries.find(self._ledger.state)

    @property
    def _reconfigured(self) -> bool:
        """Whether the new configuration, staged or durable, is the queue's."""
        if self._config is None:
            return False
        return self._ledger.state.config_sha256 == self._config_sha256

    @property
    def _at_rest(self) -> bool:
        """Whether nothing runs any more that we have to see to its end."""
        return self._leaves_jobs or all(each.ended for each in self._attempts.values())

    @property
    def _leaves_jobs(self) -> bool:
        """Whether a stop leaves what runs to the next runner."""
        return self._plans.leave_jobs and not self._leaving.ends_jobs

    @property
    def _begins(self) -> bool:
        """Whether the queue is ours for all we know: nothing begins before."""
        offline = self._plans.offline and self._ledger.state.config.durability != "s3"
        return (self.owned or offline) and not self._unsure

    def _stage_starts(self, prepared: list[str]) -> None:
        """Bring to the gate what may start now; each one's token is added to `prepared`."""
        if not self._begins:
            return
        while not self._leaving and (self._config is None or self._reconfigured):
            step = plan(self._ledger.state, self._due, self._held)
            if not isinstance(step, Start):
                return
            job = step.job
            job_id, attempt = job.config.job_id, job.attempt + 1
            try:
                ready = self._launcher.prepare(job, attempt)
            except CannotPrepare as error:
                self._complain(str(error))
                self._again = self._clock.monotonic() + AGAIN_SECONDS
                return
            except CannotBegin as error:
                started = JobStarted(token="", pid=0, folder="", log_file="")
                self._stage([Draft(started, job_id=job_id, attempt=attempt)])
                self._stage(decide.failed_to_begin(self._ledger.state, job, str(error)))
                continue
            prepared.append(ready.token)
            self._attempts[ready.token] = _Attempt(job_id=job_id)
            started = JobStarted(
                token=ready.token,
                pid=ready.pid,
                folder=ready.folder,
                log_file=ready.log_file,
                log_offset=ready.log_offset,
            )
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
        step = plan(state, self._due, self._held)
        if isinstance(step, Finish) and isinstance(step.verdict, QueueCompleted):
            self._finish(step.verdict)  # whatever else was asked for came too late
        elif leaving:
            self._finish(leaving.verdict)
        elif isinstance(step, Finish) and self._again is None:
            self._finish(step.verdict)

    def _finish(self, verdict: QueueInterrupted | QueueCompleted | QueueFailed | None) -> None:
        assert verdict is not None
        owned = round(self._clock.monotonic() - self._owned_at, 3)
        self._stage([Draft(structs.replace(verdict, owned_seconds=owned))])
        self._finished = True

    @property
    def _held(self) -> set[str]:
        """Completed jobs whose dependents wait all the same, and jobs that do themselves."""
        state = self._ledger.state
        away = self._saving.held(state) | self._checkpoints.held(state)
        return self._unshipped.keys() | away

    @property
    def _due(self) -> JobState | None:
        """The first job whose retry could begin now."""
        return self._retries.first(self._ledger.state, self._held)

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

    def _complain(self, text: str) -> None:
        """Say what is wrong once, not each time that it is tried again."""
        if text not in self._complaints:
            self._complaints.add(text)
            self._say(text)

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


def _succeeded(exit_: Exit | None) -> bool:
    return exit_ is not None and exit_.began and exit_.exit_code == 0 and exit_.stop is None


def _why_refused(request: Request | Unreadable, state: QueueState, *, leaving: bool) -> str:
    """Why a request for another try cannot be followed; empty where it can."""
    if isinstance(request, Unreadable):
        return f"it cannot be read: {request.why}"
    if leaving:
        return "the queue is being stopped"
    return "" if state.failed else "no job has failed"
