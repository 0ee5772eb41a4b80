"""Parse and validate a configuration file."""

import re
from collections.abc import Iterator

import msgspec

from spawn.core.config import canonical, check, dependencies, dialects, document
from spawn.core.config.fields import MAX_JOBS, QueueFile
from spawn.core.config.model import QueueConfig
from spawn.core.config.problems import Problem
from spawn.core.errors import InvalidConfig

MAX_JOB_BYTES = 48 * 1024
"""Maximum size of a job's canonical JSON. An event, which holds whole jobs, is at most 64 KiB."""

_JOB = re.compile(r"jobs\[([0-9]+)\]")


def parse(data: bytes, *, base_directory: str, name: str) -> QueueConfig:
    """Parse a configuration in either dialect.

    Args:
        data: The content of the file: JSON in UTF-8, with or without a byte order mark.
        base_directory: Absolute path: the default working directory of jobs, and the base of
            relative ones.
        name: Name of the file in error messages.

    Raises:
        InvalidConfig: The configuration has problems; the error lists all of them.
    """
    try:
        value = document.parse_json(data)
    except document.DocumentError as error:
        raise InvalidConfig(name, [error.problem]) from None
    problems: list[Problem] = []
    check.check_document(value, problems)
    jobs = value.get("jobs") if isinstance(value, dict) else None
    if isinstance(jobs, list) and len(jobs) <= MAX_JOBS:
        problems.extend(dependencies.check_dependencies(jobs))
    if not problems:
        config = dialects.to_queue_config(msgspec.convert(value, QueueFile), base_directory)
        problems.extend(_oversized_jobs(config))
    if problems:
        raise InvalidConfig(name, sorted(problems, key=_job_index))
    return config


def _oversized_jobs(config: QueueConfig) -> Iterator[Problem]:
    for index, job in enumerate(config.jobs):
        size = canonical.size(job)
        if size > MAX_JOB_BYTES:
            what = f"takes {size:,} bytes, and the limit for a job is {MAX_JOB_BYTES:,}"
            yield Problem(f"jobs[{index}]", what, "move long values into a script")


def _job_index(problem: Problem) -> int:
    match = _JOB.match(problem.place)
    return int(match.group(1)) if match else -1
