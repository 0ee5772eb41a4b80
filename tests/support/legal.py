"""Random logs as runners write them; `core.plan` and `core.decide` decide every event.

A driver plays the runner, the machine and the operators. A chooser decides what it does next:
hypothesis, which shrinks a failing log, or a seed.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st
from msgspec import structs
from tests.support.configs import job
from tests.support.logs import LogBuilder, owner, resumed, started

from spawn.core.config.model import JobConfig, QueueConfig, RetryPolicy
from spawn.core.domain import decide
from spawn.core.domain.attempt_exit import AttemptExit
from spawn.core.domain.events import (
    CheckpointNotSaved,
    CheckpointPutBack,
    CheckpointSaved,
    Draft,
    EpochEnd,
    JobBlocked,
    JobsSubmitted,
    MachineKept,
    OutputNotSaved,
    OutputSaved,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
    QueueResumed,
    QueueSubmitted,
    RequestRefused,
    Results,
    ResultsDelayed,
    ResultsNotPutBack,
    ResultsPutBack,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.domain.plan import Finish, Start, Wait, plan
from spawn.core.domain.replay import Replay
from spawn.core.domain.state import JobState, QueueState
from spawn.core.domain.submission import config_sha256

T = TypeVar("T")
Row = tuple[str, str, str]
"""`(machine, state, event)`: a row of one of the two transition tables."""

EXITS = (
    *[AttemptExit(exit_code=0, wall_seconds=1.5)] * 8,
    *[AttemptExit(exit_code=1, wall_seconds=0.25, cpu_seconds=0.2)] * 5,
    AttemptExit(exit_code=2),
    AttemptExit(exit_code=127),
    AttemptExit(exit_code=137, signal="SIGKILL", peak_memory_bytes=4096),
    AttemptExit(exit_code=143, signal="SIGTERM", stop="timeout", output_dropped_bytes=7),
    AttemptExit(exit_code=0, stop="timeout"),
    AttemptExit(exit_code=143, signal="SIGTERM", stop="stop"),
    AttemptExit(exit_code=0, stop="spot"),
    AttemptExit(exit_code=0, stop="fenced"),
    AttemptExit(exit_code=0, stop="host"),
    AttemptExit(exit_code=0, stop="cancel"),
    AttemptExit(exit_code=0, started=False),
)


class Chooser(Protocol):
    """Makes every decision of a driver."""

    def below(self, end: int) -> int:
        """Choose a number from 0 up to but not including `end`."""
        ...


class Seeded:
    """Chooses by a seed, so that the log is reproducible."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, end: int) -> int:
        return self._random.randrange(end)


class Drawn:
    """Chooses by hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def below(self, end: int) -> int:
        return self._draw(st.integers(0, end - 1)) if end > 1 else 0


class Driver:
    """Writes one legal log, event by event.

    Args:
        config: The submitted configuration.
    """

    def __init__(self, choose: Chooser, config: QueueConfig) -> None:
        self.log = LogBuilder()
        self.crossed: set[Row] = set()
        self._choose = choose
        self._fold = Replay(self.log.queue_id)
        self._due: set[str] = set()
        self._new = 0
        self._lucky = False
        self._submit(config)

    @property
    def state(self) -> QueueState:
        """State of the log so far."""
        return self._fold.state

    def run(self, actions: int) -> None:
        """Do this many things in turn, unless the queue completes earlier."""
        for _ in range(actions):
            if self.state.state == "completed":
                break
            self.act()

    def act(self) -> None:
        """Do one thing that is possible now."""
        actions = self._possible()
        weights = [weight for weight, _ in actions]
        rest = self._choose.below(sum(weights))
        for weight, action in actions:
            rest -= weight
            if rest < 0:
                action()
                return

    def succeed(self, *, most: int = 500) -> None:
        """From here on everything succeeds, until nothing is left to do.

        Raises:
            AssertionError: The queue does not end.
        """
        self._lucky = True
        for _ in range(most):
            state = self.state
            if state.state == "completed":
                return
            if state.state == "pending":
                self._start()
            elif state.state != "running":
                self._resume()
            elif state.failed:
                self._reset(state.jobs[next(iter(state.failed))], "retry")
            elif state.upload_failed:
                self._upload(state.jobs[next(iter(state.upload_failed))], ok=True)
            elif not self._step():
                self._let_something_succeed()
        raise AssertionError("the queue comes to no end")

    # possible actions

    def _possible(self) -> list[tuple[int, Callable[[], object]]]:
        state = self.state
        if state.state == "pending":
            return [(10, self._start), (1, self._cancel)]
        if state.state == "interrupted":
            return [(10, self._resume), (1, self._cancel), (1, self._note)]
        if state.state == "failed":
            return [(10, self._resume), (1, self._note)]
        if state.state == "completed":
            return [(1, self._note)]
        actions: list[tuple[int, Callable[[], object]]] = [
            (30, self._step),
            (1, self._note),
            (1, self._resume),
            (1, self._interrupt),
        ]
        if state.running:
            actions.append((30, lambda: self._end(self._any(list(state.running)))))
            actions.append((1, lambda: self._lose(self._any(list(state.running)))))
        else:
            actions.append((1, self._cancel))
            actions.append((1, self._time_out))
            actions.append((2, self._reconfigure))
        if state.uploading:
            actions.append((20, lambda: self._upload(self._any(list(state.uploading)))))
        if state.upload_failed:
            actions.append((2, lambda: self._upload(self._any(list(state.upload_failed)))))
        if waiting := [job_id for job_id in state.retrying if job_id not in self._due]:
            actions.append((15, lambda: self._due.add(self._any(waiting).config.job_id)))
        if state.failed:
            actions.append((12, lambda: self._reset(self._any(list(state.failed)), "retry")))
        if lost := self._with_lost_results():
            actions.append((2, lambda: self._reset(self._any(lost), "results_lost")))
        return actions

    # operators

    def _start(self) -> None:
        self._put(Draft(owner()))

    def _resume(self) -> None:
        self._due.clear()
        self._put(Draft(resumed()))

    def _measured(self, draft: Draft) -> Draft:
        """Record the length of an epoch at its end or after its death, or not, as in older logs."""
        data = draft.data
        if isinstance(data, EpochEnd | QueueResumed) and self._choose.below(2):
            seconds = float(self._choose.below(1000))
            return structs.replace(draft, data=structs.replace(data, owned_seconds=seconds))
        return draft

    def _note(self) -> None:
        begun = [job_id for job_id, job in self.state.jobs.items() if job.attempt]
        if begun and self._choose.below(2):
            job = self._any(begun)
            note = (
                OutputNotSaved(error="denied"),
                OutputSaved(),
                ResultsNotPutBack(error="denied"),
                ResultsPutBack(files=1),
                CheckpointSaved(files=1, size=1, key="k", sha256="00"),
                CheckpointNotSaved(error="denied"),
                CheckpointPutBack(error="gone" * self._choose.below(2)),
            )[self._choose.below(7)]
            self._put(Draft(note, job_id=job.config.job_id, attempt=job.attempt))
        elif self._choose.below(2):
            self._put(Draft(MachineKept(why="its log is not all there")))
        else:
            self._put(Draft(RequestRefused(request="reset x", why="there is no job x")))

    def _cancel(self) -> None:
        self._put(Draft(QueueFailed(reason="cancelled", detail="by ana")))

    def _time_out(self) -> None:
        self._put(Draft(QueueFailed(reason="global_timeout")))

    def _interrupt(self) -> None:
        """Interrupt the running jobs, or leave them to the next runner."""
        if self._choose.below(3):
            for job_id in list(self.state.running):
                self._put(decide.interrupt_attempt(self.state.jobs[job_id], "stop"))
        cause = ("signal", "spot", "ttl", "fenced")[self._choose.below(4)]
        self._put(Draft(QueueInterrupted(cause=cause, detail="SIGTERM")))

    def _reset(self, job: JobState, reason: Any) -> None:
        self._put(*decide.reset_job(self.state, job, reason=reason, by="ana"))

    # the runner

    def _step(self) -> bool:
        """Do what `plan` returns; returns whether there was anything to do."""
        state = self.state
        step = plan(state, self._first_due())
        match step:
            case Start(job):
                self._start_job(job)
            case Finish(verdict):
                self._put(Draft(verdict))
            case Wait():
                return False
        return True

    def _start_job(self, job: JobState) -> None:
        job_id, attempt = job.config.job_id, job.attempt + 1
        self._due.discard(job_id)
        self._put(Draft(started(job_id, attempt), job_id, attempt))
        if not self._lucky and not self._choose.below(25):
            self._put(*decide.fail_unprepared(self.state, job, "it needs ${X}"))

    def _end(self, job: JobState) -> None:
        self._leave(job, EXITS[self._choose.below(len(EXITS))])

    def _leave(self, job: JobState, exit_: AttemptExit) -> None:
        promised = bool(job.config.result_files) and exit_.exit_code == 0 and exit_.stop is None
        drafts = decide.end_attempt(
            self.state,
            job,
            exit_,
            now=self.log.now,
            fraction=self._choose.below(10) / 10,
            last_lines=("one", "two"),
            results=Results(files=1, size=2, sha256="0" * 64) if promised else None,
        )
        self._put(*drafts)

    def _lose(self, job: JobState) -> None:
        self._put(*decide.lose_attempt(self.state, job, "its supervisor left no record"))

    def _upload(self, job: JobState, *, ok: bool | None = None) -> None:
        data: ResultsUploaded | ResultsDelayed | ResultsUploadFailed
        if ok is None and job.upload_pending and not self._choose.below(4):
            data = ResultsDelayed(error="unreachable")
        elif ok or (ok is None and self._choose.below(4)):
            key = f"{job.config.job_id}/attempts/{job.epoch}.{job.attempt}/manifest.json"
            data = ResultsUploaded(files=1, size=2, key=key, sha256="0" * 64, unmatched=("*.csv",))
        else:
            data = ResultsUploadFailed(error="changed", unmatched=("*.csv",))
        self._put(Draft(data, job.config.job_id, job.attempt))

    def _let_something_succeed(self) -> None:
        """Let something that is waited for succeed."""
        state = self.state
        open_, held = list(state.running), list(state.uploading)
        if open_ and (not held or self._choose.below(2)):
            self._leave(self._any(open_), EXITS[0])
        elif held:
            self._upload(self._any(held), ok=True)
        else:
            self._due.update(state.retrying)

    def _first_due(self) -> JobState | None:
        jobs = [self.state.jobs[job_id] for job_id in self._due if job_id in self.state.retrying]
        free = [job for job in jobs if not job.open_dependencies]
        return min(free, key=lambda job: job.index, default=None)

    def _with_lost_results(self) -> list[str]:
        """Return completed jobs without a running dependent: only those may run again."""
        state = self.state
        return [
            job_id
            for job_id, job in state.jobs.items()
            if job.state == "completed"
            and not any(other in state.running for other in state.dependents[job_id])
        ]

    # configurations

    def _submit(self, config: QueueConfig) -> None:
        pages = self._pages(config.jobs)
        submitted = QueueSubmitted(
            config=structs.replace(config, jobs=pages[0]),
            jobs_total=len(config.jobs),
            config_sha256=config_sha256(config),
            file="queue.json",
            file_sha256="0" * 64,
            version="0.1.0",
        )
        self._put(Draft(submitted), *(Draft(JobsSubmitted(jobs=page)) for page in pages[1:]))

    def _reconfigure(self) -> None:
        """Change what an edited file may change, without removing a dependency of a job."""
        state = self.state
        jobs = [state.jobs[job_id].config for job_id in state.order]
        if self._choose.below(2):
            leaves = [each for each in jobs if not state.dependents[each.job_id]]
            if len(jobs) > len(leaves):
                jobs.remove(leaves[self._choose.below(len(leaves))])
        if self._choose.below(2):
            self._new += 1
            needs = [each.job_id for each in jobs if not self._choose.below(3)]
            jobs.append(job(f"new{self._new}", *needs))
        jobs = [self._changed(each) for each in jobs]
        shuffle(self._choose, jobs)
        config = structs.replace(
            state.config,
            jobs=tuple(jobs),
            max_parallel=1 + self._choose.below(3),
            on_failure=("stop", "continue")[self._choose.below(2)],
        )
        pages = self._pages(config.jobs)
        changed = QueueReconfigured(
            config=structs.replace(config, jobs=pages[0]),
            jobs_total=len(jobs),
            config_sha256=config_sha256(config),
            changes=("jobs",),
        )
        self._put(Draft(changed), *(Draft(JobsSubmitted(jobs=page)) for page in pages[1:]))
        self._block_new(config)

    def _changed(self, config: JobConfig) -> JobConfig:
        if self._choose.below(4):
            return config
        return structs.replace(
            config,
            command=config.command + " --again",
            retry=structs.replace(config.retry, max_attempts=config.retry.max_attempts + 1),
            result_files=() if config.result_files else ("out/*.csv",),
        )

    def _block_new(self, config: QueueConfig) -> None:
        """Block new jobs that depend on a failed one."""
        for each in config.jobs:
            needs = [self.state.jobs[need] for need in each.depends_on]
            if self.state.jobs[each.job_id].state == "pending":
                for need in needs:
                    if need.state in ("failed", "blocked"):
                        by = need.blocked_by or need.config.job_id
                        self._put(Draft(JobBlocked(by=by), each.job_id))
                        break

    def _pages(self, jobs: Sequence[JobConfig]) -> list[tuple[JobConfig, ...]]:
        if self._choose.below(3):
            return [tuple(jobs)]
        cut = self._choose.below(len(jobs) + 1)
        return [page for page in (tuple(jobs[:cut]), tuple(jobs[cut:])) if page or not jobs]

    # writing

    def _put(self, *drafts: Draft) -> None:
        drafts = tuple(map(self._measured, drafts))
        for draft in drafts:
            before = self._fold.partial
            (event,) = self.log.add(draft)
            if before is not None and not event.note:
                self.crossed.add(("queue", before.state, event.type))
                if event.job_id is not None:
                    self.crossed.add(("job", before.jobs[event.job_id].state, event.type))
            self._fold.apply(event, self.log.entries[-1][1])

    def _any(self, job_ids: Sequence[str]) -> JobState:
        return self.state.jobs[job_ids[self._choose.below(len(job_ids))]]


def random_config(choose: Chooser, *, most: int = 12) -> QueueConfig:
    """Return a configuration of 1 to `most` jobs in any order, each with a few dependencies."""
    count = 1 + choose.below(most)
    jobs = []
    for number in range(count):
        needs = {choose.below(number) for _ in range(choose.below(4))} if number else set()
        policy = RetryPolicy(
            max_attempts=1 + choose.below(3),
            backoff=("exponential", "fixed", "exponential-jitter")[choose.below(3)],
            retry_on_codes=(1, 137) if not choose.below(6) else (),
        )
        jobs.append(
            job(
                f"j{number}",
                *(f"j{need}" for need in sorted(needs)),
                retry=policy,
                result_files=() if choose.below(3) else ("out/*.csv",),
            )
        )
    shuffle(choose, jobs)
    return QueueConfig(
        jobs=tuple(jobs),
        max_parallel=1 + choose.below(4),
        on_failure=("stop", "continue")[choose.below(2)],
    )


def shuffle(choose: Chooser, items: list[Any]) -> None:
    """Return items in random order."""
    for index in range(len(items) - 1, 0, -1):
        other = choose.below(index + 1)
        items[index], items[other] = items[other], items[index]


def driven(choose: Chooser, *, actions: int = 60) -> Driver:
    """Return a driver that has done up to `actions` things."""
    driver = Driver(choose, random_config(choose))
    driver.run(1 + choose.below(actions))
    return driver


@st.composite
def drivers(draw: st.DrawFn, *, actions: int = 60) -> Driver:
    """Drivers in the middle or at the end of legal logs."""
    return driven(Drawn(draw), actions=actions)


def legal_logs() -> st.SearchStrategy[LogBuilder]:
    """Logs as runners write them."""
    return drivers().map(lambda driver: driver.log)
