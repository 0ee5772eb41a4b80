"""What the loop knows of files on their way to the object store, and back from it."""

from collections.abc import Callable, Iterable, Iterator
from copy import copy

from spawn.core import dag, decide
from spawn.core.events import (
    Draft,
    OutputNotSaved,
    OutputSaved,
    ResultsDelayed,
    ResultsNotPutBack,
    ResultsPutBack,
    ResultsUploadFailed,
)
from spawn.core.plan import is_stopping
from spawn.core.state import JobState, QueueState
from spawn.runner.ports import Clock, Hindered, Published, Publisher, PutBack, Troubled
from spawn.runner.troubles import Troubles

GIVE_UP_SECONDS = 3600.0
"""How long after the last job the queue tries to bring what it has promised to the store."""


class Saving:
    """Decides what follows from uploads and from results that are put back.

    Nothing here is remembered that the log does not say, but for what is under way.

    Args:
        say: Told what a person should know.
    """

    def __init__(
        self,
        publisher: Publisher,
        clock: Clock,
        say: Callable[[str], None],
        troubles: Troubles,
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._say = say
        self._troubles = troubles
        self._under_way: dict[str, str] = {}
        self._promised: set[str] = set()
        self._late: dict[str, Troubled] = {}
        """Attempts that have promised results, while the store fails."""
        self._stuck: set[str] = set()
        """Attempts that have not, while it does."""
        self._done: list[Published] = []
        self._elsewhere: dict[str, str] = {}
        """The tokens of completed jobs' attempts that were made on another machine."""
        self._postponed: set[str] = set()
        """Those of them that are restored only after what they depend on has run again."""
        self._coming: dict[str, int] = {}
        """Jobs whose results are on their way back, numbered in the order of the requests."""
        self._requests = 0
        self._until: dict[str, int] = {}
        """Which of those requests each job waits for last."""
        self._early: set[str] = set()
        """Jobs that are on their way back though something that they depend on runs again."""
        self._hindered: dict[str, Hindered] = {}
        """What keeps results from coming back, until the log says so."""
        self._back: dict[str, PutBack] = {}
        """Results that are back, or are gone for good, until the log says so."""
        self._again: list[JobState] = []
        """What is to be tried once more."""
        self._gave_up = False
        """Whether the store was away for so long that nothing is tried once more."""
        self._tried_last: set[str] = set()
        """Attempts that were tried once more at the queue's end."""
        self._idle_since: float | None = None

    def begin(self, state: QueueState, holds: Callable[[JobState], bool]) -> None:
        """Take up what there is.

        Args:
            holds: Whether an attempt was on this machine.
        """
        for job_id, job in state.jobs.items():
            if job.state == "completed" and job.config.result_files and not holds(job):
                self._elsewhere[job_id] = job.token

    def publish(self, job: JobState, *, last: bool = False) -> None:
        """Bring an attempt's files to the store.

        Args:
            last: See `Publisher.publish`.
        """
        if job.folder:
            self._under_way[job.token] = job.config.job_id
            if job.state == "completed" and job.config.result_files:
                self._promised.add(job.token)
            self._publisher.publish(job.token, job, last=last)

    def publish_again(self, state: QueueState, holds: Callable[[JobState], bool]) -> bool:
        """Try once more what was given up, as nothing else is left to do; returns whether there is
        anything. The store may do by now what it refused before. It is begun once what the log
        says of the earlier tries is `written`."""
        again = [
            job
            for job in state.jobs.values()
            if (job.upload_failed or job.output_unsaved) and job.token not in self._tried_last
        ]
        self._again = [job for job in again if holds(job)] if not self._gave_up else []
        return bool(self._again)

    def take(self, happening: Published | Troubled | PutBack | Hindered) -> None:
        """Note what has happened to files."""
        match happening:
            case Published(token, _, unsaved):
                self._done.append(happening)
                self._go_on(token)
                if unsaved:
                    self._say(f"{self._under_way[token]}: its output is not saved: {unsaved}")
            case Troubled(token, None):
                self._go_on(token)
            case Troubled(token, _, why):
                if token in self._promised:
                    self._late[token] = happening
                else:
                    self._stuck.add(token)
                job_id = self._under_way[token]
                self._troubles.begin(
                    "upload",
                    "the files of {} are not saved yet",
                    about=job_id,
                    why=why,
                    said=f"{job_id}: its files are not saved yet: {why}",
                )
            case PutBack(job_id, _, gone):
                self._hindered.pop(job_id, None)
                self._troubles.end("restore", job_id)
                if gone and job_id in self._coming:
                    self._say(f"{job_id} runs again: {gone}")
                if job_id in self._coming:
                    self._back[job_id] = happening
            case Hindered(job_id, why):
                self._hindered[job_id] = happening
                self._troubles.begin(
                    "restore",
                    "the results of {} cannot be restored yet",
                    about=job_id,
                    why=why,
                    holds=True,
                    said=f"the results of {job_id} cannot be put back yet: {why}",
                )

    def _go_on(self, token: str) -> None:
        self._troubles.end("upload", self._under_way.get(token, ""))
        self._late.pop(token, None)
        self._stuck.discard(token)

    def held(self, state: QueueState) -> set[str]:
        """Jobs that wait, with their dependents, until all files that they may read are here, and
        jobs to run again that wait while a file on its way could overwrite theirs."""
        if not self._coming:
            return set()
        first = min(self._coming.values())
        held = {job_id for job_id, number in self._until.items() if number >= first}
        early = self._early & self._coming.keys() & state.jobs.keys()
        if early:
            needs = {job_id: job.config.depends_on for job_id, job in state.jobs.items()}
            upstream = dag.reach(early, needs)
            held.update(each for each in upstream if state.jobs[each].state != "completed")
        return held

    @property
    def busy(self) -> bool:
        """Whether the queue's end must wait for files on their way to the store: for what was
        promised, and for output as long as that gets on."""
        return len(self._under_way) - len(self._done) > len(self._stuck)

    @property
    def flows(self) -> bool:
        """Whether files are on their way, and get on."""
        left = len(self._under_way) - len(self._done)
        return left > len(self._stuck) + len(self._late)

    def drafts(self, state: QueueState, *, by: str) -> Iterator[list[Draft]]:
        """What follows for the log, a few events at a time; the state must have taken each before
        the next is asked for. The same again until `written`."""
        for done in self._done:
            job = state.jobs.get(self._under_way.get(done.token, ""))
            if job is None or job.token != done.token:
                continue
            job_id, attempt = job.config.job_id, job.attempt
            known = done.outcome in (job.upload_failed, job.uploaded)
            outcome = None if known else done.outcome
            if outcome is not None and job.state == "completed":
                yield [Draft(outcome, job_id=job_id, attempt=attempt)]
            if done.unsaved and done.unsaved != job.output_unsaved:
                yield [Draft(OutputNotSaved(error=done.unsaved), job_id=job_id, attempt=attempt)]
            elif job.output_unsaved and not done.unsaved:
                yield [Draft(OutputSaved(), job_id=job_id, attempt=attempt)]
        now = self._clock.monotonic()
        for token, trouble in self._late.items():
            job = state.jobs.get(self._under_way.get(token, ""))
            if job is None or job.token != token or trouble.since is None:
                continue
            late = now - trouble.since >= state.config.upload_wait
            if late and job.holding and decide.is_needed(state, [job.config.job_id]):
                delayed = ResultsDelayed(error=trouble.why)
                yield [Draft(delayed, job_id=job.config.job_id, attempt=job.attempt)]
        for job_id, hindered in self._hindered.items():
            job = state.jobs.get(job_id)
            if job is not None and job.state == "completed" and job.not_put_back != hindered.why:
                note = ResultsNotPutBack(error=hindered.why)
                yield [Draft(note, job_id=job_id, attempt=job.attempt)]
        for job_id, back in self._back.items():
            job = state.jobs.get(job_id)
            if job is None or job.token != back.token or job.state != "completed":
                continue
            if back.gone:
                yield decide.reset(state, job, reason="results_lost", by=by)
            elif not job.missing:  # else it is restored once more when that has completed
                note_ = ResultsPutBack(files=back.files)
                yield [Draft(note_, job_id=job_id, attempt=job.attempt)]

    def written(self) -> None:
        """The log has taken all of that."""
        for done in self._done:
            self._under_way.pop(done.token, None)
            self._promised.discard(done.token)
        for job_id in self._back:
            self._coming.pop(job_id, None)
        self._done.clear()
        self._back.clear()
        self._hindered.clear()
        for job in self._again:
            self._tried_last.add(job.token)
            self.publish(job, last=True)
        self._again.clear()

    def _is_here(self, job: JobState) -> bool:
        """Whether a completed job's results are on this machine, as it had left them."""
        if self._publisher.is_back(job):
            return True
        made_here = self._elsewhere.get(job.config.job_id) != job.token
        return made_here and not (job.upstream_resets and job.uploaded)

    def is_due(self, state: QueueState) -> bool:
        """Whether `seek` has more to do, as what postponed jobs depend on has completed again."""
        jobs = state.jobs
        return any(not jobs[job_id].missing for job_id in self._postponed if job_id in jobs)

    def seek(self, state: QueueState, *, by: str) -> Iterator[list[Draft]]:
        """See that a job that has yet to run finds the results of all that it depends on, directly
        or through others, or that they are made again. To be asked at the beginning, whenever jobs
        were reset or came anew, and when `is_due`.

        Yields:
            As `drafts` does.
        """
        elsewhere = {
            job_id: job
            for job_id, job in state.jobs.items()
            if job.state == "completed" and job.config.result_files and not self._is_here(job)
        }
        for known in (self._elsewhere, self._coming, self._hindered, self._back):
            for job_id in [each for each in known if each not in state.jobs]:
                del known[job_id]
        for job in decide.without_results(state, elsewhere):
            yield decide.reset(state, job, reason="results_lost", by=by)
        for job_id, job in elsewhere.items():
            if job_id in state.uploading:
                lost = ResultsUploadFailed(error="they are on a machine that the queue has left")
                yield [Draft(lost, job_id=job_id, attempt=job.attempt)]
        for job, as_of in decide.wanted(state, elsewhere):
            if job.config.job_id not in self._coming:
                self._requests += 1
                self._coming[job.config.job_id] = self._requests
                self._publisher.put_back(copy(job), as_of)
        self._until = decide.newest(state, self._coming)
        self._early = {job_id for job_id in self._coming if state.jobs[job_id].missing}
        self._postponed = {job_id for job_id, job in elsewhere.items() if job.missing}

    def rest(self, state: QueueState, *, leaving: bool) -> None:
        """Give up what cannot be saved, long enough after the last job.

        Args:
            leaving: Whether no further job begins in any case.
        """
        now = self._clock.monotonic()
        waits = bool(state.running)
        if not leaving and not is_stopping(state):
            holding = [job_id for job_id in state.uploading if state.jobs[job_id].holding]
            waits = waits or bool(state.retrying) or decide.is_needed(state, holding)
        if waits or not (self._late or self._stuck):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= GIVE_UP_SECONDS:
            self._publisher.give_up()
            self._gave_up = True

    def due(self, upload_wait: float) -> Iterable[float]:
        """Moments of the monotonic clock, all ahead, at which there may be more to say."""
        now = self._clock.monotonic()
        moments = [each.since + upload_wait for each in self._late.values() if each.since]
        if self._idle_since is not None:
            moments.append(self._idle_since + GIVE_UP_SECONDS)
        return [each for each in moments if each > now]
