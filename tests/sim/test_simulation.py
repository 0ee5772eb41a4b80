"""Schedules of all kinds, each determined by its seed."""

import pytest
from tests.sim.schedule import run
from tests.support.soak import scaled

SCHEDULES = scaled(600, 2000)
BATCH = 50


@pytest.mark.parametrize("first", range(0, SCHEDULES, BATCH))
def test_no_schedule_breaks_an_invariant(first: int) -> None:
    executed = sum(run(seed).checker.executions for seed in range(first, first + BATCH))
    assert executed > BATCH


def test_a_seed_gives_the_same_logs_byte_for_byte() -> None:
    for seed in range(0, 200, scaled(20, 7)):
        assert run(seed).digest() == run(seed).digest()
