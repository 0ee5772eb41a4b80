"""Ids of jobs and queues."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.core.values.ids import (
    is_instance_id,
    is_mistyped_instance_id,
    is_safe,
    new_queue_id,
    why_not_queue_id,
)

GOOD = ["a", "0", "train-v2.1", "A_b", "queue-20260127-220532", "x" * 128, "i-am", "a..b"]
BAD = ["", ".", "..", "-a", "_a", ".a", "a/b", "a b", "é", "a\n", "a\0", "x" * 129, "ａ"]


@pytest.mark.parametrize("name", GOOD)
def test_a_safe_name_can_be_an_id(name: str) -> None:
    assert is_safe(name)
    assert why_not_queue_id(name) is None


@pytest.mark.parametrize("name", BAD)
def test_names_with_characters_special_to_shells_or_paths_are_not_ids(name: str) -> None:
    assert not is_safe(name)
    assert why_not_queue_id(name)


@pytest.mark.parametrize("name", ["local", "i-0abc12", "i-1"])
def test_a_job_and_no_queue_may_be_named_like_another_target(name: str) -> None:
    assert is_safe(name)
    assert why_not_queue_id(name)
    assert is_instance_id(name) == (name != "local")


@given(st.text(max_size=10))
def test_a_safe_name_is_a_single_path_component(name: str) -> None:
    if is_safe(name):
        assert name.isascii()
        assert not set(name) & set("/\\ \t\n\0*?[]${}~'\"")
        assert name not in (".", "..")


def test_a_queue_without_an_id_is_named_after_the_current_time() -> None:
    name = new_queue_id(datetime(2026, 1, 27, 22, 5, 32, tzinfo=UTC))
    assert name == "queue-20260127-220532"
    assert why_not_queue_id(name) is None


@pytest.mark.parametrize("name", ["i-xyz", "i-12345", "i-0ABCDEF012", "I-0123456789abcdef0"])
def test_a_mistyped_instance_id_is_recognised(name: str) -> None:
    assert is_mistyped_instance_id(name)


@pytest.mark.parametrize("name", ["i-0123456789abcdef0", "i-01234567", "i-am", "i", "i-", "q"])
def test_valid_instance_ids_and_other_names_are_not_mistyped(name: str) -> None:
    assert is_mistyped_instance_id(name) == (name == "i-am")
