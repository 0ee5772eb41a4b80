"""The hash chain and the export format of lines."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.core.domain import chain
from spawn.core.errors import CorruptLog

HASHES = st.binary(min_size=32, max_size=32)


def test_the_chain_starts_with_the_hash_of_the_queues_id() -> None:
    assert chain.genesis("nightly") == sha256(b"nightly").digest()


def test_a_hash_covers_the_one_before_and_the_line() -> None:
    first = chain.next_hash(chain.genesis("nightly"), b"one")
    assert first == sha256(sha256(b"nightly").digest() + b"one").digest()
    assert chain.next_hash(first, b"two") == sha256(first + b"two").digest()


@given(HASHES, st.binary())
def test_parse_is_the_inverse_of_export(hash_: bytes, line: bytes) -> None:
    assert chain.parse_line(chain.format_line(hash_, line)) == (hash_, line)


@given(st.binary(max_size=100))
def test_parse_accepts_only_what_export_writes(exported: bytes) -> None:
    try:
        hash_, line = chain.parse_line(exported)
    except CorruptLog:
        return
    assert chain.format_line(hash_, line) == exported


@pytest.mark.parametrize(
    "exported",
    [
        b"",
        b" ",
        b"{}",
        b"00" * 32,
        b"00" * 31 + b" {}",
        b"00" * 33 + b" {}",
        b"AB" * 32 + b" {}",
        b"0g" * 32 + b" {}",
        b"\xff" * 64 + b" {}",
        b" " + b"00" * 32 + b" {}",
        b"\t" + b"00" * 32 + b" {}",
        b"00\n" * 32 + b" {}",
    ],
)
def test_a_line_without_its_hash_is_rejected(exported: bytes) -> None:
    with pytest.raises(CorruptLog):
        chain.parse_line(exported)
