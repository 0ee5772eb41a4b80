"""Chance that is the same everywhere for the same seed."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draws built on `Random.random` alone.

    That method is the one whose sequence Python promises to keep for a seed; `shuffle` and
    `choice` may change from one version to the next.

    Source: https://docs.python.org/3/library/random.html#notes-on-reproducibility
    """

    def __init__(self, seed: int | str) -> None:
        self._random = Random(seed).random

    def below(self, end: int) -> int:
        """A whole number from 0 up to, not including, `end`."""
        return int(self._random() * end)

    def within(self, size: float) -> float:
        """A number from `-size` to `size`."""
        return (2 * self._random() - 1) * size

    def one_of(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in another order."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = self.below(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed
