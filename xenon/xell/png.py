"""Writes a picture as a PNG file (ISO/IEC 15948), three samples of 8 bits a pixel."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BITS, _TRUE_COLOUR = 8, 2


def png_file(pixels: NDArray[np.uint8]) -> bytes:
    """The file of (height, width, 3) red, green and blue."""
    height, width, _ = pixels.shape
    header = struct.pack(">2I5B", width, height, _EIGHT_BITS, _TRUE_COLOUR, 0, 0, 0)
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each line begins with its filter, 0: none
    lines[:, 1:] = pixels.reshape(height, 3 * width)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
