"""Asks each image's nearest neighbours whether its label can be right."""

from collections.abc import Callable
from heapq import nsmallest
from math import dist
from typing import NamedTuple

from digits.table import Row


class Suspect(NamedTuple):
    """A row whose label none of its nearest neighbours shares."""

    line: int
    digit: int
    neighbours: list[int]
    """Their digits, nearest first."""


def suspects(rows: list[Row], k: int, progress: Callable[[int], None]) -> list[Suspect]:
    """The rows whose `k` nearest images all carry another digit.

    Compares every image with every other: the time grows with the square of the rows.

    Args:
        k: How many neighbours are asked; 0 asks nobody.
        progress: Told after each row how many are done.
    """
    found: list[Suspect] = []
    if k < 1:
        return found
    images = [row.pixels for row in rows]
    places = range(len(rows))
    for at, row in enumerate(rows):
        distances = [dist(row.pixels, image) for image in images]
        distances[at] = float("inf")
        near = nsmallest(k, places, key=distances.__getitem__)
        labels = [rows[place].digit for place in near]
        if row.digit not in labels:
            found.append(Suspect(row.line, row.digit, labels))
        progress(at + 1)
    return found
