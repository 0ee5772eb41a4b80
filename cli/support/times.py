"""Parse times and durations from the command line."""

import re
from datetime import UTC, datetime, timedelta

from spawn.core.errors import InvalidArgument
from spawn.core.values import durations

MIN_REFRESH_SECONDS = 1.0


def parse_refresh(text: str) -> float:
    """Parse the value of `--refresh`.

    Returns:
        Seconds, at least `MIN_REFRESH_SECONDS`.

    Raises:
        InvalidArgument: The text is not a duration, or too short.
    """
    try:
        seconds = durations.parse_duration(text)
    except ValueError as error:
        raise InvalidArgument(f"--refresh {text} is not a duration", why=str(error)) from None
    if seconds < MIN_REFRESH_SECONDS:
        raise InvalidArgument(f"--refresh {text} is too short", hint="the minimum is 1s")
    return seconds


def parse_moment(text: str, now: datetime) -> datetime:
    """Parse the value of `--at`: ISO 8601, a time of today, or `10m ago`.

    The time zone is the local one, unless an offset or a zone name, as printed by other commands,
    follows.

    Raises:
        InvalidArgument: The text is none of these, or in the future.
    """
    found = _parse(text.strip(), now)
    if found <= now and not found.microsecond and "." not in text:
        found = min(now, found.replace(microsecond=999_999))  # the whole second that was typed
    if found > now:
        raise InvalidArgument(f"--at {text} is in the future")
    return found


def _parse(text: str, now: datetime) -> datetime:
    ago = re.fullmatch(r"(.+?)\s+ago", text)
    try:
        if ago:
            return now - timedelta(seconds=durations.parse_duration(ago[1]))
        named = re.fullmatch(r"(.*\d)\s+([A-Za-z]{1,5}|[+-]\d{2,4})", text)
        if named:
            return _in_zone(_parse_local(named[1], now), named[2])
        return _parse_local(text, now).astimezone()
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"--at {text} is not a time",
            hint="examples: 2026-01-27T15:04:05, 15:04 (today), '10m ago'",
        ) from None


def _parse_local(text: str, now: datetime) -> datetime:
    """Parse a date and time, or a time of today; naive if it has no offset."""
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
        text = f"{now.astimezone().date().isoformat()}T{text.zfill(8 if text[5:] else 5)}"
    return datetime.fromisoformat(text)


def _in_zone(naive: datetime, name: str) -> datetime:
    """Put a naive time into a zone: UTC, or a name of the local zone.

    Raises:
        ValueError: The zone is another one; its name would be ambiguous.
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
