"""The outcome of an attempt in a preallocated block."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.arbitrary import of
from tests.support.disks import fill, small_disk
from tests.support.soak import scaled

from spawn.core.domain.attempt_exit import AttemptExit
from spawn.store.queue_dir import record

TOKEN = "0123456789abcdef"
EXIT = AttemptExit(exit_code=137, signal="SIGKILL", stop="timeout", wall_seconds=1.5)


def _written(path: Path, exit_: AttemptExit = EXIT) -> Path:
    fd = record.preallocate(path)
    record.write(fd, TOKEN, exit_)
    os.close(fd)
    return path


@settings(max_examples=scaled(25, 60))
@given(of(AttemptExit))
def test_a_record_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, exit_: AttemptExit
) -> None:
    path = tmp_path_factory.mktemp("record") / "record"
    assert record.read(_written(path, exit_), TOKEN) == exit_


def test_a_record_may_be_overwritten(tmp_path: Path) -> None:
    fd = record.preallocate(tmp_path / "record")
    record.write(fd, TOKEN, AttemptExit(exit_code=1, signal="SIGTERM", wall_seconds=123.456))
    record.write(fd, TOKEN, AttemptExit(exit_code=0))
    assert record.read(tmp_path / "record", TOKEN) == AttemptExit(exit_code=0)


def test_an_unwritten_block_is_not_a_record(tmp_path: Path) -> None:
    record.preallocate(tmp_path / "record")
    assert record.read(tmp_path / "record", TOKEN) is None


def test_a_missing_record_is_none(tmp_path: Path) -> None:
    assert record.read(tmp_path / "record", TOKEN) is None


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "0", "fedcba9876543210"])
def test_a_record_of_another_attempt_is_ignored(tmp_path: Path, token: str) -> None:
    assert record.read(_written(tmp_path / "record"), token) is None


def test_an_existing_block_is_not_replaced(tmp_path: Path) -> None:
    path = _written(tmp_path / "record")
    with pytest.raises(FileExistsError):
        record.preallocate(path)
    assert record.read(path, TOKEN) == EXIT


@settings(max_examples=scaled(25, 100))
@given(data=st.data())
def test_a_torn_or_damaged_record_is_ignored(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = _written(tmp_path_factory.mktemp("record") / "record")
    block = bytearray(path.read_bytes())
    size = len(block.rstrip(b"\0"))
    if data.draw(st.booleans()):
        bit = data.draw(st.integers(0, 8 * size - 1))
        block[bit // 8] ^= 1 << bit % 8
    else:
        del block[data.draw(st.integers(0, size - 1)) :]
    path.write_bytes(block)
    found = record.read(path, TOKEN)
    assert found is None or found == EXIT, "only a separator is not covered by the hash"


def test_garbage_is_not_a_record(tmp_path: Path) -> None:
    for garbage in (b"", b"\n", b"\xff" * 4096, b"0" * 64, b"0" * 64 + b" x {}"):
        (tmp_path / "record").write_bytes(garbage)
        assert record.read(tmp_path / "record", TOKEN) is None


def test_a_full_disk_prevents_the_block_but_not_the_record_in_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=64) as disk:
        fd = record.preallocate(disk / "record")
        fill(disk)
        with pytest.raises(OSError, match="No space"):
            record.preallocate(disk / "second")
        record.write(fd, TOKEN, EXIT)
        assert record.read(disk / "record", TOKEN) == EXIT
