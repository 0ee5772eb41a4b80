"""The `--ttl` of a queue on a machine: a duration from the runner's start, or a point in time."""

from datetime import datetime

from msgspec import Struct

from spawn.core.values import durations
from spawn.core.values.timestamps import parse_timestamp


class Ttl(Struct, frozen=True, kw_only=True):
    """A parsed `--ttl`. `text` is the original; either `seconds` or `until`, a stamp, is set."""

    text: str
    seconds: float | None = None
    until: str = ""

    def seconds_left(self, owned: float, now: datetime) -> float:
        """Return the remaining seconds; 0 or less if the time has expired.

        Args:
            owned: Seconds that the runner has owned the queue, by a monotonic clock; compared with
                `seconds`.
            now: The wall clock's time, compared with `until`.
        """
        if self.seconds is not None:
            return self.seconds - owned
        return (parse_timestamp(self.until) - now).total_seconds()


def parse_ttl(text: str) -> Ttl:
    """Parse a duration such as `8h`, or a time with a zone such as `2026-01-27T22:00:00Z`.

    Raises:
        ValueError: The text is neither; the message gives the reason.
    """
    trimmed = text.strip()
    if "T" not in trimmed and ":" not in trimmed:
        seconds = durations.parse_duration(trimmed)
        if not seconds:
            raise ValueError('it must be longer than 0; write for example "8h"')
        return Ttl(text=trimmed, seconds=seconds)
    try:
        at = parse_timestamp(trimmed)
    except ValueError:
        raise ValueError('it is not a time; write for example "2026-01-27T22:00:00Z"') from None
    if at.tzinfo is None:
        raise ValueError('it has no time zone; write for example "2026-01-27T22:00:00Z"')
    return Ttl(text=trimmed, until=trimmed)
