"""What only all jobs together show: ids used twice, dependencies that lead nowhere or in a circle.

Every check is linear in the file; a chain of 100,000 jobs takes no longer than 100,000 loose ones.
"""

from collections.abc import Iterator, Sequence

from spawn.core import dag
from spawn.core.config.names import fold, nearest
from spawn.core.config.problems import Problem, quoted

_COMPARISONS = 20_000
"""Names that are compared in search of those that were meant, over the whole file."""
_LISTED = 8
"""Jobs whose names a hint can list."""


def check(jobs: Sequence[object]) -> Iterator[Problem]:
    """Find what is wrong between jobs; what is wrong within one is passed over.

    Args:
        jobs: As the file has them, whatever they are.
    """
    places: dict[str, int] = {}
    needs: list[tuple[int, str, list[object]]] = []
    for index, job in enumerate(jobs):
        job_id = job.get("job_id") if isinstance(job, dict) else None
        if not isinstance(job, dict) or not isinstance(job_id, str):
            job_id = ""
        elif job_id in places:
            what = f"{quoted(job_id)} is the id of jobs[{places[job_id]}] too"
            yield Problem(f"jobs[{index}].job_id", what, "give each job an id of its own")
        else:
            places[job_id] = index
        needed = job.get("depends_on") if isinstance(job, dict) else None
        if isinstance(needed, list):
            needs.append((index, job_id, needed))

    known = _Known(places)
    graph: dict[str, list[str]] = {job_id: [] for job_id in places}
    for index, job_id, needed in needs:
        edges: dict[str, int] = {}
        for position, name in enumerate(needed):
            place = f"jobs[{index}].depends_on[{position}]"
            if not isinstance(name, str):
                continue
            if name in edges:
                first = f"jobs[{index}].depends_on[{edges[name]}]"
                yield Problem(place, f"{quoted(name)} stands at {first} too", "take one out")
                continue
            edges[name] = position
            if name not in places:
                yield Problem(place, f"there is no job {quoted(name)}", known.suggest(name))
            elif name == job_id:
                yield Problem(place, "a job cannot depend on itself", "take it out")
        if places.get(job_id) == index:
            graph[job_id] = [name for name in edges if name != job_id]
    if circle := dag.cycle(graph):
        place = f"jobs[{places[circle[0]]}].depends_on"
        hint = "take one of these dependencies out"
        yield Problem(place, f"these jobs wait for each other: {_path(circle)}", hint)


class _Known:
    """The ids that there are, and which of them was meant."""

    def __init__(self, job_ids: dict[str, int]) -> None:
        self._ids = tuple(job_ids)
        self._folded = {fold(job_id): job_id for job_id in reversed(self._ids)}
        self._comparisons = 0

    def suggest(self, name: str) -> str:
        meant = self._folded.get(fold(name))
        if meant is None and self._comparisons + len(self._ids) <= _COMPARISONS:
            self._comparisons += len(self._ids)
            meant = nearest(name, self._ids)
        if meant is not None:
            return f"did you mean {quoted(meant)}?"
        if 0 < len(self._ids) <= _LISTED:
            return f"the jobs are {', '.join(map(quoted, self._ids))}"
        return "add that job, or take the dependency out"


def _path(circle: list[str]) -> str:
    shown = [name if name.isprintable() else quoted(name) for name in circle]
    if len(shown) > 12:
        shown[8:-2] = [f"({len(shown) - 10} more)"]
    return " → ".join(shown)
