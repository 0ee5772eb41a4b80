"""The environment that a command runs in."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.runner.environment import environment
from spawn.runner.ports import CannotBegin


def _environment(runner: dict[str, str], job: dict[str, str]) -> dict[str, str]:
    found = environment(
        {os.fsencode(name): os.fsencode(value) for name, value in runner.items()},
        job,
        queue_id="nightly",
        job_id="train",
        attempt=2,
        folder="/state/attempt-2.abc",
        token="abc",
    )
    return {os.fsdecode(name): os.fsdecode(value) for name, value in found.items()}


def test_it_is_the_runners_with_the_jobs_over_it() -> None:
    found = _environment({"HOME": "/home/ana", "MODE": "slow"}, {"MODE": "fast", "SEED": "7"})
    assert (found["HOME"], found["MODE"], found["SEED"]) == ("/home/ana", "fast", "7")


def test_what_spawn_tells_the_command_stands_above_everything() -> None:
    mine = dict.fromkeys(["JOB_ID", "JOB_ATTEMPT", "QUEUE_ID", "SPAWN_RUN"], "mine")
    found = _environment(mine, mine)
    assert found == {
        "JOB_ID": "train",
        "JOB_ATTEMPT": "2",
        "QUEUE_ID": "nightly",
        "SPAWN_PROGRESS_FILE": "/state/attempt-2.abc/progress",
        "SPAWN_INTERRUPTION_FILE": "/state/attempt-2.abc/interruption",
        "SPAWN_RUN": "abc",
    }


def test_a_reference_is_replaced_by_what_the_runner_has() -> None:
    found = _environment({"USER": "ana", "N": "3"}, {"OUT": "/data/${USER}/${N}", "N": "4"})
    assert found["OUT"] == "/data/ana/3", "by the runner's, not by another of the job's own"


def test_what_a_reference_brings_is_not_looked_at_again() -> None:
    assert _environment({"A": "${B}", "B": "x"}, {"C": "${A}"})["C"] == "${B}"


@pytest.mark.parametrize("value", ["$USER", "${}", "${1A}", "${A-b}", "$", "{USER}", "$ {USER}"])
def test_anything_else_with_a_dollar_stays_as_it_is(value: str) -> None:
    assert _environment({"USER": "ana"}, {"X": value})["X"] == value


def test_a_reference_to_what_is_not_there_keeps_the_job_from_beginning() -> None:
    with pytest.raises(CannotBegin) as caught:
        _environment({}, {"OUT": "/data/${USER}"})
    assert str(caught.value) == (
        "environment.OUT needs ${USER}, which the runner's environment lacks"
    )


def test_an_empty_variable_is_there() -> None:
    assert _environment({"USER": ""}, {"OUT": "<${USER}>"})["OUT"] == "<>"


NAMES = st.from_regex(r"[A-Z_]{1,3}", fullmatch=True)


@given(st.dictionaries(NAMES, st.text(max_size=5)), st.dictionaries(NAMES, NAMES))
def test_only_the_names_of_both_and_ours_are_in_it(
    runner: dict[str, str], job: dict[str, str]
) -> None:
    found = _environment(runner, {name: f"${{{name}}}" for name in job if name in runner})
    assert found == {**_environment({}, {}), **runner, **_environment({}, {})}
