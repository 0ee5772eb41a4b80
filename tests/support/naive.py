"""A queue's state, computed in a slow and simple way: by scanning the events."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from msgspec import Struct

from spawn.core.config.model import JobConfig
from spawn.core.domain.events import (
    Data,
    Event,
    JobFailed,
    JobRetryScheduled,
    JobsSubmitted,
    QueueReconfigured,
    QueueSubmitted,
)
from spawn.core.domain.state import QueueState

LEADS_TO = {
    "JobStarted": "running",
    "JobCompleted": "completed",
    "JobRetryScheduled": "retrying",
    "JobFailed": "failed",
    "JobInterrupted": "pending",
    "JobBlocked": "blocked",
    "JobUnblocked": "pending",
    "JobReset": "pending",
}
UPLOADS = {
    "ResultsUploaded": "saved",
    "ResultsDelayed": "late",
    "ResultsUploadFailed": "unsaved",
}
OUTCOMES = ("JobCompleted", "JobRetryScheduled", "JobFailed", "JobInterrupted")


class NaiveJob(Struct):
    """One job; `upload` is empty without results, else `due`, `late`, `saved` or `unsaved`."""

    config: JobConfig
    state: str = "pending"
    attempt: int = 0
    failures: int = 0
    upload: str = ""
    entered: int = 0
    """Seq of the event that led to the state."""


class NaiveQueue:
    """Keeps each job's newest events, and scans for everything else."""

    def __init__(self) -> None:
        self.jobs: dict[str, NaiveJob] = {}
        self._before: dict[str, NaiveJob] = {}
        self.total = 0

    def take(self, event: Event[Data]) -> None:
        """Add the next event."""
        data = event.data
        if isinstance(data, (QueueSubmitted, QueueReconfigured)):
            self._before, self.jobs, self.total = self.jobs, {}, data.jobs_total
            self._add(data.config.jobs)
        elif isinstance(data, JobsSubmitted):
            self._add(data.jobs)
        elif event.job_id is not None and not event.note:
            self._take_job(self.jobs[event.job_id], event)

    def _add(self, configs: Iterable[JobConfig]) -> None:
        for config in configs:
            job = self._before.get(config.job_id, NaiveJob(config))
            job.config = config
            self.jobs[config.job_id] = job

    def _take_job(self, job: NaiveJob, event: Event[Data]) -> None:
        if event.type in UPLOADS:
            job.upload = UPLOADS[event.type]
            return
        job.state = LEADS_TO[event.type]
        job.entered = event.seq
        if event.type == "JobStarted":
            job.attempt = event.attempt or 0
        elif isinstance(event.data, (JobRetryScheduled, JobFailed)):
            job.failures += 1
        elif event.type == "JobCompleted":
            job.upload = "due" if job.config.result_files else ""
        elif event.type == "JobReset":
            job.failures, job.upload = 0, ""

    # scans

    def needs(self, job: NaiveJob) -> list[NaiveJob]:
        """Return the dependencies of a job."""
        return [self.jobs[need] for need in job.config.depends_on]

    def unmet(self, job: NaiveJob) -> int:
        """Return the dependencies that have not completed."""
        return sum(need.state != "completed" for need in self.needs(job))

    def missing(self, job: NaiveJob) -> int:
        """Return the dependencies that make a job wait, directly or indirectly."""
        return sum(
            need.state != "completed" or need.upload == "due" or self.missing(need) > 0
            for need in self.needs(job)
        )

    def startable(self) -> list[str]:
        """Return the pending jobs that do not wait for any other, in the file's order."""
        return [
            job_id
            for job_id, job in self.jobs.items()
            if job.state == "pending" and not self.missing(job)
        ]

    def entered(self, state: str) -> list[str]:
        """Return the jobs in a state, in the order in which they entered it."""
        found = [(job.entered, job_id) for job_id, job in self.jobs.items() if job.state == state]
        return [job_id for _, job_id in sorted(found)]

    def with_upload(self, upload: str) -> set[str]:
        """Return the jobs whose upload is in this state."""
        return {job_id for job_id, job in self.jobs.items() if job.upload == upload}

    @property
    def whole(self) -> bool:
        """Whether all jobs of the newest configuration are in the log."""
        return len(self.jobs) == self.total


def disagreements(naive: NaiveQueue, state: QueueState) -> list[str]:
    """List every difference between a replayed state and the scans; empty if they agree."""
    counts = Counter(job.state for job in naive.jobs.values())
    jobs = state.jobs.items()
    ready = state.next_ready()
    pairs: dict[str, tuple[object, object]] = {
        "counts": ({s: n for s, n in state.counts.items() if n}, dict(counts)),
        "total": (sum(state.counts.values()), naive.total),
        "order": (state.order, list(naive.jobs)),
        "states": ({i: j.state for i, j in jobs}, {i: j.state for i, j in naive.jobs.items()}),
        "running": (list(state.running), naive.entered("running")),
        "retrying": (set(state.retrying), set(naive.entered("retrying"))),
        "failed": (list(state.failed), naive.entered("failed")),
        "uploading": (set(state.uploading), naive.with_upload("due") | naive.with_upload("late")),
        "unsaved": (set(state.upload_failed), naive.with_upload("unsaved")),
        "unmet": (
            {i: j.uncompleted_dependencies for i, j in jobs},
            {i: naive.unmet(j) for i, j in _items(naive)},
        ),
        "missing": (
            {i: j.open_dependencies for i, j in jobs},
            {i: naive.missing(j) for i, j in _items(naive)},
        ),
        "attempt": ({i: j.attempt for i, j in jobs}, {i: j.attempt for i, j in _items(naive)}),
        "failures": ({i: j.failures for i, j in jobs}, {i: j.failures for i, j in _items(naive)}),
        "index": ([j.index for j in state.jobs.values()], list(range(naive.total))),
        "ready": ([ready.config.job_id] if ready else [], naive.startable()[:1]),
    }
    return [
        f"{name}: {found} is not {true}" for name, (found, true) in pairs.items() if found != true
    ]


def outcomes_between_starts(events: Iterable[Event[Data]]) -> list[int]:
    """Count each attempt's outcomes before its job's next start, except for the newest attempt."""
    by_job: dict[str, list[str]] = {}
    for event in events:
        if event.type == "JobStarted" or event.type in OUTCOMES:
            by_job.setdefault(event.job_id or "", []).append(event.type)
    counts = []
    for types in by_job.values():
        starts = [place for place, type_ in enumerate(types) if type_ == "JobStarted"]
        counts += [after - before - 1 for before, after in pairwise(starts)]
    return counts


def _items(naive: NaiveQueue) -> Iterable[tuple[str, NaiveJob]]:
    return naive.jobs.items()
