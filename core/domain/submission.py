"""Turn a configuration into events: one `QueueSubmitted`, and `JobsSubmitted` for further jobs."""

from collections.abc import Iterator
from hashlib import sha256

from msgspec import structs

from spawn.core.config import canonical
from spawn.core.config.model import JobConfig, QueueConfig
from spawn.core.domain.codec import MAX_LINE, valid_utf8
from spawn.core.domain.events import Draft, JobsSubmitted, QueueReconfigured, QueueSubmitted

_ROOM = MAX_LINE - 8 * 1024
"""Maximum bytes of jobs in one line; the rest is for its other fields."""


def config_sha256(config: QueueConfig) -> str:
    """Return the SHA-256 in hex of the whole validated configuration, including its jobs."""
    return sha256(canonical.encode_config(config)).hexdigest()


def submit(config: QueueConfig, *, file: str, file_sha256: str, version: str) -> list[Draft]:
    """Return the events that submit a configuration to an empty log.

    Args:
        config: Validated, with absolute working directories.
        file: The name of the configuration file.
        file_sha256: SHA-256 of the file's bytes, in hex.
        version: The version of spawn.
    """
    pages = list(_pages(config.jobs))
    submitted = QueueSubmitted(
        config=structs.replace(config, jobs=pages[0]),
        jobs_total=len(config.jobs),
        config_sha256=config_sha256(config),
        file=valid_utf8(file),
        file_sha256=file_sha256,
        version=version,
    )
    return [Draft(submitted), *(Draft(JobsSubmitted(jobs=page)) for page in pages[1:])]


def reconfigure(config: QueueConfig, *, changes: tuple[str, ...]) -> list[Draft]:
    """Return the events that replace a queue's configuration."""
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
        job_size = canonical.encoded_job_size(job) + 1
        if page and size + job_size > _ROOM:
            yield tuple(page)
            page, size = [], 0
        page.append(job)
        size += job_size
    yield tuple(page)
