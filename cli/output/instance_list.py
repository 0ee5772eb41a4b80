"""The list of instances, one line each, and as JSON."""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, Any

import msgspec

from spawn.cli.output.style import Style
from spawn.cli.sources.instance_queue_location import TAG_QUEUE, TAG_RESULTS
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import printable
from spawn.store.aws.ec2_instances import InstanceDescription

STATES = {
    "pending": "retrying",
    "running": "running",
    "stopping": "interrupted",
    "stopped": "interrupted",
    "shutting-down": "dim",
    "terminated": "dim",
}
"""EC2 states, mapped to the queue or job state whose colour they get."""
_TITLES = ("INSTANCE", "NAME", "TYPE", "STATE", "AGE", "QUEUE", "ADDRESS")
_STATE = _TITLES.index("STATE")
_LEAST = 8
_SHRINK_ORDER = (
    *(("NAME", _LEAST), ("ADDRESS", 0), ("NAME", 0), ("QUEUE", _LEAST)),
    *(("AGE", 0), ("TYPE", _LEAST), ("TYPE", 0), ("QUEUE", 0)),
)
"""The order in which columns shrink on a narrow terminal, and their minimum width; 0: omitted. An
address is never cut, because a part of it is useless."""
_GAP = "  "


def table(
    instances: Sequence[InstanceDescription], now: datetime, style: Style, width: int | None
) -> Iterator[str]:
    """Yield the lines of a table of instances.

    Args:
        width: Maximum columns of a line; None: unlimited. Ids and states are never cut.
    """
    rows = [_row(each, now) for each in instances]
    widths = _fitted(rows, width)
    yield style("bold", _line(_TITLES, widths))
    for each, row in zip(instances, rows, strict=True):
        yield _line(row, widths, style, STATES.get(each.state, ""))


def as_json(instances: Sequence[InstanceDescription]) -> str:
    """Return instances as a JSON array."""
    return pretty([as_dict(each) for each in instances])


def as_dict(found: InstanceDescription) -> dict[str, Any]:
    """Return an instance as JSON data. Missing values are empty strings, a missing time is null."""
    at = found.launched_at
    return {
        "instance_id": found.instance_id,
        "name": found.tags.get("Name", ""),
        "state": found.state,
        "instance_type": found.type,
        "market": "spot" if found.spot else "on-demand",
        "launched_at": None if at is None else at.astimezone().isoformat(timespec="seconds"),
        "region": found.region,
        "availability_zone": found.zone,
        "queue_id": found.tags.get(TAG_QUEUE, ""),
        "results_location": found.tags.get(TAG_RESULTS, ""),
        "public_address": found.public,
        "private_address": found.private,
        "key_name": found.key_name,
        "iam_instance_profile": found.profile_arn,
        "tags": dict(sorted(found.tags.items())),
    }


def pretty(shape: object) -> str:
    """Return indented JSON."""
    return msgspec.json.format(msgspec.json.encode(shape), indent=2).decode()


def terminal_width(stream: IO[str]) -> int | None:
    """Return the width of a stream's terminal; None if it is not a terminal."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _row(found: InstanceDescription, now: datetime) -> tuple[str, ...]:
    age = "" if found.launched_at is None else duration((now - found.launched_at).total_seconds())
    return tuple(
        printable(text) or "-"
        for text in (
            found.instance_id,
            found.tags.get("Name", ""),
            found.type,
            found.state,
            age,
            found.tags.get(TAG_QUEUE, ""),
            found.public or found.private,
        )
    )


def _fitted(rows: Sequence[tuple[str, ...]], width: int | None) -> list[int]:
    """Return the width of each column; 0 for an omitted one."""
    named = any(row[1] != "-" for row in rows)
    widths = [max(len(title), *(len(row[at]) for row in rows)) for at, title in enumerate(_TITLES)]
    if not named:
        widths[1] = 0
    if width is None:
        return widths
    wanted = list(widths)
    for title, least in _SHRINK_ORDER:
        over = _total(widths) - width
        at = _TITLES.index(title)
        if over > 0 and widths[at] > least:
            widths[at] = max(least, widths[at] - over) if least else 0
    queue = _TITLES.index("QUEUE")
    if widths[queue]:  # it may grow again by what other columns freed
        widths[queue] = min(wanted[queue], widths[queue] + width - _total(widths))
    return widths


def _total(widths: Sequence[int]) -> int:
    shown = [each for each in widths if each]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _line(
    row: Sequence[str], widths: Sequence[int], style: Style | None = None, kind: str = ""
) -> str:
    cells = []
    for at, (text, width) in enumerate(zip(row, widths, strict=True)):
        if not width:
            continue
        cut = text if len(text) <= width else f"{text[: width - 1]}…"
        cell = f"{cut:<{width}}"
        cells.append(style(kind, cell) if style is not None and at == _STATE else cell)
    return _GAP.join(cells).rstrip()
