"""The loop's state of open attempts that is not in the log, from the gate to the outcome."""

from collections.abc import Callable, Iterator
from copy import copy

from msgspec import Struct

from spawn.core.domain import decide
from spawn.core.domain.attempt_exit import AttemptExit, StopCause, unended_text
from spawn.core.domain.events import Draft, JobStarted, Results
from spawn.core.domain.state import JobState, QueueState
from spawn.runner.ports import Clock, Ended, Launcher, Publisher, ResultsListed
from spawn.runner.runner_process import RunOptions
from spawn.store.failpoints import mark


class _Attempt(Struct, kw_only=True):
    job_id: str
    ended: bool = False
    exit: AttemptExit | None = None
    lost_reason: str = "its supervisor left no record"
    """Used if the attempt has no `exit`."""
    taken_over: bool = False
    """Whether a previous owner of the queue started the attempt."""
    unended: tuple[int, ...] = ()
    """Pids of its processes that belong to another user and could not be killed."""
    collected: bool = False
    results: Results | None = None


class Attempts:
    """Prepares, starts and stops attempts, and decides their outcomes.

    Args:
        fraction: Returns a random number in [0, 1), for jitter.
        last_lines: Returns the last lines of output of a job's newest attempt.
        say: Receives user-facing warnings, one sentence each.
    """

    def __init__(
        self,
        launcher: Launcher,
        publisher: Publisher,
        clock: Clock,
        *,
        fraction: Callable[[], float],
        last_lines: Callable[[JobState], tuple[str, ...]],
        say: Callable[[str], None],
    ) -> None:
        self._launcher = launcher
        self._publisher = publisher
        self._clock = clock
        self._fraction = fraction
        self._last_lines = last_lines
        self._say = say
        self._open: dict[str, _Attempt] = {}
        """By token."""
        self.prepared: list[str] = []
        """Tokens of attempts at the gate whose `JobStarted` is not durable yet."""

    def adopt(self, state: QueueState, plans: RunOptions) -> None:
        """Adopt the attempts that a previous runner left open."""
        for job_id in list(state.running):
            job = state.jobs[job_id]
            attempt = _Attempt(job_id=job_id, taken_over=bool(plans.moved_from))
            self._open[job.token] = attempt
            if plans.moved_from and not self._launcher.ran_here(job):
                # Do not connect: a supervisor that answers belongs to the other machine.
                attempt.ended = attempt.collected = True
                attempt.lost_reason = f"it ran on {plans.moved_from}"
            elif plans.rebooted:
                attempt.ended = attempt.collected = True
                attempt.lost_reason = "the machine was restarted while it ran"
            else:
                self._launcher.adopt(job)
                self._publisher.upload_output(job.token, copy(job))

    def record(self, happening: Ended | ResultsListed, state: QueueState) -> None:
        """Record that an attempt has ended, or that its results are listed."""
        attempt = self._open[happening.token]
        match happening:
            case Ended(token, exit_, unended):
                mark("runner.ended")
                attempt.ended, attempt.exit = True, exit_
                attempt.unended = exit_.unended if exit_ else unended
                if attempt.unended:
                    self._say(f"{attempt.job_id}: {unended_text(attempt.unended)}")
                job = state.jobs[attempt.job_id]
                if _succeeded(exit_) and job.config.result_files:
                    self._publisher.list_results(token, job.config, job.folder)
                else:
                    attempt.collected = True
            case ResultsListed(_, results):
                mark("runner.collected")
                attempt.collected = True
                attempt.results = results

    def warn(self, deadline: str) -> None:
        """Tell running jobs when they must have ended, in RFC 3339."""
        for token, attempt in self._open.items():
            if not attempt.ended:
                try:
                    self._launcher.warn(token, deadline)
                except OSError as error:
                    self._say(f"{attempt.job_id}: cannot write the interruption file: {error}")

    def stop(self, cause: StopCause, grace: float) -> None:
        """Stop all running attempts: SIGTERM, then SIGKILL after `grace` seconds."""
        for token, attempt in self._open.items():
            if not attempt.ended:
                self._launcher.stop(token, cause, grace)
        mark("runner.stopping")

    @property
    def all_ended(self) -> bool:
        """Whether no attempt is running."""
        return all(each.ended for each in self._open.values())

    def outcomes(self, state: QueueState) -> Iterator[tuple[JobState, list[Draft]]]:
        """Yield the job and the outcome of each attempt that is over. Apply each to `state` before
        requesting the next. Outcomes repeat until `close`."""
        for attempt in self._open.values():
            if attempt.ended and attempt.collected:
                job = state.jobs[attempt.job_id]
                yield job, self._outcome(state, job, attempt)

    def _outcome(self, state: QueueState, job: JobState, attempt: _Attempt) -> list[Draft]:
        if attempt.exit is None:
            left = unended_text(attempt.unended)
            detail = f"{attempt.lost_reason}; {left}" if left else attempt.lost_reason
            if attempt.taken_over:
                return [decide.interrupt_attempt(job, "fenced", detail, unended=attempt.unended)]
            return decide.lose_attempt(
                state,
                job,
                detail,
                last_lines=self._last_lines(job),
                unended=attempt.unended,
            )
        return decide.end_attempt(
            state,
            job,
            attempt.exit,
            now=self._clock.wall(),
            fraction=self._fraction(),
            last_lines=() if _succeeded(attempt.exit) else self._last_lines(job),
            results=attempt.results,
        )

    def close(self, job: JobState) -> None:
        """Forget a job's attempt, whose outcome is now in the log."""
        del self._open[job.token]

    def prepare(self, job: JobState) -> JobStarted:
        """Hold a job's next attempt at the gate; returns the event to log before `go`.

        Raises:
            CannotPrepare, CannotBegin: From `Launcher.prepare`.
        """
        ready = self._launcher.prepare(job, job.attempt + 1)
        self.prepared.append(ready.token)
        self._open[ready.token] = _Attempt(job_id=job.config.job_id)
        return JobStarted(
            token=ready.token,
            pid=ready.pid,
            folder=ready.folder,
            log_file=ready.log_file,
            log_offset=ready.log_offset,
        )

    def go(self, state: QueueState) -> None:
        """Open the gate for prepared attempts, whose starts are now in the log."""
        for token in self.prepared:
            self._launcher.open_gate(token)
            self._publisher.upload_output(token, copy(state.jobs[self._open[token].job_id]))
        if self.prepared:
            mark("runner.went")
        self.prepared.clear()

    def abandon(self) -> None:
        """Drop prepared attempts whose starts the log could not take."""
        for token in self.prepared:
            self._launcher.abandon(token)
            del self._open[token]
        self.prepared.clear()


def _succeeded(exit_: AttemptExit | None) -> bool:
    return exit_ is not None and exit_.started and exit_.exit_code == 0 and exit_.stop is None
