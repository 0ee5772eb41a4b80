"""The bar of a download: one line, whatever the terminal."""

from hypothesis import given
from hypothesis import strategies as st

from spawn.cli.render.bar import SPARE, bar
from spawn.cli.render.style import PLAIN, Style

MIB = 1024 * 1024


def test_on_a_usual_terminal_it_tells_share_bytes_speed_and_what_is_left() -> None:
    line = bar(60 * MIB, 240 * MIB, 4 * MIB, 80, PLAIN)
    assert line == "━" * 37 + "  25%  60 MB of 240 MB  4 MB/s  45s left"


def test_a_narrow_terminal_loses_the_bar_first_and_the_share_last() -> None:
    told = [bar(60 * MIB, 240 * MIB, 4 * MIB, width, PLAIN) for width in (46, 42, 36, 28, 12, 3)]
    assert told == [
        " 25%  60 MB of 240 MB  4 MB/s  45s left",
        " 25%  60 MB of 240 MB  4 MB/s  45s left",
        " 25%  60 MB of 240 MB  4 MB/s",
        " 25%  60 MB of 240 MB",
        " 25%",
        "",
    ]


def test_before_anything_is_known_it_says_so() -> None:
    assert bar(0, 0, 0.0, 80, PLAIN) == "listing files"


def test_what_has_come_is_told_by_colour_too() -> None:
    line = bar(MIB, 2 * MIB, 0.0, 80, Style(colour=True))
    assert line.startswith("\x1b[32m━━")
    assert line.endswith("\x1b[0m  50%  1 MB of 2 MB")


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.floats(0, 2**40), st.integers(1, 300))
def test_it_never_fills_a_line(done: int, total: int, speed: float, width: int) -> None:
    line = bar(done, total, speed, width, PLAIN)
    assert len(line) <= max(0, width - SPARE)
    assert "\n" not in line
