"""Which pixels the network looks at."""

from collections.abc import Callable
from math import sqrt

from digits.chance import Chance
from digits.descent import Example
from digits.network import Network
from digits.shape import PIXELS, SIDE

SHADES = " .:-=+*#%@"


def importance(
    network: Network,
    examples: list[Example],
    chance: Chance,
    repeats: int,
    progress: Callable[[int], None],
) -> list[float]:
    """How much accuracy is lost when one pixel is dealt out anew among the images.

    Source: Breiman (2001), Random Forests, section 10.

    Args:
        repeats: How often each pixel is dealt anew; more makes it steadier.
        progress: Told after each pixel how many are done.

    Returns:
        For each of the 64 pixels the share of images lost, below 0 where chance helped.
    """
    whole = _right(network, examples)
    losses = []
    for pixel in range(PIXELS):
        kept = sum(_right(network, _dealt_anew(examples, pixel, chance)) for _ in range(repeats))
        losses.append((whole - kept / repeats) / len(examples))
        progress(pixel + 1)
    return losses


def as_picture(losses: list[float]) -> str:
    """The pixels as eight lines of characters, darker where more is lost.

    By the square root, so that the weaker half can be told apart.
    """
    most = max(*losses, 1e-9)
    depths = [sqrt(max(loss, 0) / most) for loss in losses]
    dark = [SHADES[round(depth * (len(SHADES) - 1))] * 2 for depth in depths]
    return "\n".join("".join(dark[row : row + SIDE]) for row in range(0, PIXELS, SIDE))


def _right(network: Network, examples: list[Example]) -> int:
    return sum(network.predict(inputs) == digit for inputs, digit in examples)


def _dealt_anew(examples: list[Example], pixel: int, chance: Chance) -> list[Example]:
    values = chance.shuffled([inputs[pixel] for inputs, _ in examples])
    return [
        ([*inputs[:pixel], value, *inputs[pixel + 1 :]], digit)
        for (inputs, digit), value in zip(examples, values, strict=True)
    ]
