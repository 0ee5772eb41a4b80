"""Mini-batch gradient descent with momentum, one epoch at a time."""

from dataclasses import dataclass
from math import log
from operator import mul
from typing import Any

from digits.chance import Chance
from digits.network import Matrix, Network
from digits.problem import Problem

Example = tuple[list[float], int]
"""The inputs of one image and its digit."""
Fans = list[tuple[float, ...]]
"""For each hidden unit the weights that lead from it to the digits."""
SMALLEST = 1e-12
"""A probability is never taken as less, so that its logarithm exists."""


@dataclass(frozen=True)
class Settings:
    """How to learn. Two runs with equal settings on equal data give equal models."""

    units: int = 12
    batch: int = 32
    rate: float = 0.03
    rate_kept: float = 0.98
    """The share of the rate that each epoch leaves to the next."""
    momentum: float = 0.9
    weight_decay: float = 0.002
    seed: int = 1


class Descent:
    """A network on its way down, and the speed it has in each direction."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.network = Network.random(settings.units, Chance(f"{settings.seed} weights"))
        self.speed = Network(_zeros(self.network.hidden), _zeros(self.network.output))

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, but for the data."""
        return {"network": self.network.as_dict(), "speed": self.speed.as_dict()}

    def restore(self, state: dict[str, Any], where: str, hint: str) -> None:
        """Go on from `state`.

        Args:
            where: The file, for the message.
            hint: What to do about a broken one.

        Raises:
            Problem: It isn't the state of a network of this size.
        """
        parts = [state.get("network"), state.get("speed")]
        network, speed = (Network.from_dict(part or {}, where, hint) for part in parts)
        if {len(network.hidden), len(speed.hidden)} != {self.settings.units}:
            raise Problem(f"{where} has another number of units; {hint}")
        self.network, self.speed = network, speed

    def epoch(self, number: int, examples: list[Example]) -> float:
        """Go through all examples once, in an order that depends on the epoch alone.

        Args:
            number: Of the epoch, from 1.

        Returns:
            The mean loss of the examples, each as it was met.
        """
        order = Chance(f"{self.settings.seed} epoch {number}").shuffled(examples)
        rate = self.settings.rate * self.settings.rate_kept ** (number - 1)
        size = self.settings.batch
        batches = (order[start : start + size] for start in range(0, len(order), size))
        return sum(self._step(batch, rate) for batch in batches) / len(order)

    def _step(self, batch: list[Example], rate: float) -> float:
        """Move once against the slope of the batch; the sum of its losses."""
        slope = Network(_zeros(self.network.hidden), _zeros(self.network.output))
        fans = list(zip(*self.network.output, strict=True))
        loss = sum(self._add_slope(slope, fans, inputs, digit) for inputs, digit in batch)
        for part in ("hidden", "output"):
            weights, speeds, slopes = (
                getattr(network, part) for network in (self.network, self.speed, slope)
            )
            for at, slopes_of_unit in enumerate(slopes):
                speeds[at] = self._speeds(speeds[at], slopes_of_unit, weights[at], rate, len(batch))
                weights[at] = [w + v for w, v in zip(weights[at], speeds[at], strict=True)]
        return loss

    def _speeds(
        self,
        speeds: list[float],
        slopes: list[float],
        weights: list[float],
        rate: float,
        count: int,
    ) -> list[float]:
        kept, pull = self.settings.momentum, rate * self.settings.weight_decay
        push = rate / count
        return [
            kept * v - push * s - pull * w for v, s, w in zip(speeds, slopes, weights, strict=True)
        ]

    def _add_slope(self, slope: Network, fans: Fans, inputs: list[float], digit: int) -> float:
        """Add one example's slope of the loss; return the loss."""
        heights, errors = self.network.activations(inputs)
        loss = -log(max(errors[digit], SMALLEST))
        errors[digit] -= 1.0
        for at, error in enumerate(errors):
            slope.output[at] = _plus(slope.output[at], error, heights)
        for at, unit in enumerate(slope.hidden):
            if heights[at] > 0:  # a unit at rest passes nothing back
                slope.hidden[at] = _plus(unit, sum(map(mul, fans[at], errors)), inputs)
        return loss


def examine(network: Network, examples: list[Example]) -> tuple[float, float]:
    """The mean loss, and the share of examples it gets right."""
    loss = right = 0.0
    for inputs, digit in examples:
        _, chances = network.activations(inputs)
        loss -= log(max(chances[digit], SMALLEST))
        right += chances.index(max(chances)) == digit
    return loss / len(examples), right / len(examples)


def _plus(row: list[float], factor: float, other: list[float]) -> list[float]:
    return [a + factor * b for a, b in zip(row, other, strict=True)]


def _zeros(matrix: Matrix) -> Matrix:
    return [[0.0] * len(row) for row in matrix]
