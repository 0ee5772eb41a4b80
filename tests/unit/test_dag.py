"""Cycles, dependents and reachability, compared with naive implementations."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spawn.core.values import dag

Graph = dict[int, list[int]]

LONG = 100_000


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Graphs with cycles, self-loops, duplicate edges and dangling edges."""
    ids = draw(st.lists(st.integers(0, 9), unique=True, max_size=8))
    return {id_: draw(st.lists(st.integers(0, 9), max_size=4)) for id_ in ids}


def naive_reach(start: int, graph: Graph) -> set[int]:
    """Return all ids reachable from `start` over at least one edge."""
    reached: set[int] = set()
    while True:
        nodes = reached | {start}
        further = {to for id_ in nodes for to in graph.get(id_, [])}
        if further <= reached:
            return reached
        reached |= further


@given(graphs())
def test_a_cycle_is_found_exactly_when_some_id_reaches_itself(graph: Graph) -> None:
    known = {id_: [to for to in needs if to in graph] for id_, needs in graph.items()}
    assert bool(dag.cycle(graph)) == any(id_ in naive_reach(id_, known) for id_ in known)


@given(graphs())
def test_a_cycle_is_a_path_of_edges_from_its_first_id_back_to_it(graph: Graph) -> None:
    ring = dag.cycle(graph)
    if not ring:
        return
    assert ring[0] == ring[-1]
    assert all(to in graph[id_] for id_, to in pairwise(ring))
    assert len(set(ring[1:])) == len(ring) - 1
    order = list(graph)
    assert ring[0] == min(ring, key=order.index)


def test_a_cycle_follows_the_dependencies() -> None:
    assert dag.cycle({"x": ["c"], "a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c", "a"]
    assert dag.cycle({"a": ["a"]}) == ["a", "a"]


@given(graphs())
def test_dependents_are_the_reversed_edges_in_the_order_of_the_file(graph: Graph) -> None:
    assert dag.dependents(graph) == {
        id_: tuple(other for other, needs in graph.items() if id_ in needs) for id_ in graph
    }


@given(graphs(), st.lists(st.integers(0, 9), max_size=3))
def test_reach_returns_every_reachable_id_once(graph: Graph, starts: list[int]) -> None:
    reached = dag.reach(starts, graph)
    assert len(set(reached)) == len(reached)
    assert set(reached) == {to for start in starts for to in naive_reach(start, graph)}


def test_reach_returns_the_nearest_first() -> None:
    graph = {"a": ["b", "c"], "b": ["d"], "c": [], "d": []}
    assert dag.reach(["a"], graph) == ("b", "c", "d")


@given(graphs())
def test_sorting_puts_each_id_after_its_dependencies(graph: Graph) -> None:
    acyclic = {id_: [to for to in needs if to < id_] for id_, needs in graph.items()}
    order = dag.sort(acyclic)
    assert sorted(order) == sorted(acyclic)
    for id_, needs in acyclic.items():
        assert all(order.index(to) < order.index(id_) for to in needs if to in acyclic)


def test_a_chain_of_a_hundred_thousand_does_not_recurse() -> None:
    chain = {id_: [id_ + 1] for id_ in range(LONG)}
    chain[LONG] = []
    assert dag.cycle(chain) == []
    assert len(dag.reach([0], chain)) == LONG
    assert dag.dependents(chain)[LONG] == (LONG - 1,)
    assert dag.sort(chain)[0] == LONG
    chain[LONG] = [0]
    assert len(dag.cycle(chain)) == LONG + 2
