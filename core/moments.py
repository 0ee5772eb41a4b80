"""Moments as the log writes them: UTC RFC 3339 with microseconds, always 27 characters."""

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    """Write a moment, `2026-01-27T22:05:32.000000Z`.

    Args:
        moment: With a time zone.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(stamp: str) -> datetime:
    """Read a stamp back, in UTC.

    Raises:
        ValueError: It is not RFC 3339.
    """
    return datetime.fromisoformat(stamp)


def seconds_between(earlier: str, later: str) -> float:
    """Seconds from one stamp to another; negative when the clock was set back between."""
    return (moment(later) - moment(earlier)).total_seconds()
