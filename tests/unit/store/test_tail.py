"""The end of a file of any size."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.store.queue_dir.output import head, tail


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to fill."""
    return tmp_path / "train.log"


def test_the_last_nonempty_lines_are_returned_oldest_first(file: Path) -> None:
    file.write_bytes(b"one\n\ntwo\n   \nthree\n")
    assert tail(file, 2) == ("two", "three")
    assert tail(file, 9) == ("one", "two", "three")


def test_an_unterminated_last_line_is_included(file: Path) -> None:
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
def test_a_progress_bar_is_its_newest_state(
    file: Path, written: bytes, lines: tuple[str, ...]
) -> None:
    file.write_bytes(written)
    assert tail(file, 9) == (lines or (" 20%",))


def test_the_head_includes_lines_overwritten_later(file: Path) -> None:
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


def test_nothing_before_the_offset_is_read(file: Path) -> None:
    file.write_bytes(b"an attempt before\n" + b"this one\nfails\n")
    assert tail(file, 9, after=18) == ("this one", "fails")
    assert tail(file, 9, after=33) == ()
    assert tail(file, 9, after=10_000) == ()


def test_a_line_partly_outside_the_limit_is_left_out(file: Path) -> None:
    file.write_bytes(b"0123456789\nabcdefghi\n")
    assert tail(file, 9, max_bytes=15) == ("abcdefghi",)


def test_a_single_line_longer_than_the_limit_is_shown_in_part(file: Path) -> None:
    file.write_bytes(b"x" * 100_000)
    assert tail(file, 9) == ("x" * 500,)


def test_a_last_line_longer_than_the_limit_is_shown_in_part(file: Path) -> None:
    file.write_bytes(b"ok\n" + b"x" * 100_000 + b"\n")
    assert tail(file, 9) == ("x" * 500,)


def test_a_limit_of_no_lines_gives_none(file: Path) -> None:
    file.write_bytes(b"one\ntwo\n")
    assert tail(file, 0) == ()


def test_only_the_end_of_a_large_file_is_read(file: Path) -> None:
    with open(file, "wb") as out:
        out.seek(10 * 1024**3)
        out.write(b"\nthe end\n")
    assert tail(file, 1) == ("the end",)


def test_an_unreadable_file_has_no_lines(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", 9) == ()
    assert tail(tmp_path, 9) == ()


LINES = st.lists(st.lists(st.sampled_from([b"a", b" ", b"\xc3", b"\xa9", b"\0"])).map(b"".join))


@given(LINES, st.integers(1, 5), st.booleans())
def test_the_result_equals_that_of_reading_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], count: int, ended: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "tail.log"
    file.write_bytes(b"\n".join(lines) + b"\n" * ended)
    kept = [line.decode("utf-8", "replace") for line in lines if line.strip()]
    assert tail(file, count) == tuple(kept[-count:])
