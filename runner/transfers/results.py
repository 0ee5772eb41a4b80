"""Uploads of attempts' files to the object store, and the restoring of results from it."""

from collections.abc import Callable, Iterable, Iterator
from copy import copy

from spawn.core.domain import decide
from spawn.core.domain.events import (
    Draft,
    OutputNotSaved,
    OutputSaved,
    ResultsDelayed,
    ResultsNotPutBack,
    ResultsPutBack,
    ResultsUploadFailed,
)
from spawn.core.domain.plan import is_stopping
from spawn.core.domain.state import JobState, QueueState
from spawn.core.values import dag
from spawn.runner.ports import (
    Clock,
    Publisher,
    RestoreRetrying,
    ResultsRestored,
    UploadEnded,
    UploadRetrying,
)
from spawn.runner.troubles import Troubles

GIVE_UP_SECONDS = 3600.0
"""How long after the last job the queue retries its uploads."""


class Saving:
    """Requests uploads and restores, and decides what the log records of them.

    It keeps no state that the log does not have, except for work in progress.

    Args:
        say: Receives user-facing warnings.
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
        self._uploading: dict[str, str] = {}
        """Jobs of the attempts whose upload is in progress, by token."""
        self._promised: set[str] = set()
        """Attempts being uploaded that have results, by token."""
        self._retrying: dict[str, UploadRetrying] = {}
        """Attempts with results whose upload is being retried, by token."""
        self._retrying_output: set[str] = set()
        """Attempts without results whose upload is being retried, by token."""
        self._uploaded: list[UploadEnded] = []
        self._elsewhere: dict[str, str] = {}
        """Tokens of completed attempts that ran on another machine, by job."""
        self._postponed: set[str] = set()
        """Jobs to restore only after a job that they depend on has run again."""
        self._restoring: dict[str, int] = {}
        """Jobs whose results are being restored, with the number of the request."""
        self._requests = 0
        self._until: dict[str, int] = {}
        """The last of these requests that each job waits for."""
        self._early: set[str] = set()
        """Jobs being restored although a job that they depend on runs again."""
        self._restore_errors: dict[str, RestoreRetrying] = {}
        """Errors of restores that are being retried, until they are logged."""
        self._restored: dict[str, ResultsRestored] = {}
        """Restores that have succeeded or failed for good, until they are logged."""
        self._to_retry: list[JobState] = []
        self._gave_up = False
        """Whether the store failed for `GIVE_UP_SECONDS`, so that there is no last try."""
        self._retried_last: set[str] = set()
        """Attempts whose last try at the queue's end has started, by token."""
        self._idle_since: float | None = None

    def load(self, state: QueueState, holds: Callable[[JobState], bool]) -> None:
        """Find the results of attempts on other machines.

        Args:
            holds: Whether a job's newest attempt ran on this machine.
        """
        for job_id, job in state.jobs.items():
            if job.state == "completed" and job.config.result_files and not holds(job):
                self._elsewhere[job_id] = job.token

    def publish(self, job: JobState, *, last: bool = False) -> None:
        """Upload the files of a job's newest attempt.

        Args:
            last: As for `Publisher.publish`.
        """
        if job.folder:
            self._uploading[job.token] = job.config.job_id
            if job.state == "completed" and job.config.result_files:
                self._promised.add(job.token)
            self._publisher.upload(job.token, job, last=last)

    def retry_given_up(self, state: QueueState, holds: Callable[[JobState], bool]) -> bool:
        """Retry failed uploads once at the queue's end, as the store may accept them by now.

        They start in `mark_logged`, after the log has the earlier outcomes. Returns whether there
        are any.
        """
        failed = [
            job
            for job in state.jobs.values()
            if (job.upload_failed or job.output_error) and job.token not in self._retried_last
        ]
        self._to_retry = [job for job in failed if holds(job)] if not self._gave_up else []
        return bool(self._to_retry)

    def record(
        self, happening: UploadEnded | UploadRetrying | ResultsRestored | RestoreRetrying
    ) -> None:
        """Record progress of an upload or a restore."""
        match happening:
            case UploadEnded(token, _, unsaved):
                self._uploaded.append(happening)
                self._end_retry(token)
                if unsaved:
                    self._say(f"{self._uploading[token]}: its output is not saved: {unsaved}")
            case UploadRetrying(token, None):
                self._end_retry(token)
            case UploadRetrying(token, _, why, refused):
                if refused:
                    pass  # what waits for it waits for its end
                elif token in self._promised:
                    self._retrying[token] = happening
                else:
                    self._retrying_output.add(token)
                job_id = self._uploading[token]
                self._troubles.begin(
                    "upload",
                    "the files of {} are not saved yet",
                    about=job_id,
                    why=why,
                    warning=f"{job_id}: its files are not saved yet: {why}",
                )
            case ResultsRestored(job_id, _, gone):
                self._restore_errors.pop(job_id, None)
                self._troubles.end("restore", job_id)
                if gone and job_id in self._restoring:
                    self._say(f"{job_id} runs again: {gone}")
                if job_id in self._restoring:
                    self._restored[job_id] = happening
            case RestoreRetrying(job_id, why):
                self._restore_errors[job_id] = happening
                self._troubles.begin(
                    "restore",
                    "the results of {} cannot be restored yet",
                    about=job_id,
                    why=why,
                    holds=True,
                    warning=f"the results of {job_id} cannot be restored yet: {why}",
                )

    def _end_retry(self, token: str) -> None:
        self._troubles.end("upload", self._uploading.get(token, ""))
        self._retrying.pop(token, None)
        self._retrying_output.discard(token)

    def held(self, state: QueueState) -> set[str]:
        """Jobs that must wait, with their dependents, until the files that they may read are
        restored, and jobs to run again whose files a restore could overwrite."""
        if not self._restoring:
            return set()
        first = min(self._restoring.values())
        held = {job_id for job_id, number in self._until.items() if number >= first}
        early = self._early & self._restoring.keys() & state.jobs.keys()
        if early:
            needs = {job_id: job.config.depends_on for job_id, job in state.jobs.items()}
            upstream = dag.reach(early, needs)
            held.update(each for each in upstream if state.jobs[each].state != "completed")
        return held

    @property
    def must_wait(self) -> bool:
        """Whether the queue's end must wait for uploads: for all results, and for output that is
        not in a retry."""
        return len(self._uploading) - len(self._uploaded) > len(self._retrying_output)

    @property
    def is_progressing(self) -> bool:
        """Whether an upload is in progress that is not in a retry."""
        left = len(self._uploading) - len(self._uploaded)
        return left > len(self._retrying_output) + len(self._retrying)

    def drafts(self, state: QueueState, *, by: str) -> Iterator[list[Draft]]:
        """Yield what the log must record, a few events at a time. Apply each list to `state` before
        requesting the next. Repeats until `mark_logged`."""
        for done in self._uploaded:
            job = state.jobs.get(self._uploading.get(done.token, ""))
            if job is None or job.token != done.token:
                continue
            job_id, attempt = job.config.job_id, job.attempt
            known = done.outcome in (job.upload_failed, job.uploaded)
            outcome = None if known else done.outcome
            if outcome is not None and job.state == "completed":
                yield [Draft(outcome, job_id=job_id, attempt=attempt)]
            if done.unsaved and done.unsaved != job.output_error:
                yield [Draft(OutputNotSaved(error=done.unsaved), job_id=job_id, attempt=attempt)]
            elif job.output_error and not done.unsaved:
                yield [Draft(OutputSaved(), job_id=job_id, attempt=attempt)]
        now = self._clock.monotonic()
        for token, retry in self._retrying.items():
            job = state.jobs.get(self._uploading.get(token, ""))
            if job is None or job.token != token or retry.since is None:
                continue
            late = now - retry.since >= state.config.upload_wait
            if (
                late
                and job.upload_pending
                and decide.has_pending_dependents(state, [job.config.job_id])
            ):
                delayed = ResultsDelayed(error=retry.why)
                yield [Draft(delayed, job_id=job.config.job_id, attempt=job.attempt)]
        for job_id, failed in self._restore_errors.items():
            job = state.jobs.get(job_id)
            if job is not None and job.state == "completed" and job.restore_error != failed.why:
                note = ResultsNotPutBack(error=failed.why)
                yield [Draft(note, job_id=job_id, attempt=job.attempt)]
        for job_id, restored in self._restored.items():
            job = state.jobs.get(job_id)
            if job is None or job.token != restored.token or job.state != "completed":
                continue
            if restored.gone:
                yield decide.reset_job(state, job, reason="results_lost", by=by)
            elif (
                not job.open_dependencies
            ):  # otherwise it is restored again after the missing job has run
                note_ = ResultsPutBack(files=restored.files)
                yield [Draft(note_, job_id=job_id, attempt=job.attempt)]

    def mark_logged(self) -> None:
        """Forget what `drafts` has yielded, which is now in the log, and start last retries."""
        for done in self._uploaded:
            self._uploading.pop(done.token, None)
            self._promised.discard(done.token)
        for job_id in self._restored:
            self._restoring.pop(job_id, None)
        self._uploaded.clear()
        self._restored.clear()
        self._restore_errors.clear()
        for job in self._to_retry:
            self._retried_last.add(job.token)
            self.publish(job, last=True)
        self._to_retry.clear()

    def _has_results(self, job: JobState) -> bool:
        """Whether a completed job's results are on this machine, unchanged since."""
        if self._publisher.has_restored(job):
            return True
        made_here = self._elsewhere.get(job.config.job_id) != job.token
        return made_here and not (job.upstream_resets and job.uploaded)

    def is_restore_due(self, state: QueueState) -> bool:
        """Whether a postponed restore can start, because the jobs before it have run again."""
        jobs = state.jobs
        return any(
            not jobs[job_id].open_dependencies for job_id in self._postponed if job_id in jobs
        )

    def restore(self, state: QueueState, *, by: str) -> Iterator[list[Draft]]:
        """Restore the results that jobs which have yet to run may read, or reset the jobs that made
        them. Call it at the start, after jobs were reset or added, and when `is_restore_due`.

        Yields:
            As `drafts` does.
        """
        elsewhere = {
            job_id: job
            for job_id, job in state.jobs.items()
            if job.state == "completed" and job.config.result_files and not self._has_results(job)
        }
        for by_job in (self._elsewhere, self._restoring, self._restore_errors, self._restored):
            for job_id in [each for each in by_job if each not in state.jobs]:
                del by_job[job_id]
        for job in decide.jobs_to_rerun(state, elsewhere):
            yield decide.reset_job(state, job, reason="results_lost", by=by)
        for job_id, job in elsewhere.items():
            if job_id in state.uploading:
                lost = ResultsUploadFailed(error="they are on a machine that the queue has left")
                yield [Draft(lost, job_id=job_id, attempt=job.attempt)]
        for job, as_of in decide.results_to_restore(state, elsewhere):
            if job.config.job_id not in self._restoring:
                self._requests += 1
                self._restoring[job.config.job_id] = self._requests
                self._publisher.restore_results(copy(job), as_of)
        self._until = decide.highest_upstream(state, self._restoring)
        self._early = {job_id for job_id in self._restoring if state.jobs[job_id].open_dependencies}
        self._postponed = {job_id for job_id, job in elsewhere.items() if job.open_dependencies}

    def give_up_if_due(self, state: QueueState, *, leaving: bool) -> None:
        """Give up failing uploads `GIVE_UP_SECONDS` after the last job.

        Args:
            leaving: Whether the runner stops, so that no more jobs start.
        """
        now = self._clock.monotonic()
        waits = bool(state.running)
        if not leaving and not is_stopping(state):
            holding = [job_id for job_id in state.uploading if state.jobs[job_id].upload_pending]
            waits = waits or bool(state.retrying) or decide.has_pending_dependents(state, holding)
        if waits or not (self._retrying or self._retrying_output):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= GIVE_UP_SECONDS:
            self._publisher.give_up()
            self._gave_up = True

    def wakeup_times(self, upload_wait: float) -> Iterable[float]:
        """Future times, by the monotonic clock, at which `drafts` may change or uploads be given
        up."""
        now = self._clock.monotonic()
        moments = [each.since + upload_wait for each in self._retrying.values() if each.since]
        if self._idle_since is not None:
            moments.append(self._idle_since + GIVE_UP_SECONDS)
        return [each for each in moments if each > now]
