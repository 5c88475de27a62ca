"""SHA-256 of an image. That of the big-endian image is the same for both byte orders of one model."""

from __future__ import annotations

import hashlib

from loader.image import Image
from loader.output import CHUNK


def sha256(image: Image, offset: int = 0, nbytes: int | None = None) -> str:
    """Hexadecimal SHA-256 of `nbytes` bytes of an image (to its end by default); memory used is one chunk."""
    end = image.size if nbytes is None else offset + nbytes
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(CHUNK, end - offset)))
    while offset < end:
        chunk = buffer[: end - offset]
        image.read_into(offset, chunk)
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()
