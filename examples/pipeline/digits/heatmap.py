"""Draws a confusion matrix: blue where the network was right, orange where it wasn't."""

from typing import NamedTuple

from digits.canvas import Canvas, Colour, text_width
from digits.shape import CLASSES, DEEPEST, SIDE

Image = list[float]
"""The mean of some images: 64 numbers of 0 to 16."""

PAPER: Colour = (255, 255, 255)
INK: Colour = (31, 41, 55)
PALE_INK: Colour = (107, 114, 128)
EMPTY: Colour = (243, 245, 248)
FRAME: Colour = (209, 213, 219)
BLUES: tuple[Colour, ...] = ((222, 235, 247), (107, 174, 214), (33, 113, 181), (8, 48, 107))
ORANGES: tuple[Colour, ...] = ((254, 230, 206), (253, 174, 107), (241, 105, 19), (166, 54, 3))

CELL, GAP = 56, 2
PITCH = CELL + GAP
LEFT, TOP = 152, 196
GRID = CLASSES * PITCH - GAP
THUMB = 5
"""Pixels of the picture for one of a mean image."""
WIDTH, HEIGHT = LEFT + GRID + 122, TOP + GRID + 100


class Figure(NamedTuple):
    """What the picture shows."""

    counts: list[list[int]]
    """Rows are the actual digits, columns the predicted ones."""
    means: list[Image]
    """What each digit looks like on the average, drawn beside its row."""
    low: float
    high: float
    """Where the accuracy lies in 95 of 100 cases."""


def drawn(figure: Figure) -> list[bytearray]:
    """The picture as rows of three bytes a pixel."""
    canvas = Canvas(WIDTH, HEIGHT, PAPER)
    _title(canvas, figure)
    for actual, row in enumerate(figure.counts):
        for predicted, count in enumerate(row):
            _cell(canvas, actual, predicted, count, sum(row))
    _axes(canvas, figure)
    _recalls(canvas, figure.counts)
    _legend(canvas)
    return canvas.rows


def _title(canvas: Canvas, figure: Figure) -> None:
    total = sum(map(sum, figure.counts))
    right = sum(row[digit] for digit, row in enumerate(figure.counts))
    canvas.text(LEFT, 36, "CONFUSION MATRIX", INK, scale=4)
    summary = f"{right} OF {total} TEST IMAGES RIGHT, {right / total:.1%}"
    canvas.text(LEFT, 82, summary, PALE_INK)
    span = f"95% INTERVAL {figure.low:.1%} - {figure.high:.1%}"
    canvas.text(LEFT, 106, span, PALE_INK)


def _cell(canvas: Canvas, actual: int, predicted: int, count: int, total: int) -> None:
    left, top = LEFT + predicted * PITCH, TOP + actual * PITCH
    share = count / total if total else 0.0
    if not count:
        canvas.box(left, top, CELL, CELL, EMPTY)
        return
    # a tenth of a row gone astray is bad enough for the darkest orange
    colour = blend(BLUES, share) if actual == predicted else blend(ORANGES, share * 10)
    canvas.box(left, top, CELL, CELL, colour)
    canvas.text_centred(left + CELL // 2, top + CELL // 2, str(count), _readable(colour), scale=3)


def _axes(canvas: Canvas, figure: Figure) -> None:
    canvas.text_centred(LEFT + GRID // 2, TOP - 48, "PREDICTED DIGIT", PALE_INK)
    words = "ACTUAL DIGIT"
    canvas.text_upward(32, TOP + (GRID - text_width(words, 2)) // 2, words, PALE_INK)
    size = SIDE * THUMB
    for digit in range(CLASSES):
        middle = digit * PITCH + CELL // 2
        canvas.text_centred(LEFT + middle, TOP - 20, str(digit), INK, scale=3)
        canvas.text_centred(LEFT - 20, TOP + middle, str(digit), INK, scale=3)
        _thumbnail(canvas, LEFT - 42 - size, TOP + middle - size // 2, figure.means[digit])


def _thumbnail(canvas: Canvas, left: int, top: int, image: Image) -> None:
    size = SIDE * THUMB
    canvas.box(left - 1, top - 1, size + 2, size + 2, FRAME)
    for at, depth in enumerate(image):
        row, column = divmod(at, SIDE)
        shade = blend((PAPER, INK), depth / DEEPEST)
        canvas.box(left + column * THUMB, top + row * THUMB, THUMB, THUMB, shade)


def _recalls(canvas: Canvas, counts: list[list[int]]) -> None:
    """What share of each row is right, as a bar and a number."""
    left, longest = LEFT + GRID + 18, 70
    canvas.text(left, TOP - 24, "RECALL", PALE_INK)
    for digit, row in enumerate(counts):
        recall = row[digit] / sum(row) if sum(row) else 0.0
        centre = TOP + digit * PITCH + CELL // 2
        canvas.text(left, centre - 16, f"{recall:.1%}", INK)
        canvas.box(left, centre + 6, longest, 6, FRAME)
        canvas.box(left, centre + 6, round(longest * recall), 6, BLUES[2])


def _legend(canvas: Canvas) -> None:
    top = TOP + GRID + 34
    half = GRID // 2
    for left, colours, words, most in (
        (LEFT, BLUES, "RIGHT", "100%"),
        (LEFT + half + 10, ORANGES, "WRONG", "10% OR MORE"),
    ):
        canvas.text(left, top, words, PALE_INK)
        start, length = left + 74, 120
        for step in range(length):
            canvas.box(start + step, top, 1, 14, blend(colours, step / length))
        canvas.text(start + length + 8, top, most, PALE_INK)
    canvas.text(LEFT, top + 26, "SHARE OF THE IMAGES OF THE ROW", PALE_INK)


def blend(colours: tuple[Colour, ...], share: float) -> Colour:
    """The colour at `share` (0 to 1, cut off there) of the way through `colours`."""
    way = min(max(share, 0.0), 1.0) * (len(colours) - 1)
    at = min(int(way), len(colours) - 2)
    red, green, blue = (
        round(low + (high - low) * (way - at))
        for low, high in zip(colours[at], colours[at + 1], strict=True)
    )
    return red, green, blue


def _readable(colour: Colour) -> Colour:
    """White or dark, whichever is easier to read on `colour`."""
    red, green, blue = colour
    return PAPER if red * 0.299 + green * 0.587 + blue * 0.114 < 125 else INK
