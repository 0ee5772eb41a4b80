"""A job's output: raw in its attempt's folder, and combined with the time of each line."""

import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.soak import scaled

from spawn.runner.process.output import Output

STAMP = re.compile(rb"\[\d\d:\d\d:\d\d\] ")
OUT, ERR = 0, 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An attempt's folder."""
    folder = tmp_path / "attempt-1.abc"
    folder.mkdir()
    return folder


def _log(folder: Path) -> Path:
    return folder.parent / "log" / "nightly" / "train.log"


def _begin(folder: Path) -> Output:
    output = Output(str(folder), str(_log(folder)))
    assert output.open_job_log()
    return output


def _write(folder: Path, *chunks: tuple[int, bytes]) -> bytes:
    """Write chunks; returns the combined log with each time replaced by `T`."""
    output = _begin(folder)
    for stream, data in chunks:
        output.write(stream, data)
    output.close()
    assert output.dropped == 0
    return STAMP.sub(b"T ", _log(folder).read_bytes())


def test_each_stream_has_its_raw_bytes_and_each_line_its_time(folder: Path) -> None:
    combined = _write(folder, (OUT, b"one\ntwo\n"), (ERR, b"oh\n"), (OUT, b"three\n"))
    assert (folder / "stdout.log").read_bytes() == b"one\ntwo\nthree\n"
    assert (folder / "stderr.log").read_bytes() == b"oh\n"
    assert combined == b"T one\nT two\nT oh\nT three\n"


def test_a_line_written_in_parts_has_one_time(folder: Path) -> None:
    assert _write(folder, (OUT, b"on"), (OUT, b"e\nt"), (OUT, b"wo\n")) == b"T one\nT two\n"


def test_a_stream_never_continues_a_line_of_the_other(folder: Path) -> None:
    combined = _write(folder, (OUT, b"wor"), (ERR, b"oh\n"), (OUT, b"king\n"))
    assert combined == b"T wor\nT oh\nT king\n"
    assert (folder / "stdout.log").read_bytes() == b"working\n"


def test_a_last_line_without_an_end_gets_one_in_the_combined_log_only(folder: Path) -> None:
    assert _write(folder, (OUT, b"one\ntwo")) == b"T one\nT two\n"
    assert (folder / "stdout.log").read_bytes() == b"one\ntwo"


def test_an_empty_line_has_a_time(folder: Path) -> None:
    assert _write(folder, (OUT, b"\n\none\n")) == b"T \nT \nT one\n"


def test_the_next_attempt_appends_to_the_combined_log_and_knows_its_offset(folder: Path) -> None:
    _write(folder, (OUT, b"first"))
    before = _log(folder).read_bytes()
    again = folder.parent / "attempt-2.def"
    again.mkdir()
    output = Output(str(again), str(_log(folder)))
    assert output.offset == len(before)
    assert output.open_job_log()
    output.write(OUT, b"second\n")
    output.close()
    combined = _log(folder).read_bytes()
    assert combined.startswith(before)
    assert STAMP.sub(b"T ", combined[output.offset :]) == b"T second\n"
    assert (again / "stdout.log").read_bytes() == b"second\n"


def test_a_job_without_output_leaves_empty_files(folder: Path) -> None:
    assert _write(folder) == b""
    assert (folder / "stdout.log").read_bytes() == (folder / "stderr.log").read_bytes() == b""


CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([OUT, ERR]),
        st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\xff\xfe", b"[x]", b"\0"]), min_size=1).map(
            b"".join
        ),
    )
)


@settings(max_examples=scaled(25, 60))
@given(chunks=CHUNKS)
def test_raw_bytes_are_exact_and_the_combined_log_holds_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("output") / "attempt"
    folder.mkdir()
    combined = _write(folder, *chunks)
    for stream, name in ((OUT, "stdout.log"), (ERR, "stderr.log")):
        raw = b"".join(data for source, data in chunks if source == stream)
        assert (folder / name).read_bytes() == raw
    lines = combined.split(b"\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"T ") for line in lines)
    text = b"".join(data for _, data in chunks)
    assert b"".join(line[2:] for line in lines) == text.replace(b"\n", b"")


def test_bytes_lost_to_a_full_disk_are_counted_and_the_rest_is_kept(folder: Path) -> None:
    (folder / "stdout.log").symlink_to("/dev/full")
    output = _begin(folder)
    output.write(OUT, b"12345\n")
    output.write(ERR, b"kept\n")
    output.write(OUT, b"678\n")
    output.close()
    assert output.dropped == 10
    assert (folder / "stderr.log").read_bytes() == b"kept\n"
    assert STAMP.sub(b"T ", _log(folder).read_bytes()) == b"T 12345\nT kept\nT 678\n"


def test_a_failed_combined_log_loses_no_raw_output(folder: Path) -> None:
    _log(folder).parent.mkdir(parents=True)
    _log(folder).symlink_to("/dev/full")
    output = _begin(folder)
    output.write(OUT, b"one\n")
    output.write(ERR, b"two")
    output.close()
    assert output.dropped == 0
    assert (folder / "stdout.log").read_bytes() == b"one\n"


def test_a_partial_write_counts_the_missing_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = _begin(folder)
    write, room = os.write, 7

    def nearly_full(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "full")
        written = write(fd, bytes(data)[:room])
        room -= written
        return written

    monkeypatch.setattr(os, "write", nearly_full)
    output.write(OUT, b"0123456789")
    monkeypatch.undo()
    output.close()
    assert output.dropped == 3
    assert (folder / "stdout.log").read_bytes() == b"0123456"


def test_no_log_exists_before_the_attempt_starts(folder: Path) -> None:
    output = Output(str(folder), str(_log(folder)))
    assert not _log(folder).parent.exists()
    output.close()
    assert not _log(folder).parent.exists()


def test_without_a_combined_log_the_raw_output_is_kept(folder: Path) -> None:
    (folder.parent / "log").write_text("a file where the folder should be")
    output = Output(str(folder), str(_log(folder)))
    assert not output.open_job_log()
    output.write(OUT, b"one\n")
    output.close()
    assert (output.offset, output.dropped) == (0, 0)
    assert (folder / "stdout.log").read_bytes() == b"one\n"
