"""The environment of a command."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.runner.ports import CannotStart
from spawn.runner.process.environment import environment


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


def test_the_jobs_variables_override_the_runners() -> None:
    found = _environment({"HOME": "/home/ana", "MODE": "slow"}, {"MODE": "fast", "SEED": "7"})
    assert (found["HOME"], found["MODE"], found["SEED"]) == ("/home/ana", "fast", "7")


def test_spawns_own_variables_override_all_others() -> None:
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


def test_a_reference_is_replaced_by_the_runners_value() -> None:
    found = _environment({"USER": "ana", "N": "3"}, {"OUT": "/data/${USER}/${N}", "N": "4"})
    assert found["OUT"] == "/data/ana/3", "the runner's value, not another variable of the job"


def test_a_referenced_value_is_not_expanded_again() -> None:
    assert _environment({"A": "${B}", "B": "x"}, {"C": "${A}"})["C"] == "${B}"


@pytest.mark.parametrize("value", ["$USER", "${}", "${1A}", "${A-b}", "$", "{USER}", "$ {USER}"])
def test_any_other_dollar_sign_is_unchanged(value: str) -> None:
    assert _environment({"USER": "ana"}, {"X": value})["X"] == value


def test_a_reference_to_an_unset_variable_prevents_the_start() -> None:
    with pytest.raises(CannotStart) as caught:
        _environment({}, {"OUT": "/data/${USER}"})
    assert str(caught.value) == (
        "environment.OUT needs ${USER}, which the runner's environment lacks"
    )


def test_an_empty_variable_counts_as_set() -> None:
    assert _environment({"USER": ""}, {"OUT": "<${USER}>"})["OUT"] == "<>"


NAMES = st.from_regex(r"[A-Z_]{1,3}", fullmatch=True)


@given(st.dictionaries(NAMES, st.text(max_size=5)), st.dictionaries(NAMES, NAMES))
def test_the_environment_has_no_other_variables(
    runner: dict[str, str], job: dict[str, str]
) -> None:
    found = _environment(runner, {name: f"${{{name}}}" for name in job if name in runner})
    assert found == {**_environment({}, {}), **runner, **_environment({}, {})}
