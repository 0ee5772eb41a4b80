"""The dependency graph, in linear time and without recursion.

A graph maps each id to the ids that it depends on, in file order. Ids that are not keys are
ignored; the configuration check reports them. Without recursion, a chain of 100,000 jobs does not
overflow Python's stack.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def cycle(dependencies: Mapping[K, Sequence[K]]) -> list[K]:
    """Find a dependency cycle.

    Returns:
        A path in which each id depends on the next. It starts and ends with the id that comes
        first in the file: `[a, b, c, a]`. The result is deterministic; empty without a cycle.
    """
    done: set[K] = set()
    for root in dependencies:
        if root in done:
            continue
        path: dict[K, None] = {root: None}
        rest = [iter(dependencies[root])]
        while rest:
            for needed in rest[-1]:
                if needed in path:
                    return _from_first(_tail(list(path), needed), dependencies)
                if needed not in done and needed in dependencies:
                    path[needed] = None
                    rest.append(iter(dependencies[needed]))
                    break
            else:
                rest.pop()
                done.add(path.popitem()[0])
    return []


def dependents(dependencies: Mapping[K, Sequence[K]]) -> dict[K, tuple[K, ...]]:
    """Reverse a graph.

    Returns:
        Each id with the ids that depend on it, without duplicates and in file order.
    """
    waiting: dict[K, dict[K, None]] = {id_: {} for id_ in dependencies}
    for id_, needs in dependencies.items():
        for needed in needs:
            if needed in waiting:
                waiting[needed][id_] = None
    return {id_: tuple(those) for id_, those in waiting.items()}


def sort(dependencies: Mapping[K, Sequence[K]]) -> list[K]:
    """Sort ids topologically, dependencies first; the graph must have no cycle."""
    waiting = dependents(dependencies)
    missing = {
        id_: sum(need in dependencies for need in set(needs)) for id_, needs in dependencies.items()
    }
    ready = [id_ for id_, count in missing.items() if not count]
    for id_ in ready:
        for other in waiting[id_]:
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)
    return ready


def reach(starts: Iterable[K], edges: Mapping[K, Sequence[K]]) -> tuple[K, ...]:
    """Return the ids that `starts` reach, directly or indirectly.

    With `dependents(...)` as `edges`: all dependents of `starts`. With the graph itself: all
    dependencies of `starts`.

    Returns:
        The ids reached over at least one edge, nearest first, without duplicates; includes one of
        `starts` only if a cycle leads back to it.
    """
    reached: dict[K, None] = {}
    frontier = list(starts)
    while frontier:
        following = {id_: None for start in frontier for id_ in edges.get(start, ())}
        frontier = [id_ for id_ in following if id_ not in reached]
        reached.update(dict.fromkeys(frontier))
    return tuple(reached)


def _tail(path: list[K], entry: K) -> list[K]:
    return path[path.index(entry) :]


def _from_first(ring: list[K], order: Iterable[K]) -> list[K]:
    members = set(ring)
    first = ring.index(next(id_ for id_ in order if id_ in members))
    return [*ring[first:], *ring[: first + 1]]
