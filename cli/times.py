"""Times and durations as people type them."""

import re
from datetime import UTC, datetime, timedelta

from spawn.core import durations
from spawn.core.errors import InvalidArgument

MIN_REFRESH = 1.0


def interval(text: str) -> float:
    """Read a refresh interval.

    Returns:
        Seconds, at least `MIN_REFRESH`.

    Raises:
        InvalidArgument: It is not a duration, or too short.
    """
    try:
        seconds = durations.parse(text)
    except ValueError as error:
        raise InvalidArgument(f"--refresh {text} is not a duration", why=str(error)) from None
    if seconds < MIN_REFRESH:
        raise InvalidArgument(f"--refresh {text} is too short", hint="the least is 1s")
    return seconds


def moment(text: str, now: datetime) -> datetime:
    """Read a moment: ISO 8601, a time of today, or `10m ago`. Without a zone it is the reader's;
    a zone's name, as other commands print it, may follow.

    Raises:
        InvalidArgument: It is none of these, or still to come.
    """
    found = _moment(text.strip(), now)
    if found <= now and not found.microsecond and "." not in text:
        found = min(now, found.replace(microsecond=999_999))  # all of the second that was named
    if found > now:
        raise InvalidArgument(f"--at {text} is still to come")
    return found


def _moment(text: str, now: datetime) -> datetime:
    ago = re.fullmatch(r"(.+?)\s+ago", text)
    try:
        if ago:
            return now - timedelta(seconds=durations.parse(ago[1]))
        named = re.fullmatch(r"(.*\d)\s+([A-Za-z]{1,5}|[+-]\d{2,4})", text)
        if named:
            return _in_zone(_written(named[1], now), named[2])
        return _written(text, now).astimezone()
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"--at {text} is not a time",
            hint="write 2026-01-27T15:04:05, 15:04 for today, or '10m ago'",
        ) from None


def _written(text: str, now: datetime) -> datetime:
    """Read a date and a time, or a time of today; without a zone where none is written."""
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
        text = f"{now.astimezone().date().isoformat()}T{text.zfill(8 if text[5:] else 5)}"
    return datetime.fromisoformat(text)


def _in_zone(naive: datetime, name: str) -> datetime:
    """Put a time into the zone of this name: UTC, or a name that the reader's own zone has.

    Raises:
        ValueError: It is another, whose name alone does not say which.
    """
    if naive.tzinfo is not None:
        raise ValueError(name)
    if name in ("UTC", "GMT", "Z"):
        return naive.replace(tzinfo=UTC)
    for fold in (0, 1):
        found = naive.replace(fold=fold).astimezone()
        if found.tzname() == name:
            return found
    raise ValueError(name)
