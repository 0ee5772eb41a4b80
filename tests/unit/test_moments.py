"""Times in the log's format."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.core.values.timestamps import format_timestamp, parse_timestamp, seconds_between

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1), timezones=ZONES)  # noqa: DTZ001


@given(MOMENTS)
def test_a_stamp_reads_back_as_the_same_moment_in_utc(at: datetime) -> None:
    assert parse_timestamp(format_timestamp(at)) == at
    assert parse_timestamp(format_timestamp(at)).tzinfo == UTC


@given(MOMENTS, MOMENTS)
def test_stamps_sort_chronologically(one: datetime, other: datetime) -> None:
    assert (format_timestamp(one) < format_timestamp(other)) == (one < other)
    assert len(format_timestamp(one)) == 27


def test_a_stamp_has_this_format() -> None:
    zone = timezone(timedelta(hours=2))
    at = datetime(2026, 1, 28, 0, 5, 32, tzinfo=zone)
    assert format_timestamp(at) == "2026-01-27T22:05:32.000000Z"


def test_seconds_between_stamps_are_negative_when_the_clock_was_set_back() -> None:
    early, late = "2026-01-27T22:05:32.000000Z", "2026-01-27T22:05:33.500000Z"
    assert seconds_between(early, late) == 1.5
    assert seconds_between(late, early) == -1.5


def test_an_invalid_time_is_rejected() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        parse_timestamp("yesterday")
