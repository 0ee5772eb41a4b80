"""What the loop knows of files on their way to the object store, and back from it."""

from collections.abc import Callable, Iterable, Iterator

from spawn.core import decide
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
        self._coming: dict[str, None] = {}
        self._hindered: dict[str, Hindered] = {}
        """What keeps results from coming back, until the log says so."""
        self._back: dict[str, PutBack] = {}
        """Results that are back, or are gone for good, until the log says so."""
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
            self._elsewhere.pop(job.config.job_id, None)
            self._under_way[job.token] = job.config.job_id
            if job.state == "completed" and job.config.result_files:
                self._promised.add(job.token)
            self._publisher.publish(job.token, job, last=last)

    def publish_again(self, state: QueueState, holds: Callable[[JobState], bool]) -> bool:
        """Try once more what was given up, as nothing else is left to do; returns whether there is
        anything. The store may do by now what it refused before."""
        again = [
            job
            for job in state.jobs.values()
            if (job.upload_failed or job.output_unsaved) and job.token not in self._tried_last
        ]
        again = [job for job in again if holds(job)]
        for job in again:
            self._tried_last.add(job.token)
            self.publish(job, last=True)
        return bool(again)

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
        """Completed jobs whose dependents wait until their files are here."""
        return {
            job_id
            for job_id in self._coming
            if job_id in state.jobs and decide.is_needed(state, state.jobs[job_id])
        }

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
            outcome = None if done.outcome == job.upload_failed else done.outcome
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
            if late and job.holding and decide.is_needed(state, job):
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
            else:
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

    def seek(self, state: QueueState, *, by: str) -> Iterator[list[Draft]]:
        """See that whoever has yet to run finds the results that it depends on, or that they are
        made again. To be asked at the beginning, and whenever jobs were reset or came anew.

        Yields:
            As `drafts` does.
        """
        elsewhere = {
            job_id: state.jobs[job_id]
            for job_id, token in self._elsewhere.items()
            if job_id in state.jobs and state.jobs[job_id].token == token
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
        for job in decide.wanted(state, elsewhere):
            job_id = job.config.job_id
            del self._elsewhere[job_id]
            self._coming[job_id] = None
            self._publisher.put_back(job)

    def rest(self, state: QueueState, *, leaving: bool) -> None:
        """Give up what cannot be saved, long enough after the last job.

        Args:
            leaving: Whether no further job begins in any case.
        """
        now = self._clock.monotonic()
        waits = bool(state.running)
        if not leaving and not is_stopping(state):
            jobs = map(state.jobs.__getitem__, state.uploading)
            held = any(job.holding and decide.is_needed(state, job) for job in jobs)
            waits = waits or bool(state.retrying) or held
        if waits or not (self._late or self._stuck):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= GIVE_UP_SECONDS:
            self._publisher.give_up()

    def due(self, upload_wait: float) -> Iterable[float]:
        """Moments of the monotonic clock, all ahead, at which there may be more to say."""
        now = self._clock.monotonic()
        moments = [each.since + upload_wait for each in self._late.values() if each.since]
        if self._idle_since is not None:
            moments.append(self._idle_since + GIVE_UP_SECONDS)
        return [each for each in moments if each > now]
