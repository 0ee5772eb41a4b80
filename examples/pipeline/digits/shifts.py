"""An image moved by one pixel in every direction."""

from digits.shape import SIDE

Pixels = tuple[int, ...]
STEPS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))


def shifted(pixels: Pixels) -> list[Pixels]:
    """The image itself and its eight neighbours; white comes in at the edge."""
    return [_moved(pixels, down, right) for down, right in STEPS]


def _moved(pixels: Pixels, down: int, right: int) -> Pixels:
    return tuple(
        pixels[(row - down) * SIDE + column - right]
        if 0 <= row - down < SIDE and 0 <= column - right < SIDE
        else 0
        for row in range(SIDE)
        for column in range(SIDE)
    )
