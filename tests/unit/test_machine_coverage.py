"""The random logs of other tests cover everything."""

import pytest
from tests.support.legal import Row, Seeded, driven

from spawn.core.domain.events import TYPES
from spawn.core.domain.transition_tables import JOB_MOVES, QUEUE_MOVES

SEEDS = 400
ROWS: list[Row] = [
    *(("job", state, event) for state, moves in JOB_MOVES.items() for event in moves),
    *(("queue", state, event) for state, moves in QUEUE_MOVES.items() for event in moves),
]


@pytest.fixture(scope="module")
def crossed() -> set[Row]:
    """Rows of the tables that some log crosses."""
    return set().union(*(driven(Seeded(seed)).crossed for seed in range(SEEDS)))


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_every_row_is_crossed_by_some_log(crossed: set[Row], row: Row) -> None:
    assert row in crossed


def test_no_log_crosses_an_undeclared_row(crossed: set[Row]) -> None:
    assert crossed <= set(ROWS)


def test_every_type_of_event_is_in_some_log() -> None:
    found = {event.type for seed in range(100) for event in driven(Seeded(seed)).log.events}
    assert found == set(TYPES)


def test_a_seed_gives_the_same_log_every_time() -> None:
    first, second = (driven(Seeded(7)).log for _ in range(2))
    assert first.rows == second.rows
