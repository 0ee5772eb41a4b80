"""Parse and validate a configuration file."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from spawn.core.config import canonical, dialects, document, field_check
from spawn.core.config.fields import MAX_JOBS, QueueFile
from spawn.core.config.model import QueueConfig
from spawn.core.config.suggestions import fold, nearest_name
from spawn.core.errors import InvalidConfig
from spawn.core.problems import Problem, quoted
from spawn.core.values import dag

MAX_JOB_BYTES = 48 * 1024
"""Maximum size of a job's canonical JSON. An event, which holds whole jobs, is at most 64 KiB."""

_JOB = re.compile(r"jobs\[([0-9]+)\]")


def parse_config(data: bytes, *, base_directory: str, name: str) -> QueueConfig:
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
    field_check.check_document(value, problems)
    jobs = value.get("jobs") if isinstance(value, dict) else None
    if isinstance(jobs, list) and len(jobs) <= MAX_JOBS:
        problems.extend(check_dependencies(jobs))
    if not problems:
        config = dialects.to_queue_config(msgspec.convert(value, QueueFile), base_directory)
        problems.extend(_oversized_jobs(config))
    if problems:
        raise InvalidConfig(name, sorted(problems, key=_job_index))
    return config


def _oversized_jobs(config: QueueConfig) -> Iterator[Problem]:
    for index, job in enumerate(config.jobs):
        size = canonical.encoded_job_size(job)
        if size > MAX_JOB_BYTES:
            what = f"takes {size:,} bytes, and the limit for a job is {MAX_JOB_BYTES:,}"
            yield Problem(f"jobs[{index}]", what, "move long values into a script")


def _job_index(problem: Problem) -> int:
    match = _JOB.match(problem.place)
    return int(match.group(1)) if match else -1


_COMPARISONS = 20_000
"""Limit on name comparisons for suggestions, over the whole file."""
_LISTED = 8
"""Number of jobs up to which a hint lists them all."""


def check_dependencies(jobs: Sequence[object]) -> Iterator[Problem]:
    """Report problems between jobs; problems within one job are ignored.

    Args:
        jobs: Unchecked values from the file.
    """
    places: dict[str, int] = {}
    needs: list[tuple[int, str, list[object]]] = []
    for index, job in enumerate(jobs):
        job_id = job.get("job_id") if isinstance(job, dict) else None
        if not isinstance(job, dict) or not isinstance(job_id, str):
            job_id = ""
        elif job_id in places:
            what = f"{quoted(job_id)} is already the id of jobs[{places[job_id]}]"
            yield Problem(f"jobs[{index}].job_id", what, "give each job a unique id")
        else:
            places[job_id] = index
        needed = job.get("depends_on") if isinstance(job, dict) else None
        if isinstance(needed, list):
            needs.append((index, job_id, needed))

    suggester = _JobSuggester(places)
    graph: dict[str, list[str]] = {job_id: [] for job_id in places}
    for index, job_id, needed in needs:
        edges: dict[str, int] = {}
        for position, name in enumerate(needed):
            place = f"jobs[{index}].depends_on[{position}]"
            if not isinstance(name, str):
                continue
            if name in edges:
                first = f"jobs[{index}].depends_on[{edges[name]}]"
                yield Problem(place, f"{quoted(name)} is already listed at {first}", "remove one")
                continue
            edges[name] = position
            if name not in places:
                yield Problem(place, f"there is no job {quoted(name)}", suggester.suggest(name))
            elif name == job_id:
                yield Problem(place, "a job cannot depend on itself", "remove it")
        if places.get(job_id) == index:
            graph[job_id] = [name for name in edges if name != job_id]
    if cycle := dag.cycle(graph):
        place = f"jobs[{places[cycle[0]]}].depends_on"
        hint = "remove one of these dependencies"
        yield Problem(place, f"circular dependency: {_path(cycle)}", hint)


class _JobSuggester:
    """Suggests an existing job id for an unknown one."""

    def __init__(self, job_ids: dict[str, int]) -> None:
        self._ids = tuple(job_ids)
        self._folded = {fold(job_id): job_id for job_id in reversed(self._ids)}
        self._comparisons = 0

    def suggest(self, name: str) -> str:
        match = self._folded.get(fold(name))
        if match is None and self._comparisons + len(self._ids) <= _COMPARISONS:
            self._comparisons += len(self._ids)
            match = nearest_name(name, self._ids)
        if match is not None:
            return f"did you mean {quoted(match)}?"
        if 0 < len(self._ids) <= _LISTED:
            return f"the jobs are {', '.join(map(quoted, self._ids))}"
        return "add the job, or remove the dependency"


def _path(cycle: list[str]) -> str:
    shown = [name if name.isprintable() else quoted(name) for name in cycle]
    if len(shown) > 12:
        shown[8:-2] = [f"({len(shown) - 10} more)"]
    return " → ".join(shown)
