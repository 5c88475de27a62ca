"""Damage to bytes: the changes that find mistakes in readers of binary files."""

from __future__ import annotations

import random
import struct

EDGES = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 20, 1 << 29)
"""Numbers at which fields of files often change their meaning."""

_SIZES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def edge(rng: random.Random, size: int) -> int:
    """A number of `size` bytes, often near a limit."""
    mask = (1 << 8 * size) - 1
    value = rng.choice((*EDGES, mask, mask >> 1, (mask >> 1) + 1, rng.getrandbits(8 * size)))
    return value + rng.choice((0, 0, 0, -1, 1, rng.randrange(-16, 17))) & mask


def damaged(rng: random.Random, data: bytes, head: int = 64) -> bytes:
    """A copy of `data` with one to four changes, half of them in its first `head` bytes; most copies are as
    long as `data`."""
    changed = bytearray(data)
    kinds = 5 if rng.random() < 0.6 else 9
    for _ in range(rng.choice((1, 1, 2, 3, 4))):
        _damage(rng, changed, head, rng.randrange(kinds))
    return bytes(changed)


def _damage(rng: random.Random, data: bytearray, head: int, kind: int) -> None:
    if not data:
        data += rng.randbytes(rng.randrange(1, 64))
        return
    place = rng.randrange(min(head, len(data)) if rng.random() < 0.5 else len(data))
    match kind:
        case 0:
            data[place] ^= 1 << rng.randrange(8)
        case 1:
            data[place] = rng.randrange(256)
        case 2 | 3 | 4:
            size = rng.choice((1, 2, 4, 4, 8))
            place -= place % rng.choice((1, size))
            field = struct.pack(rng.choice("<>") + _SIZES[size], edge(rng, size))
            data[place : place + size] = field
        case 5:
            del data[place:]
        case 6:
            data += rng.randbytes(rng.randrange(1, 300))
        case 7:
            source = rng.randrange(len(data))
            count = rng.randrange(1, 64)
            data[place : place + count] = data[source : source + count]
        case _:
            del data[place : place + rng.randrange(1, 16)]
