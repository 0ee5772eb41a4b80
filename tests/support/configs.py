"""Short forms for small configurations."""

from typing import Any

from spawn.core.config.model import JobConfig, QueueConfig, RetryPolicy


def job(job_id: str, *needs: str, attempts: int = 1, **fields: Any) -> JobConfig:
    """A job that depends on `needs` and has `attempts` attempts."""
    fields.setdefault("command", f"run {job_id}")
    fields.setdefault("working_directory", "/work")
    fields.setdefault("retry", RetryPolicy(max_attempts=attempts))
    return JobConfig(job_id=job_id, depends_on=needs, **fields)


def queue(*jobs: JobConfig, **fields: Any) -> QueueConfig:
    """A queue of these jobs."""
    return QueueConfig(jobs=jobs, **fields)


def chain(length: int, **fields: Any) -> QueueConfig:
    """A chain of jobs `j0`, `j1`, ..."""
    return queue(*(job(f"j{n}", *(f"j{n - 1}",) * (n > 0)) for n in range(length)), **fields)
