"""Time stamps of the log: UTC RFC 3339 with microseconds, always 27 characters."""

from datetime import UTC, datetime


def format_timestamp(moment: datetime) -> str:
    """Format a time as a stamp: `2026-01-27T22:05:32.000000Z`.

    Args:
        moment: With a time zone.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(stamp: str) -> datetime:
    """Parse a stamp.

    Raises:
        ValueError: The text is not RFC 3339.
    """
    return datetime.fromisoformat(stamp)


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds between two stamps; negative if the clock was set back."""
    return (parse_timestamp(later) - parse_timestamp(earlier)).total_seconds()
