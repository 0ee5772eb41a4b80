"""A network with one hidden layer: 64 pixels, some rectified units, 10 digits."""

from dataclasses import dataclass
from math import exp, isfinite, sqrt
from operator import mul
from typing import Any, TypeGuard

from digits.chance import Chance
from digits.problem import Problem
from digits.shape import CLASSES, DEEPEST, PIXELS

Matrix = list[list[float]]
HINT = "run train.py first"


@dataclass
class Network:
    """The weights, one row a unit; the last weight of a row is its bias."""

    hidden: Matrix
    output: Matrix

    @classmethod
    def random(cls, units: int, chance: Chance) -> "Network":
        """A network that has learnt nothing: small weights, no biases.

        Source: Glorot and Bengio (2010), the uniform bound for the spread of the weights.
        """

        def layer(count: int, inputs: int) -> Matrix:
            bound = sqrt(6 / (inputs + count))
            return [[*(chance.within(bound) for _ in range(inputs)), 0.0] for _ in range(count)]

        return cls(layer(units, PIXELS), layer(CLASSES, units))

    @classmethod
    def from_dict(cls, value: dict[str, Any], where: str, hint: str = HINT) -> "Network":
        """The network that `as_dict` was made from.

        Args:
            where: The file, for the message.
            hint: What to do about a broken one.
        """
        hidden, output = value.get("hidden"), value.get("output")
        if (
            _is_matrix(hidden, PIXELS + 1)
            and _is_matrix(output, len(hidden) + 1)
            and len(output) == CLASSES
        ):
            return cls(hidden, output)
        raise Problem(f"{where} holds no network for {PIXELS} pixels and {CLASSES} digits; {hint}")

    def as_dict(self) -> dict[str, Matrix]:
        """The weights as JSON can hold them; they come back exactly."""
        return {"hidden": self.hidden, "output": self.output}

    def activations(self, inputs: list[float]) -> tuple[list[float], list[float]]:
        """What the hidden units say, with the 1.0 for the bias, and each digit's probability."""
        heights = [max(0.0, sum(map(mul, unit, inputs))) for unit in self.hidden]
        heights.append(1.0)
        scores = [sum(map(mul, unit, heights)) for unit in self.output]
        highest = max(scores)
        powers = [exp(score - highest) for score in scores]
        total = sum(powers)
        return heights, [power / total for power in powers]

    def predict(self, inputs: list[float]) -> int:
        """The likeliest digit."""
        _, chances = self.activations(inputs)
        return chances.index(max(chances))


def inputs_of(pixels: tuple[int, ...]) -> list[float]:
    """An image as the network takes it: 64 numbers from 0 to 1, and 1.0 for the bias."""
    return [*(pixel / DEEPEST for pixel in pixels), 1.0]


def _is_matrix(value: object, width: int) -> TypeGuard[Matrix]:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(row, list) and len(row) == width for row in value)
        and all(isinstance(weight, float) and isfinite(weight) for row in value for weight in row)
    )
