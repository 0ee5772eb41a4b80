"""Durations in the format of users."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.core.values import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1d", 86400),
        ("1d 2h 3m 4s 5ms", 93784.005),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("1m500ms", 60.5),
        ("0s", 0),
        (" 5m ", 300),
        ("1000d", durations.LONGEST),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert durations.parse_duration(text) == pytest.approx(seconds)
    assert isinstance(durations.parse_duration(text), float)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "an empty string is not a duration"),
        ("  ", "an empty string is not a duration"),
        ("90", "'90' has no unit; write \"90s\" for seconds"),
        ("1h30", "'1h30' has a number without a unit"),
        ("5min", "'5min' has an unknown unit 'min'; use d, h, m, s, ms"),
        ("5M", "'5M' has an unknown unit 'M'; use d, h, m, s, ms"),
        ("1m1h", "'1m1h' repeats a unit or has units out of order"),
        ("1h1h", "'1h1h' repeats a unit or has units out of order"),
        ("-5s", "'-5s' is negative"),
        ("h", "'h' is not a duration"),
        ("5m\n", "'5m\\n' is not a duration"),
        ("٣s", "'٣s' is not a duration"),
        ("1e3s", "'1e3s' has an unknown unit 'e'"),
        ("nans", "'nans' is not a duration"),
        ("1000d1s", "'1000d1s' is longer than the maximum of 1000d"),
        ("9" * 400 + "d", "is longer than the maximum of 1000d"),
        (" " * 100_000 + "x", "is not a duration"),
    ],
)
def test_an_invalid_duration_is_rejected_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        durations.parse_duration(text)


def test_the_reason_and_the_hint_are_separate_whatever_the_text_contains() -> None:
    with pytest.raises(durations.InvalidDuration) as caught:
        durations.parse_duration("5m; 6m")
    assert caught.value.what.startswith("'5m; 6m' ")
    assert caught.value.hint.startswith("write for example ")


@given(st.text(alphabet="0123456789dhms. -", max_size=20) | st.text(max_size=20))
def test_any_text_is_seconds_in_range_or_refused(text: str) -> None:
    try:
        seconds = durations.parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds <= durations.LONGEST


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.999, "0s"),
        (-7, "0s"),
        (59.999, "59s"),
        (932, "15m 32s"),
        (2700, "45m"),
        (3605, "1h"),
        (4980, "1h 23m"),
        (14400, "4h"),
        (86400 + 3599, "1d"),
        (90000, "1d 1h"),
    ],
)
def test_the_two_largest_units_are_shown_without_zeros(seconds: float, text: str) -> None:
    assert durations.format_duration(seconds) == text
    assert durations.format_compact(seconds) == text.replace(" ", "")


@given(st.floats(min_value=0, max_value=durations.LONGEST))
def test_a_duration_is_rounded_down(seconds: float) -> None:
    shown = durations.parse_duration(durations.format_duration(seconds))
    assert shown <= seconds
    assert durations.parse_duration(durations.format_compact(seconds)) == shown
    dropped = next((below for unit, below in _BELOW if shown >= unit), 1)
    assert seconds - shown < dropped


_BELOW = [(86400, 3600), (3600, 60)]
"""For each lower bound in seconds, the smallest unit shown."""


@given(st.integers(0, 59), st.integers(1, 23))
def test_a_duration_of_two_units_is_read_back_exactly(minutes: int, hours: int) -> None:
    seconds = hours * 3600 + minutes * 60
    assert durations.parse_duration(durations.format_duration(seconds)) == seconds
