"""Build a timeline while a log is replayed: one pass, with memory for attempts, not for events."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import structs

from spawn.core.config.model import QueueConfig
from spawn.core.domain.codec import decode
from spawn.core.domain.events import (
    Data,
    EpochEnd,
    Event,
    JobBlocked,
    JobFailed,
    JobInterrupted,
    JobReset,
    JobRetryScheduled,
    JobsSubmitted,
    JobStarted,
    Outcome,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
    QueueResumed,
    QueueStarted,
    QueueSubmitted,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.state import QueueState
from spawn.core.reports.timeline.model import (
    Attempt,
    AuditEntry,
    Completion,
    Epoch,
    JobHistory,
    Result,
    StateChange,
    Timeline,
)
from spawn.core.values.timestamps import parse_timestamp

MOST_ATTEMPTS = 25
"""Attempts kept for each job: at least this many of the newest, at most twice as many."""
MOST_ENTRIES = 200
"""Audit entries kept: at least this many of the newest, at most twice as many."""
MOST_NAMES = 10
"""Job names kept in an audit entry for a reset of several jobs."""


class Collector:
    """Replays the log of queue `queue_id` and collects its timeline."""

    def __init__(self, queue_id: str) -> None:
        self.fold = Replay(queue_id)
        self._lines: dict[str, JobHistory] = {}
        self._epochs: list[Epoch] = []
        self._audit: list[AuditEntry] = []
        self._left_out = 0
        self._base: datetime | None = None
        self._now = 0.0

    def feed(self, rows: Iterable[Row], *, until: str | None = None) -> None:
        """Process the events that follow those fed before.

        Args:
            until: A stamp; stop before the first event that is later.

        Raises:
            CorruptLog: At the first invalid event.
        """
        for row in rows:
            if not self.fold.feed((row,), until=until):
                return
            event = decode(row[2], row[1])
            if event is not None:
                self._process(event)

    def timeline(self, *, now: datetime | None = None) -> Timeline:
        """Return the timeline up to the queue's end, or up to `now` if it has not ended.

        Args:
            now: None: up to the newest event.
        """
        state = self.fold.state
        assert self._base is not None
        end = self._now
        if now is not None and not state.ended_at:
            end = max(end, (now - self._base).total_seconds())
        elif state.ended_at and self._epochs and self._epochs[-1].end is not None:
            end = self._epochs[-1].end
        return Timeline(
            base=self._base,
            end=end,
            lines={job_id: self._lines[job_id] for job_id in state.order},
            needs={job_id: job.config.depends_on for job_id, job in state.jobs.items()},
            epochs=self._epochs,
            audit=self._audit,
            audit_left_out=self._left_out,
        )

    def _process(self, event: Event[Data]) -> None:
        at = parse_timestamp(event.at)
        if self._base is None:
            self._base = at
        before = self._now
        self._now = max(before, (at - self._base).total_seconds())
        state = self.fold.partial
        assert state is not None
        if event.note:
            self._audit_event(event)
        elif event.job_id is not None:
            self._process_job(self._lines[event.job_id], event, state)
        else:
            self._process_queue(event, before)
            if state.all_jobs_read and isinstance(event.data, _CONFIGURES):
                self._update_lines(state)

    def _update_lines(self, state: QueueState) -> None:
        """Add lines for new jobs, and mark removed jobs as absent."""
        for job_id in state.jobs:
            line = self._lines.get(job_id)
            if line is None:
                self._lines[job_id] = JobHistory(
                    job_id=job_id, moves=[StateChange(self._now, "pending")]
                )
            elif line.moves[-1].state == "absent":
                line.moves.append(StateChange(self._now, "pending"))
        for job_id in self._lines.keys() - state.jobs.keys():
            line = self._lines[job_id]
            if line.moves[-1].state != "absent":
                line.moves.append(StateChange(self._now, "absent"))
                _undo_completion(line, self._now)

    def _process_job(self, line: JobHistory, event: Event[Data], state: QueueState) -> None:
        now, data = self._now, event.data
        job = state.jobs[line.job_id]
        if isinstance(data, ResultsUploaded | ResultsUploadFailed):
            if line.completions and line.completions[-1].settled is None:
                line.completions[-1].settled = now
            return
        attempt = None
        if isinstance(data, JobStarted):
            attempt = Attempt(number=job.attempt, epoch=event.epoch, start=now, pid=data.pid)
            line.attempts.append(attempt)
            if len(line.attempts) > 2 * MOST_ATTEMPTS:
                _fold_oldest(line)
        elif isinstance(data, Outcome):
            _end_attempt(line.attempts[-1], data, now)
            if job.state == "completed":
                held = line.job_id in state.uploading
                line.completions.append(Completion(now, None if held else now))
                del line.completions[:-MOST_ATTEMPTS]
        elif isinstance(data, JobReset):
            _undo_completion(line, now)
            self._audit_reset(event, data)
        by = data.by if isinstance(data, JobBlocked) else ""
        line.moves.append(StateChange(now, job.state, attempt, by))

    def _process_queue(self, event: Event[Data], before: float) -> None:
        data = event.data
        if isinstance(data, QueueStarted):
            if isinstance(data, QueueResumed) and self._epochs:
                self._end_dead_epoch(self._epochs[-1], before, data.owned_seconds)
            self._epochs.append(Epoch(number=event.epoch, start=self._now, owner=data))
        elif isinstance(data, EpochEnd) and self._epochs and self._epochs[-1].end is None:
            epoch = self._epochs[-1]
            epoch.end = self._now
            epoch.fate = "completed"
            if isinstance(data, QueueInterrupted):
                epoch.fate, epoch.cause, epoch.detail = "interrupted", data.cause, data.detail
            elif isinstance(data, QueueFailed):
                epoch.fate, epoch.cause, epoch.detail = "failed", data.reason, data.detail
        if isinstance(data, QueueStarted | EpochEnd | QueueReconfigured):
            self._audit_event(event)

    def _end_dead_epoch(self, epoch: Epoch, before: float, owned: float | None) -> None:
        """End an epoch whose runner died without an event, when it was last known to live."""
        if epoch.end is None:
            epoch.end = min(self._now, max(before, epoch.start + (owned or 0.0)))
            epoch.fate = "died"

    def _audit_event(self, event: Event[Data]) -> None:
        if isinstance(event.data, QueueReconfigured):  # saves memory: the state has the jobs
            slim = structs.replace(event.data, config=QueueConfig(jobs=()))
            event = structs.replace(event, data=slim)
        self._append(AuditEntry(event=event))

    def _audit_reset(self, event: Event[Data], data: JobReset) -> None:
        assert event.job_id is not None
        last = self._audit[-1] if self._audit else None
        prior = last.event.data if last else None
        if last and isinstance(prior, JobReset) and prior == data and last.event.at == event.at:
            if len(last.jobs) < MOST_NAMES:
                last.jobs.append(event.job_id)
            else:
                last.more += 1
            return
        self._append(AuditEntry(event=event, jobs=[event.job_id]))

    def _append(self, entry: AuditEntry) -> None:
        self._audit.append(entry)
        if len(self._audit) > 2 * MOST_ENTRIES:
            del self._audit[:MOST_ENTRIES]
            self._left_out += MOST_ENTRIES


_CONFIGURES = (QueueSubmitted, JobsSubmitted, QueueReconfigured)


def _end_attempt(attempt: Attempt, data: Outcome, now: float) -> None:
    attempt.end = attempt.ran_until = now
    attempt.wall_seconds = data.wall_seconds
    if 0 < data.wall_seconds < now - attempt.start:
        attempt.ran_until = attempt.start + data.wall_seconds
    attempt.exit_code, attempt.signal = data.exit_code, data.signal
    attempt.timed_out = data.timed_out
    result: Result = "completed"
    if isinstance(data, JobInterrupted):
        result, attempt.reason = "interrupted", data.cause
    elif isinstance(data, JobRetryScheduled):
        result, attempt.reason = "retrying", data.why
    elif isinstance(data, JobFailed):
        result, attempt.reason = "failed", data.why
    attempt.result = result


def _undo_completion(line: JobHistory, now: float) -> None:
    if line.completions and line.completions[-1].undone is None:
        line.completions[-1].undone = now


def _fold_oldest(line: JobHistory) -> None:
    """Drop the oldest half of the attempts and only count them."""
    oldest = line.attempts[MOST_ATTEMPTS]
    place = next(index for index, move in enumerate(line.moves) if move.attempt is oldest)
    line.folded += MOST_ATTEMPTS
    del line.attempts[:MOST_ATTEMPTS]
    line.moves[:place] = [StateChange(line.since, "folded")]
