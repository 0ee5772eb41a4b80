"""A picture to draw rectangles and text on."""

from digits.font import ADVANCE, GLYPHS, HEIGHT, WIDTH

Colour = tuple[int, int, int]


class Canvas:
    """Rows of pixels; (0, 0) is the top left corner."""

    def __init__(self, width: int, height: int, background: Colour) -> None:
        self.rows = [bytearray(bytes(background) * width) for _ in range(height)]

    def box(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """A filled rectangle."""
        line = bytes(colour) * width
        for row in self.rows[top : top + height]:
            row[left * 3 : (left + width) * 3] = line

    def text(self, left: int, top: int, words: str, colour: Colour, scale: int = 2) -> None:
        """Words from left to right; each dot of the font is `scale` pixels wide and high."""
        for x, y in _dots(words):
            self.box(left + x * scale, top + y * scale, scale, scale, colour)

    def text_upward(self, left: int, top: int, words: str, colour: Colour, scale: int = 2) -> None:
        """Words that climb from bottom to top; (left, top) is the corner of the turned block."""
        span = text_width(words, 1)
        for x, y in _dots(words):
            self.box(left + y * scale, top + (span - 1 - x) * scale, scale, scale, colour)

    def text_centred(
        self, middle: int, centre: int, words: str, colour: Colour, scale: int = 2
    ) -> None:
        """Words around the point (middle, centre)."""
        left = middle - text_width(words, scale) // 2
        self.text(left, centre - HEIGHT * scale // 2, words, colour, scale)


def text_width(words: str, scale: int) -> int:
    """How many pixels the words take from left to right."""
    return (len(words) * ADVANCE - (ADVANCE - WIDTH)) * scale


def _dots(words: str) -> list[tuple[int, int]]:
    return [
        (place * ADVANCE + x, y)
        for place, letter in enumerate(words)
        for y, line in enumerate(GLYPHS[letter])
        for x, dot in enumerate(line)
        if dot == "#"
    ]
