"""Check the jobs against each other: duplicate ids, unknown dependencies and cycles.

Every check takes time linear in the size of the file, whatever the shape of the graph.
"""

from collections.abc import Iterator, Sequence

from spawn.core import dag
from spawn.core.config.names import fold, nearest
from spawn.core.config.problems import Problem, quoted

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
            match = nearest(name, self._ids)
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
