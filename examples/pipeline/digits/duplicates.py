"""Finds images that are there twice."""

from collections import defaultdict

from digits.faults import Faults
from digits.table import Row


def unique(rows: list[Row], faults: Faults) -> list[Row]:
    """The rows without repeats: the first of equal ones, none where their digits differ."""
    groups: dict[tuple[int, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.pixels].append(row)
    kept = []
    for first, *others in groups.values():
        if any(other.digit != first.digit for other in others):
            faults.note("label_conflict", others[0].line)
            continue
        for other in others:
            faults.note("duplicate_row", other.line)
        kept.append(first)
    return kept
