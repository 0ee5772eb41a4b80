"""Map times to places on the axis; long periods without an owner are shortened."""

from datetime import datetime, timedelta, timezone, tzinfo
from itertools import pairwise

from msgspec import Struct

from spawn.core.reports.timeline.model import Timeline

_STEPS = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
    172800, 604800, 1209600, 2592000, 7776000, 31536000,
)  # fmt: skip
_TICKS = 6
_CUT_PERCENT = 5.0
_ALL_CUTS_PERCENT = 30.0
_MOST_CUTS = 12
_CUT_SHARE = 0.12
"""A gap is cut if it is longer than this share of the time with an owner."""


class Tick(Struct, frozen=True):
    """A tick mark on the axis; `place` is in percent."""

    place: float
    label: str


class Scale:
    """Maps times to percent of the axis."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.cuts = _cuts(timeline)
        share = min(_CUT_PERCENT, _ALL_CUTS_PERCENT / max(1, len(self.cuts)))
        kept = timeline.end - sum(end - start for start, end in self.cuts)
        rate = (100.0 - share * len(self.cuts)) / kept if kept > 0 else 0.0
        self._stops = [(0.0, 0.0)]
        for start, end in self.cuts:
            at, place = self._stops[-1]
            place += (start - at) * rate
            self._stops += [(start, place), (end, place + share)]
        self._stops.append((timeline.end, 100.0))

    def __call__(self, at: float) -> float:
        """Return the place of a time, 0 to 100."""
        at = min(max(at, 0.0), self._timeline.end)
        for (t0, p0), (t1, p1) in pairwise(self._stops):
            if at <= t1:
                return p0 + (p1 - p0) * (at - t0) / (t1 - t0) if t1 > t0 else p0
        return 100.0

    def ticks(self, zone: tzinfo | None) -> list[Tick]:
        """Return ticks at round local times, none within a cut or near an edge."""
        timeline = self._timeline
        kept = timeline.end - sum(end - start for start, end in self.cuts)
        step = next((step for step in _STEPS if kept / step <= _TICKS), _STEPS[-1])
        base = timeline.base.astimezone(zone)
        offset = (base.utcoffset() or timedelta()).total_seconds()
        first = step - (base.timestamp() + offset) % step
        days = (base + timedelta(seconds=timeline.end)).date() != base.date()
        found: list[Tick] = []
        for start, end in self._kept():
            number = max(0, int((start - first) // step))
            at = first + number * step
            while at <= end:
                place = self(at)
                if at >= start and 3 <= place <= 97 and (not found or place - found[-1].place > 8):
                    found.append(Tick(place, _label(timeline.moment(at), zone, step, days=days)))
                at += step
        return found

    def _kept(self) -> list[tuple[float, float]]:
        edges = [0.0, *(edge for cut in self.cuts for edge in cut), self._timeline.end]
        return list(zip(edges[::2], edges[1::2], strict=True))


def zone_name(moment: datetime, zone: tzinfo | None) -> str:
    """Name a time zone with its UTC offset: `PST, UTC-08:00`."""
    here = moment.astimezone(zone)
    offset = timezone(here.utcoffset() or timedelta()).tzname(None)
    name = here.tzname() or ""
    return offset if name in ("", offset) else f"{name}, {offset}" if name != "UTC" else "UTC"


def _label(moment: datetime, zone: tzinfo | None, step: int, *, days: bool) -> str:
    here = moment.astimezone(zone)
    if step >= 86400:
        return f"{here:%b %d}"
    if step < 60:
        return f"{here:%H:%M:%S}"
    midnight = days and here.hour == 0 and here.minute == 0
    return f"{here:%b %d}" if midnight else f"{here:%H:%M}"


def _cuts(timeline: Timeline) -> list[tuple[float, float]]:
    """Return the gaps to cut: long ones in which no job ran."""
    gaps = timeline.gaps
    owned = timeline.end - sum(end - start for start, end in gaps)
    long = [(s, e) for s, e in gaps if e - s > max(60.0, _CUT_SHARE * owned)]
    if not long or owned <= 0:
        return []
    busy = [
        (attempt.start, timeline.end if attempt.ran_until is None else attempt.ran_until)
        for line in timeline.lines.values()
        for attempt in line.attempts
    ]
    idle = [gap for gap in long if not any(a < gap[1] and b > gap[0] for a, b in busy)]
    return sorted(sorted(idle, key=lambda gap: gap[0] - gap[1])[:_MOST_CUTS])
