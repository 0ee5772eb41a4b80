"""The progress bar of a download: one line on any terminal."""

from hypothesis import given
from hypothesis import strategies as st

from spawn.cli.output.style import PLAIN, Style
from spawn.cli.support.progress import SPARE, bar

MIB = 1024 * 1024


def test_the_bar_shows_percentage_bytes_speed_and_time_left() -> None:
    line = bar(60 * MIB, 240 * MIB, 4 * MIB, 80, PLAIN)
    assert line == "━" * 37 + "  25%  60 MB of 240 MB  4 MB/s  45s left"


def test_a_narrow_terminal_drops_the_bar_first_and_the_percentage_last() -> None:
    told = [bar(60 * MIB, 240 * MIB, 4 * MIB, width, PLAIN) for width in (46, 42, 36, 28, 12, 3)]
    assert told == [
        " 25%  60 MB of 240 MB  4 MB/s  45s left",
        " 25%  60 MB of 240 MB  4 MB/s  45s left",
        " 25%  60 MB of 240 MB  4 MB/s",
        " 25%  60 MB of 240 MB",
        " 25%",
        "",
    ]


def test_the_bar_shows_a_message_before_the_total_is_known() -> None:
    assert bar(0, 0, 0.0, 80, PLAIN) == "listing files"


def test_the_downloaded_part_of_the_bar_is_coloured() -> None:
    line = bar(MIB, 2 * MIB, 0.0, 80, Style(colour=True))
    assert line.startswith("\x1b[32m━━")
    assert line.endswith("\x1b[0m  50%  1 MB of 2 MB")


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.floats(0, 2**40), st.integers(1, 300))
def test_the_bar_is_always_shorter_than_a_line(
    done: int, total: int, speed: float, width: int
) -> None:
    line = bar(done, total, speed, width, PLAIN)
    assert len(line) <= max(0, width - SPARE)
    assert "\n" not in line
