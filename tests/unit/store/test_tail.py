"""The end of a file that may be large."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.store.tail import head, tail


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to fill."""
    return tmp_path / "train.log"


def test_the_last_lines_come_oldest_first_and_empty_ones_are_left_out(file: Path) -> None:
    file.write_bytes(b"one\n\ntwo\n   \nthree\n")
    assert tail(file, 2) == ("two", "three")
    assert tail(file, 9) == ("one", "two", "three")


def test_a_last_line_without_an_end_counts(file: Path) -> None:
    file.write_bytes(b"one\ntwo")
    assert tail(file, 1) == ("two",)


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"start\r\n 10%\r 20%\r100%\n", ("start", "100%")),
        (b"\r 10%\r 20%", (" 20%",)),
        (b"\r 10%\r 20%\r      \r", ()),
        (b"[10:00:00]   0%|   | 0/9\r 11%|#  | 1/9\nok\n", ("[10:00:00]  11%|#  | 1/9", "ok")),
        (b"x" * 99_000 + b"\r 10%\r 20%", (" 20%",)),
    ],
)
def test_a_bar_is_one_line_the_newest(file: Path, written: bytes, lines: tuple[str, ...]) -> None:
    file.write_bytes(written)
    assert tail(file, 9) == (lines or (" 20%",))


def test_a_head_has_what_was_written_over_later(file: Path) -> None:
    file.write_bytes(b"before\nstart\r\n 10%\r 20%\nmore")
    assert [line for line in head(file, after=7, max_bytes=17) if line] == ["start", " 10%", " 20%"]
    assert head(file.with_name("none")) == ()


def test_what_is_not_utf_8_is_replaced(file: Path) -> None:
    file.write_bytes(b"caf\xe9 \xf0\x9f\nok\n")
    first, second = tail(file, 2)
    assert first.startswith("caf\ufffd")
    first.encode("utf-8")
    assert second == "ok"


def test_lines_are_cut_to_the_width(file: Path) -> None:
    file.write_bytes("é".encode() * 3000 + b"\nok\n")
    assert tail(file, 2, width=100) == ("é" * 100, "ok")


def test_nothing_before_the_offset_counts(file: Path) -> None:
    file.write_bytes(b"an attempt before\n" + b"this one\nfails\n")
    assert tail(file, 9, after=18) == ("this one", "fails")
    assert tail(file, 9, after=33) == ()
    assert tail(file, 9, after=10_000) == ()


def test_a_line_that_is_only_half_within_reach_is_left_out(file: Path) -> None:
    file.write_bytes(b"0123456789\nabcdefghi\n")
    assert tail(file, 9, max_bytes=15) == ("abcdefghi",)


def test_one_line_that_is_longer_than_the_reach_is_shown_in_part(file: Path) -> None:
    file.write_bytes(b"x" * 100_000)
    assert tail(file, 9) == ("x" * 500,)


def test_a_last_line_that_is_longer_than_the_reach_is_shown_in_part(file: Path) -> None:
    file.write_bytes(b"ok\n" + b"x" * 100_000 + b"\n")
    assert tail(file, 9) == ("x" * 500,)


def test_no_lines_are_no_lines(file: Path) -> None:
    file.write_bytes(b"one\ntwo\n")
    assert tail(file, 0) == ()


def test_a_large_file_is_read_at_its_end_only(file: Path) -> None:
    with open(file, "wb") as out:
        out.seek(10 * 1024**3)
        out.write(b"\nthe end\n")
    assert tail(file, 1) == ("the end",)


def test_a_file_that_cannot_be_read_has_no_lines(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", 9) == ()
    assert tail(tmp_path, 9) == ()


LINES = st.lists(st.lists(st.sampled_from([b"a", b" ", b"\xc3", b"\xa9", b"\0"])).map(b"".join))


@given(LINES, st.integers(1, 5), st.booleans())
def test_it_is_what_reading_the_whole_file_gives(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], count: int, ended: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "tail.log"
    file.write_bytes(b"\n".join(lines) + b"\n" * ended)
    kept = [line.decode("utf-8", "replace") for line in lines if line.strip()]
    assert tail(file, count) == tuple(kept[-count:])
