"""Writes a picture as PNG: 8 bits of red, green and blue a pixel, nothing else.

Source: PNG specification, third edition (W3C).
"""

import struct
from zlib import compress, crc32

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TRUECOLOUR = 2


def encoded(rows: list[bytearray]) -> bytes:
    """The file for these rows, top first, of three bytes a pixel."""
    width, height = len(rows[0]) // 3, len(rows)
    header = struct.pack(">IIBBBBB", width, height, 8, TRUECOLOUR, 0, 0, 0)
    unfiltered = b"".join(b"\0" + row for row in rows)
    return (
        SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", compress(unfiltered, level=9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))
