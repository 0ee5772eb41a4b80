"""What an image is: 8 by 8 pixels, each a count from 0 (white) to 16 (black), and its digit."""

SIDE = 8
PIXELS = SIDE * SIDE
DEEPEST = 16
CLASSES = 10
PIXEL_NAMES = tuple(f"p{row}{column}" for row in range(SIDE) for column in range(SIDE))
RAW_HEADER = (*PIXEL_NAMES, "digit")
"""The columns of the raw file: `p35` is the pixel in row 3, column 5, both counted from 0."""
