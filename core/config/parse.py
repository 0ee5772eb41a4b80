"""A configuration file's bytes, checked and validated."""

import re
from collections.abc import Iterator

import msgspec

from spawn.core.config import canonical, check, dependencies, dialects, document
from spawn.core.config.fields import MAX_JOBS, QueueFile
from spawn.core.config.model import QueueConfig
from spawn.core.config.problems import Problem
from spawn.core.errors import InvalidConfig

MAX_JOB_BYTES = 48 * 1024
"""Bytes of a job's canonical JSON: with room to spare in one event, which has at most 64 KiB."""

_JOB = re.compile(r"jobs\[([0-9]+)\]")


def parse(data: bytes, *, base_directory: str, name: str) -> QueueConfig:
    """Read a configuration in either dialect.

    Args:
        data: The file: JSON in UTF-8, with or without a byte order mark.
        base_directory: Absolute; where jobs run that name no directory, and what a relative one
            is below.
        name: What to call the file in an error.

    Raises:
        InvalidConfig: It has problems; all that there are.
    """
    try:
        value = document.read(data)
    except document.DocumentError as error:
        raise InvalidConfig(name, [error.problem]) from None
    problems: list[Problem] = []
    check.check(value, problems)
    jobs = value.get("jobs") if isinstance(value, dict) else None
    if isinstance(jobs, list) and len(jobs) <= MAX_JOBS:
        problems.extend(dependencies.check(jobs))
    if not problems:
        config = dialects.queue(msgspec.convert(value, QueueFile), base_directory)
        problems.extend(_too_large(config))
    if problems:
        raise InvalidConfig(name, sorted(problems, key=_job_index))
    return config


def _too_large(config: QueueConfig) -> Iterator[Problem]:
    for index, job in enumerate(config.jobs):
        size = canonical.size(job)
        if size > MAX_JOB_BYTES:
            what = f"takes {size:,} bytes, and one event of the log holds {MAX_JOB_BYTES:,}"
            yield Problem(f"jobs[{index}]", what, "move what is long into a script")


def _job_index(problem: Problem) -> int:
    match = _JOB.match(problem.place)
    return int(match.group(1)) if match else -1
