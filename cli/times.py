"""Times and durations as people type them."""

import re
from datetime import datetime, timedelta

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
    """Read a moment: ISO 8601, a time of today, or `10m ago`. Without a zone it is the reader's.

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
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
            today = now.astimezone().date().isoformat()
            return datetime.fromisoformat(f"{today}T{text:0>5}").astimezone()
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"--at {text} is not a time",
            hint="write 2026-01-27T15:04:05, 15:04 for today, or '10m ago'",
        ) from None
