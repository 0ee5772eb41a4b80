"""How long a queue may stay on a machine: for a while from its start, or until a moment."""

from datetime import datetime

from msgspec import Struct

from spawn.core import durations
from spawn.core.moments import moment


class Ttl(Struct, frozen=True, kw_only=True):
    """`text` as it was given; one of `seconds` and `until`, a stamp, is there."""

    text: str
    seconds: float | None = None
    until: str = ""

    def left(self, owned: float, now: datetime) -> float:
        """Seconds that are left; none or less when it has passed.

        Args:
            owned: For how long the runner has had the queue, by a clock that never jumps: what a
                duration counts from.
            now: By the wall clock, which a moment is of.
        """
        if self.seconds is not None:
            return self.seconds - owned
        return (moment(self.until) - now).total_seconds()


def parse(text: str) -> Ttl:
    """Read `8h`, or `2026-01-27T22:00:00Z`: a moment needs its time zone.

    Raises:
        ValueError: It is neither; the message says why.
    """
    trimmed = text.strip()
    if "T" not in trimmed and ":" not in trimmed:
        seconds = durations.parse(trimmed)
        if not seconds:
            raise ValueError('it is no time at all; write for example "8h"')
        return Ttl(text=trimmed, seconds=seconds)
    try:
        at = moment(trimmed)
    except ValueError:
        raise ValueError('it is no moment; write for example "2026-01-27T22:00:00Z"') from None
    if at.tzinfo is None:
        raise ValueError('it lacks a time zone; write for example "2026-01-27T22:00:00Z"')
    return Ttl(text=trimmed, until=trimmed)
