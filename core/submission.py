"""A configuration as events: one `QueueSubmitted`, and `JobsSubmitted` for what it cannot hold."""

from collections.abc import Iterator
from hashlib import sha256

from msgspec import structs

from spawn.core.codec import MAX_LINE, clean
from spawn.core.config import canonical
from spawn.core.config.model import JobConfig, QueueConfig
from spawn.core.events import Draft, JobsSubmitted, QueueReconfigured, QueueSubmitted

_ROOM = MAX_LINE - 8 * 1024
"""Bytes of jobs that one line takes; the rest is for everything else that the line says."""


def config_sha256(config: QueueConfig) -> str:
    """SHA-256 in hex of the whole validated configuration, jobs included."""
    return sha256(canonical.encode(config)).hexdigest()


def submit(config: QueueConfig, *, file: str, file_sha256: str, version: str) -> list[Draft]:
    """Decide the events that put a configuration into an empty log.

    Args:
        config: Validated, with absolute working directories.
        file: The name of the file it came from.
        file_sha256: Of that file's bytes, in hex.
        version: Of spawn.
    """
    pages = list(_pages(config.jobs))
    submitted = QueueSubmitted(
        config=structs.replace(config, jobs=pages[0]),
        jobs_total=len(config.jobs),
        config_sha256=config_sha256(config),
        file=clean(file),
        file_sha256=file_sha256,
        version=version,
    )
    return [Draft(submitted), *(Draft(JobsSubmitted(jobs=page)) for page in pages[1:])]


def reconfigure(config: QueueConfig, *, changes: tuple[str, ...]) -> list[Draft]:
    """Decide the events that put another configuration in the place of a queue's own."""
    pages = list(_pages(config.jobs))
    reconfigured = QueueReconfigured(
        config=structs.replace(config, jobs=pages[0]),
        jobs_total=len(config.jobs),
        config_sha256=config_sha256(config),
        changes=changes,
    )
    return [Draft(reconfigured), *(Draft(JobsSubmitted(jobs=page)) for page in pages[1:])]


def _pages(jobs: tuple[JobConfig, ...]) -> Iterator[tuple[JobConfig, ...]]:
    page: list[JobConfig] = []
    size = 0
    for job in jobs:
        job_size = canonical.size(job) + 1
        if page and size + job_size > _ROOM:
            yield tuple(page)
            page, size = [], 0
        page.append(job)
        size += job_size
    yield tuple(page)
