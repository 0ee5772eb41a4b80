"""What the loop knows of checkpoints: what an attempt that is stopped has left of its job's result
files, on the way to the object store, and back on another machine."""

from collections.abc import Callable, Iterator
from copy import copy

from spawn.core.events import (
    CheckpointNotSaved,
    CheckpointPutBack,
    CheckpointSaved,
    Draft,
    JobInterrupted,
    ResultsNotPutBack,
)
from spawn.core.plan import is_stopping
from spawn.core.state import JobState, QueueState
from spawn.runner.ports import Checkpointed, Faltering, Hindered, Publisher, Returned
from spawn.runner.troubles import Troubles

_CAUSES = ("stop", "spot", "host")
_TO_RUN = ("pending", "retrying")
NO_TIME = "there was no time left for it"


class Checkpoints:
    """Decides what follows from checkpoints that are saved and put back.

    Args:
        say: Told what a person should know.
    """

    def __init__(
        self, publisher: Publisher, say: Callable[[str], None], troubles: Troubles
    ) -> None:
        self._troubles = troubles
        self._publisher = publisher
        self._say = say
        self._wanted: dict[str, str] = {}
        """Attempts of which one is to be saved, with their jobs."""
        self._begun: set[str] = set()
        self._faltering: dict[str, str] = {}
        self._done: dict[str, Checkpointed] = {}
        self._away: dict[str, str] = {}
        """Jobs whose newest attempt was on another machine, with its token."""
        self._coming: dict[str, str] = {}
        self._hindered: dict[str, str] = {}
        self._back: dict[str, Returned] = {}

    def begin(self, state: QueueState, holds: Callable[[JobState], bool]) -> None:
        """Take up what there is.

        Args:
            holds: Whether an attempt was on this machine: its files are here then.
        """
        for job_id, job in state.jobs.items():
            if job.checkpoint is not None and not holds(job):
                self._away[job_id] = job.token

    # to the store

    def want(self, job: JobState) -> None:
        """Have one saved of an attempt that has ended, if it was stopped and has result files; the
        queue's end waits for it. May be repeated until `save`."""
        outcome = job.outcome
        stopped = isinstance(outcome, JobInterrupted) and outcome.cause in _CAUSES
        if stopped and job.config.result_files and job.folder:
            self._wanted.setdefault(job.token, job.config.job_id)

    def save(self, job: JobState) -> None:
        """The attempt's end is in the log: begin with what is wanted of it."""
        if job.token in self._wanted and job.token not in self._begun:
            self._begun.add(job.token)
            self._publisher.save_checkpoint(job.token, copy(job))

    @property
    def busy(self) -> bool:
        """Whether some are on their way."""
        return self._wanted.keys() > self._done.keys()

    @property
    def flows(self) -> bool:
        """Whether some are, and get on."""
        return bool(self._wanted.keys() - self._done.keys() - self._faltering.keys())

    def drop(self, state: QueueState) -> Iterator[Draft]:
        """Wait for none any more. To be asked after `drafts`; yields what follows on top."""
        self._publisher.drop_checkpoints()
        for token in sorted(self._wanted.keys() - self._done.keys()):
            why = self._faltering.get(token) or NO_TIME
            self._done[token] = Checkpointed(token, None, why)
            yield from self._said(state, self._done[token])

    # back again

    def concerns(self, job_id: str) -> bool:
        """Whether it is a checkpoint of this job that is on its way back."""
        return job_id in self._coming

    def seek(self, state: QueueState) -> None:
        """See that a job that has yet to run finds its checkpoint."""
        for job_id, token in list(self._away.items()):
            job = state.jobs.get(job_id)
            if job is None or job.token != token:
                del self._away[job_id]
            elif job.missing or is_stopping(state):
                continue  # what runs before the job could overwrite it
            elif job.state in _TO_RUN and job.checkpoint:
                del self._away[job_id]
                self._coming[job_id] = token
                self._publisher.return_checkpoint(copy(job))

    def held(self, state: QueueState) -> set[str]:
        """Jobs that wait until their checkpoint is here."""
        return {each for each in self._coming if each in state.jobs}

    # both

    def take(self, happening: Checkpointed | Faltering | Returned | Hindered) -> None:
        """Note what has happened."""
        match happening:
            case Checkpointed(token, _, why):
                if token in self._wanted:
                    self._done.setdefault(token, happening)
                    self._troubles.end("checkpoint", self._wanted[token])
                    if why:
                        self._say(f"{self._wanted[token]}: its checkpoint is not saved: {why}")
            case Faltering(token, ""):
                self._faltering.pop(token, None)
                self._troubles.end("checkpoint", self._wanted.get(token, ""))
            case Faltering(token, why):
                if token in self._wanted:
                    self._faltering[token] = why
                    job_id = self._wanted[token]
                    self._troubles.begin(
                        "checkpoint",
                        "the checkpoint of {} is not saved yet",
                        about=job_id,
                        why=why,
                        said=f"{job_id}: its checkpoint is not saved yet: {why}",
                    )
            case Returned(job_id, token, gone):
                if self._coming.get(job_id) == token:
                    self._hindered.pop(job_id, None)
                    self._troubles.end("restore", job_id)
                    self._back[job_id] = happening
                    if gone:
                        self._say(f"{job_id} begins without its checkpoint: {gone}")
            case Hindered(job_id, why):
                self._hindered[job_id] = why
                self._troubles.begin(
                    "restore",
                    "the checkpoint of {} cannot be restored yet",
                    about=job_id,
                    why=why,
                    holds=True,
                    said=f"the checkpoint of {job_id} cannot be put back yet: {why}",
                )

    def drafts(self, state: QueueState) -> Iterator[Draft]:
        """What follows for the log. The same again until `written`."""
        for done in self._done.values():
            yield from self._said(state, done)
        for job_id, why in self._hindered.items():
            job = state.jobs.get(job_id)
            if job is not None and job.not_put_back != why:
                yield Draft(ResultsNotPutBack(error=why), job_id=job_id, attempt=job.attempt)
        for job_id, back in self._back.items():
            job = state.jobs.get(job_id)
            if job is not None and job.token == back.token:
                note = CheckpointPutBack(files=back.files, error=back.gone)
                yield Draft(note, job_id=job_id, attempt=job.attempt)

    def _said(self, state: QueueState, done: Checkpointed) -> Iterator[Draft]:
        job = state.jobs.get(self._wanted[done.token])
        if job is None or job.token != done.token or job.state == "running":
            return
        data: CheckpointSaved | CheckpointNotSaved | None = done.saved
        if done.why:
            data = CheckpointNotSaved(error=done.why)
        if data is not None:
            yield Draft(data, job_id=job.config.job_id, attempt=job.attempt)

    def written(self) -> None:
        """The log has taken all of that."""
        for token in self._done:
            del self._wanted[token]
            self._begun.discard(token)
            self._faltering.pop(token, None)
        for job_id in self._back:
            del self._coming[job_id]
        self._done.clear()
        self._back.clear()
        self._hindered.clear()
