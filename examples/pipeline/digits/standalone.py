"""The text of a program that holds a network and needs nothing else."""

from digits.network import Matrix, Network

PROGRAM = '''\
"""Reads handwritten digits: {inputs} pixels in, one digit out. Needs nothing but Python.

Use it as a module, `predict(pixels)`, or as a program that takes one image a line, its pixels
apart by spaces or commas, and prints one digit a line:

    python3 {name} < images.txt

A pixel is a number from 0 (white) to {deepest} (black); the image goes row by row, 8 by 8.
"""

import sys
from math import exp

HIDDEN = [
{hidden}
]
OUTPUT = [
{output}
]


def probabilities(pixels):
    """How likely each digit is, for an image of {inputs} numbers."""
    if len(pixels) != {inputs}:
        raise ValueError(f"an image has {inputs} pixels, not {{len(pixels)}}")
    inputs = [pixel / {deepest} for pixel in pixels] + [1.0]
    heights = [max(0.0, sum(w * x for w, x in zip(unit, inputs))) for unit in HIDDEN] + [1.0]
    scores = [sum(w * x for w, x in zip(unit, heights)) for unit in OUTPUT]
    powers = [exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def predict(pixels):
    """The likeliest digit."""
    chances = probabilities(pixels)
    return chances.index(max(chances))


if __name__ == "__main__":
    for line in sys.stdin:
        print(predict([float(word) for word in line.replace(",", " ").split()]))
'''


def program(network: Network, decimals: int, name: str, deepest: int) -> str:
    """The program as text, its weights rounded to `decimals`."""
    return PROGRAM.format(
        inputs=len(network.hidden[0]) - 1,
        deepest=deepest,
        name=name,
        hidden=_literal(network.hidden, decimals),
        output=_literal(network.output, decimals),
    )


def _literal(matrix: Matrix, decimals: int) -> str:
    rows = (", ".join(f"{weight:.{decimals}f}" for weight in row) for row in matrix)
    return "\n".join(f"    [{row}]," for row in rows)
