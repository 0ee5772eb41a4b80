"""The two state machines, and the tables derived from them."""

from itertools import product

import pytest

from spawn.core.domain import machine
from spawn.core.domain.events import NOTES, TYPES
from spawn.core.domain.machine import (
    JOB_STATES,
    JOB_TRANSITIONS,
    QUEUE_STATES,
    QUEUE_TRANSITIONS,
    StateMachines,
)
from spawn.core.domain.transition_tables import JOB_MOVES, QUEUE_MOVES
from spawn.core.errors import IllegalTransition

EVENTS = [*TYPES, "JobForgotten", "to_running", "trigger", "state", ""]
GUARD = StateMachines()


def test_a_job_has_six_states_and_a_queue_five() -> None:
    assert sorted(JOB_STATES) == sorted(
        ["pending", "running", "completed", "failed", "retrying", "blocked"]
    )
    assert sorted(QUEUE_STATES) == sorted(
        ["pending", "running", "completed", "failed", "interrupted"]
    )


@pytest.mark.parametrize(("state", "event"), [*product(JOB_STATES, EVENTS)])
def test_the_table_and_the_machine_of_a_job_agree(state: str, event: str) -> None:
    leads_to = JOB_MOVES[state].get(event)
    if leads_to is not None:
        assert GUARD.next_job_state(state, event) == leads_to
        return
    with pytest.raises(IllegalTransition) as caught:
        GUARD.next_job_state(state, event, job_id="train", seq=7)
    error = caught.value
    assert (error.event, error.state, error.seq) == (event, state, 7)
    assert error.legal == tuple(sorted(JOB_MOVES[state]))
    assert "job train" in error.what


@pytest.mark.parametrize(("state", "event"), [*product(QUEUE_STATES, EVENTS)])
def test_the_table_and_the_machine_of_a_queue_agree(state: str, event: str) -> None:
    leads_to = QUEUE_MOVES[state].get(event)
    if leads_to is not None:
        assert GUARD.next_queue_state(state, event) == leads_to
        return
    with pytest.raises(IllegalTransition) as caught:
        GUARD.next_queue_state(state, event, seq=7)
    error = caught.value
    assert (error.event, error.state, error.seq) == (event, state, 7)
    assert error.legal == tuple(sorted(QUEUE_MOVES[state]))
    assert all(name in error.why for name in error.legal)


def test_the_tables_are_derived_from_the_machines() -> None:
    assert machine.transition_table(JOB_STATES, JOB_TRANSITIONS) == JOB_MOVES
    assert machine.transition_table(QUEUE_STATES, QUEUE_TRANSITIONS) == QUEUE_MOVES


def test_every_event_is_a_transition_the_start_of_a_log_or_a_note() -> None:
    moving = {event for moves in QUEUE_MOVES.values() for event in moves}
    assert moving | {"QueueSubmitted"} | NOTES == set(TYPES)
    assert not moving & NOTES


def test_every_event_of_a_job_needs_a_queue_that_runs() -> None:
    job_events = {event for moves in JOB_MOVES.values() for event in moves}
    for state, moves in QUEUE_MOVES.items():
        assert job_events & moves.keys() == (job_events if state == "running" else set())
