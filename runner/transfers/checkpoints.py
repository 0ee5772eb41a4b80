"""Checkpoints: result files of a stopped attempt, saved to the object store and restored on another
machine."""

from collections.abc import Callable, Iterator
from copy import copy

from spawn.core.domain.events import (
    CheckpointNotSaved,
    CheckpointPutBack,
    CheckpointSaved,
    Draft,
    JobInterrupted,
    ResultsNotPutBack,
)
from spawn.core.domain.plan import is_stopping
from spawn.core.domain.state import JobState, QueueState
from spawn.runner.ports import (
    CheckpointRestored,
    CheckpointRetrying,
    CheckpointUploaded,
    Publisher,
    RestoreRetrying,
)
from spawn.runner.troubles import Troubles

_CAUSES = ("stop", "spot", "host")
_TO_RUN = ("pending", "retrying")
NO_TIME = "there was no time left to save it"


class Checkpoints:
    """Requests saving and restoring of checkpoints, and decides what the log records of it.

    Args:
        say: Receives user-facing warnings.
    """

    def __init__(
        self, publisher: Publisher, say: Callable[[str], None], troubles: Troubles
    ) -> None:
        self._troubles = troubles
        self._publisher = publisher
        self._say = say
        self._wanted: dict[str, str] = {}
        """Jobs of the attempts to save, by token."""
        self._save_started: set[str] = set()
        self._save_errors: dict[str, str] = {}
        """Why an attempt's checkpoint is being retried, by token."""
        self._saved: dict[str, CheckpointUploaded] = {}
        self._elsewhere: dict[str, str] = {}
        """Tokens of newest attempts that ran on another machine, by job."""
        self._restoring: dict[str, str] = {}
        self._restore_errors: dict[str, str] = {}
        self._restored: dict[str, CheckpointRestored] = {}

    def load(self, state: QueueState, holds: Callable[[JobState], bool]) -> None:
        """Find the checkpoints of attempts on other machines.

        Args:
            holds: Whether a job's newest attempt ran on this machine, so that its files are here.
        """
        for job_id, job in state.jobs.items():
            if job.checkpoint is not None and not holds(job):
                self._elsewhere[job_id] = job.token

    # save

    def request(self, job: JobState) -> None:
        """Request a checkpoint if the job's attempt was stopped and has result files. The queue's
        end waits for it. May be repeated until `save`."""
        outcome = job.outcome
        stopped = isinstance(outcome, JobInterrupted) and outcome.cause in _CAUSES
        if stopped and job.config.result_files and job.folder:
            self._wanted.setdefault(job.token, job.config.job_id)

    def save(self, job: JobState) -> None:
        """Save a requested checkpoint, now that the attempt's end is in the log."""
        if job.token in self._wanted and job.token not in self._save_started:
            self._save_started.add(job.token)
            self._publisher.save_checkpoint(job.token, copy(job))

    @property
    def is_saving(self) -> bool:
        """Whether a requested checkpoint is not saved yet."""
        return self._wanted.keys() > self._saved.keys()

    @property
    def is_progressing(self) -> bool:
        """Whether a checkpoint is being saved that is not in a retry."""
        return bool(self._wanted.keys() - self._saved.keys() - self._save_errors.keys())

    def drop(self, state: QueueState) -> Iterator[Draft]:
        """Give up checkpoints that are not saved yet; yields drafts in addition to `drafts`."""
        self._publisher.drop_checkpoints()
        for token in sorted(self._wanted.keys() - self._saved.keys()):
            why = self._save_errors.get(token) or NO_TIME
            self._saved[token] = CheckpointUploaded(token, None, why)
            yield from self._save_drafts(state, self._saved[token])

    # restore

    def is_restoring(self, job_id: str) -> bool:
        """Whether a checkpoint of this job is being restored."""
        return job_id in self._restoring

    def restore(self, state: QueueState) -> None:
        """Restore the checkpoints on other machines of jobs that have yet to run."""
        for job_id, token in list(self._elsewhere.items()):
            job = state.jobs.get(job_id)
            if job is None or job.token != token:
                del self._elsewhere[job_id]
            elif job.open_dependencies or is_stopping(state):
                continue  # a job that runs first could overwrite the restored files
            elif job.state in _TO_RUN and job.checkpoint:
                del self._elsewhere[job_id]
                self._restoring[job_id] = token
                self._publisher.restore_checkpoint(copy(job))

    def held(self, state: QueueState) -> set[str]:
        """Jobs that wait for their checkpoint to be restored."""
        return {each for each in self._restoring if each in state.jobs}

    # both

    def record(
        self,
        happening: CheckpointUploaded | CheckpointRetrying | CheckpointRestored | RestoreRetrying,
    ) -> None:
        """Record progress of a checkpoint."""
        match happening:
            case CheckpointUploaded(token, _, why):
                if token in self._wanted:
                    self._saved.setdefault(token, happening)
                    self._troubles.end("checkpoint", self._wanted[token])
                    if why:
                        self._say(f"{self._wanted[token]}: the checkpoint was not saved: {why}")
            case CheckpointRetrying(token, ""):
                self._save_errors.pop(token, None)
                self._troubles.end("checkpoint", self._wanted.get(token, ""))
            case CheckpointRetrying(token, why):
                if token in self._wanted:
                    self._save_errors[token] = why
                    job_id = self._wanted[token]
                    self._troubles.begin(
                        "checkpoint",
                        "the checkpoint of {} is not saved yet",
                        about=job_id,
                        why=why,
                        warning=f"{job_id}: the checkpoint is not saved yet: {why}",
                    )
            case CheckpointRestored(job_id, token, gone):
                if self._restoring.get(job_id) == token:
                    self._restore_errors.pop(job_id, None)
                    self._troubles.end("restore", job_id)
                    self._restored[job_id] = happening
                    if gone:
                        self._say(f"{job_id} starts without its checkpoint: {gone}")
            case RestoreRetrying(job_id, why):
                self._restore_errors[job_id] = why
                self._troubles.begin(
                    "restore",
                    "the checkpoint of {} cannot be restored yet",
                    about=job_id,
                    why=why,
                    holds=True,
                    warning=f"the checkpoint of {job_id} cannot be restored yet: {why}",
                )

    def drafts(self, state: QueueState) -> Iterator[Draft]:
        """Yield what the log must record; repeats until `mark_logged`."""
        for saved in self._saved.values():
            yield from self._save_drafts(state, saved)
        for job_id, why in self._restore_errors.items():
            job = state.jobs.get(job_id)
            if job is not None and job.restore_error != why:
                yield Draft(ResultsNotPutBack(error=why), job_id=job_id, attempt=job.attempt)
        for job_id, restored in self._restored.items():
            job = state.jobs.get(job_id)
            if job is not None and job.token == restored.token:
                note = CheckpointPutBack(files=restored.files, error=restored.gone)
                yield Draft(note, job_id=job_id, attempt=job.attempt)

    def _save_drafts(self, state: QueueState, done: CheckpointUploaded) -> Iterator[Draft]:
        job = state.jobs.get(self._wanted[done.token])
        if job is None or job.token != done.token or job.state == "running":
            return
        data: CheckpointSaved | CheckpointNotSaved | None = done.saved
        if done.why:
            data = CheckpointNotSaved(error=done.why)
        if data is not None:
            yield Draft(data, job_id=job.config.job_id, attempt=job.attempt)

    def mark_logged(self) -> None:
        """Forget what `drafts` and `drop` have yielded, which is now in the log."""
        for token in self._saved:
            del self._wanted[token]
            self._save_started.discard(token)
            self._save_errors.pop(token, None)
        for job_id in self._restored:
            del self._restoring[job_id]
        self._saved.clear()
        self._restored.clear()
        self._restore_errors.clear()
