"""The ttl of a queue on a machine."""

from datetime import UTC, datetime

import pytest

from spawn.core.values.ttl import Ttl, parse_ttl

NOW = datetime(2026, 1, 27, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize(("text", "seconds"), [("8h", 28800.0), (" 1h 30m ", 5400.0)])
def test_a_duration_counts_from_the_start(text: str, seconds: float) -> None:
    assert parse_ttl(text).seconds_left(0.0, NOW) == seconds
    assert parse_ttl(text).seconds_left(seconds + 1, NOW) == -1


@pytest.mark.parametrize(
    "text", ["2026-01-27T23:00:00Z", "2026-01-28T00:00:00+01:00", "2026-01-27 23:00:00+00:00"]
)
def test_a_point_in_time_follows_the_wall_clock(text: str) -> None:
    assert parse_ttl(text) == Ttl(text=text, until=text)
    assert parse_ttl(text).seconds_left(1e9, NOW) == 3600.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a duration"),
        ("0s", "longer than 0"),
        ("8", "no unit"),
        ("2026-01-27T23:00:00", "has no time zone"),
        ("23:00", "not a time"),
        ("tomorrow", "duration"),
    ],
)
def test_other_text_is_rejected(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_ttl(text)
