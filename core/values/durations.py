"""Parse and format durations such as `1h 30m`."""

import re
from functools import lru_cache
from itertools import pairwise

LONGEST = 1000 * 86400
"""The longest duration, 1000 days in seconds; date arithmetic with it does not overflow."""

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
"""Seconds in each unit, largest first, the order in which a duration is written."""

_AMOUNT = r"[0-9]+(?:\.[0-9]+)?"
_PARTS = "".join(f"(?:({_AMOUNT}){unit} *)?" for unit in UNITS)
PATTERN = f"^(?=.*[0-9]) *{_PARTS}$"
"""The syntax that `parse_duration` accepts, as a regular expression for Python and JSON Schema."""

_DURATION = re.compile(PATTERN)
_PART = re.compile(rf"{_AMOUNT}\s*([^\W\d_]*)")
_EXAMPLE = 'write for example "90s", "5m" or "1h30m"'


class InvalidDuration(ValueError):
    """A text is not a duration. `what` gives the reason, `hint` an example; it may be empty."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what}; {hint}" if hint else what)
        self.what = what
        self.hint = hint


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> float:
    """Parse a duration: `30s`, `5m`, `1h30m`, `1h 30m`, `1.5h`, `1d`, `500ms`.

    Each unit occurs at most once, largest first. Zero is allowed.

    Returns:
        Seconds, 0 to `LONGEST`.

    Raises:
        InvalidDuration: The text is not a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise _why_not(text)
    amounts = zip(match.groups(), UNITS.values(), strict=True)
    seconds = sum(float(amount) * unit for amount, unit in amounts if amount)
    if seconds > LONGEST:
        raise InvalidDuration(
            f"{_shown(text)} is longer than the maximum of {format_compact(LONGEST)}"
        )
    return seconds


def format_duration(seconds: float) -> str:
    """Format a duration for a person: `1h 23m`, `15m 32s`, `4h`, `0s`.

    Shows the largest unit and the next smaller one, rounded down so that a reported time has
    really passed. A unit of zero is omitted; a negative duration is `0s`.

    Args:
        seconds: Finite.
    """
    return " ".join(_parts(seconds))


def format_compact(seconds: float) -> str:
    """Format a duration for a script: as `format_duration`, without the space."""
    return "".join(_parts(seconds))


def _parts(seconds: float) -> list[str]:
    whole = max(int(seconds), 0)
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    d, h = divmod(hours, 24)
    amounts = [(d, "d"), (h, "h"), (m, "m"), (s, "s")]
    first = next((place for place, (amount, _) in enumerate(amounts) if amount), 3)
    shown = [f"{amount}{unit}" for amount, unit in amounts[first : first + 2] if amount]
    return shown or ["0s"]


def _why_not(text: str) -> InvalidDuration:
    shown = _shown(text)
    if not text.strip():
        return InvalidDuration("an empty string is not a duration", _EXAMPLE)
    if re.match(r"\s*-\s*[0-9]", text):
        return InvalidDuration(f"{shown} is negative", f"a duration must be 0 or more; {_EXAMPLE}")
    named = _PART.findall(text)
    if named == [""] and re.fullmatch(r"\s*[0-9.]+\s*", text):
        return InvalidDuration(f"{shown} has no unit", f'write "{text.strip()[:20]}s" for seconds')
    if "" in named:
        return InvalidDuration(f"{shown} has a number without a unit", _EXAMPLE)
    strange = next((unit for unit in named if unit and unit not in UNITS), None)
    if strange is not None:
        return InvalidDuration(
            f"{shown} has an unknown unit {_shown(strange)}", f"use {', '.join(UNITS)}; {_EXAMPLE}"
        )
    ranks = [list(UNITS).index(unit) for unit in named if unit]
    if any(later <= earlier for earlier, later in pairwise(ranks)):
        return InvalidDuration(
            f"{shown} repeats a unit or has units out of order, largest first", _EXAMPLE
        )
    return InvalidDuration(f"{shown} is not a duration", _EXAMPLE)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
