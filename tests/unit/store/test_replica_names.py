"""Keys of segments and packs sort like the events, and only their exact form is parsed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.store.replica import names

seqs = st.integers(1, 10**12 - 1)


@given(seqs)
def test_a_segments_key_has_its_first_seq(first: int) -> None:
    assert names.parse_segment(names.segment(first)) == first


@given(seqs, seqs)
def test_a_packs_key_has_its_first_and_last_seq(one: int, other: int) -> None:
    first, last = sorted((one, other))
    assert names.parse_pack(names.pack(first, last)) == (first, last)


@given(seqs, seqs)
def test_keys_sort_in_the_order_of_events(one: int, other: int) -> None:
    assert (names.segment(one) < names.segment(other)) == (one < other)
    assert (names.pack(one, one) < names.pack(other, other)) == (one < other)


@given(seqs, seqs)
def test_a_list_of_packs_can_start_at_one_seq(at: int, last: int) -> None:
    cursor = names.before_packs(at)
    assert cursor < names.pack(at, last)
    assert at == 1 or names.pack(at - 1, last) < cursor


@pytest.mark.parametrize(
    "key",
    [
        names.segment(0),
        "_spawn/log/1.jsonl",
        "_spawn/log/000000000001",
        "_spawn/log/000000000001.jsonl.gz",
        "_spawn/log/00000000000x.jsonl",
        "_spawn/log/²²²²²²²²²²²².jsonl",
        "_spawn/log/-00000000001.jsonl",
        "_spawn/log/a/000000000001.jsonl",
        "_spawn/log/.jsonl",
        names.pack(1, 2),
    ],
)
def test_a_key_of_another_form_is_not_a_segment(key: str) -> None:
    assert names.parse_segment(key) is None


@pytest.mark.parametrize(
    "key",
    [
        names.pack(2, 1),
        names.pack(0, 1),
        names.pack(0, 0),
        "_spawn/packs/000000000001.jsonl",
        "_spawn/packs/000000000001-.jsonl",
        "_spawn/packs/1-2.jsonl",
        "_spawn/packs/000000000001-000000000002-000000000003.jsonl",
        names.segment(1),
    ],
)
def test_a_key_of_another_form_is_not_a_pack(key: str) -> None:
    assert names.parse_pack(key) is None
