"""Who waits for whom: graphs of dependencies, in linear time and without recursion.

A graph maps each id to the ids that it depends on, in the file's order. Ids that are not keys of it
are passed over: the file's check names them. A chain of 100,000 must not meet Python's stack.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def cycle(dependencies: Mapping[K, Sequence[K]]) -> list[K]:
    """Find ids that wait for each other.

    Returns:
        A path in which each depends on the next, the first of them in the file at both ends:
        `[a, b, c, a]`; the same one every time. Empty when there is no cycle.
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
    """Turn a graph around.

    Returns:
        Each id with the ids that depend on it, once each and in the file's order; an empty tuple
        for an id that nothing waits for.
    """
    waiting: dict[K, dict[K, None]] = {id_: {} for id_ in dependencies}
    for id_, needs in dependencies.items():
        for needed in needs:
            if needed in waiting:
                waiting[needed][id_] = None
    return {id_: tuple(those) for id_, those in waiting.items()}


def sort(dependencies: Mapping[K, Sequence[K]]) -> list[K]:
    """Put every id behind those that it depends on; there must be no cycle."""
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
    """Follow edges as far as they go.

    Over `dependents(...)`: all that waits for `starts`, however indirectly. Over the graph itself:
    all that `starts` need.

    Returns:
        The ids reached over at least one edge, nearest first, once each; `starts` among them only
        where a cycle leads back.
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
