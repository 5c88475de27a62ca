"""What the items of a block are, as float32: one function a tensor type, from ggml's `ggml-quants.c`.

Each takes an array of blocks, whose fields are those of the type's row in `tensor_types.py`, and returns the
items in order. Every product and sum is rounded to float32 at once, as without fused multiply-add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def f32(blocks: Array) -> Array:
    """Any byte order becomes the computer's."""
    return _flat(blocks.astype("f4"))


def f16(blocks: Array) -> Array:
    """Half precision, widened: exact."""
    return _flat(blocks.astype("f4"))


def bf16(blocks: Array) -> Array:
    """The high halves of float32: exact, NaNs too."""
    import numpy as np

    return _flat(blocks.astype("u4") << np.uint32(16)).view(np.float32)


def q4_0(blocks: Array) -> Array:
    """d (q - 8), q of 4 bits."""
    return _flat(_floats(blocks["f0"]) * (_nibbles(blocks["f1"]).astype("f4") - 8))


def q4_1(blocks: Array) -> Array:
    """d q + m, q of 4 bits."""
    return _flat(_floats(blocks["f0"]) * _nibbles(blocks["f2"]).astype("f4") + _floats(blocks["f1"]))


def q5_0(blocks: Array) -> Array:
    """d (q - 16), q of 5 bits."""
    q = _nibbles(blocks["f2"]) | _fifth_bits(blocks["f1"])
    return _flat(_floats(blocks["f0"]) * (q.astype("f4") - 16))


def q5_1(blocks: Array) -> Array:
    """d q + m, q of 5 bits."""
    q = _nibbles(blocks["f3"]) | _fifth_bits(blocks["f2"])
    return _flat(_floats(blocks["f0"]) * q.astype("f4") + _floats(blocks["f1"]))


def q8_0(blocks: Array) -> Array:
    """d q, q of 8 bits with sign."""
    return _flat(_floats(blocks["f0"]) * blocks["f1"].astype("f4"))


def q4_k(blocks: Array) -> Array:
    """(d s) q - (m t), q of 4 bits; s and t of 6 bits for each 32 items."""
    import numpy as np

    halves = blocks["f3"].reshape(-1, 4, 1, 32) >> np.array([0, 4], "u1").reshape(2, 1) & 15
    return _super_block(blocks, halves.reshape(-1, 8, 32))


def q5_k(blocks: Array) -> Array:
    """As q4_k, with a fifth bit."""
    import numpy as np

    halves = blocks["f4"].reshape(-1, 4, 1, 32) >> np.array([0, 4], "u1").reshape(2, 1) & 15
    fifth = blocks["f3"].reshape(-1, 1, 32) >> np.arange(8, dtype="u1").reshape(8, 1) & 1
    return _super_block(blocks, halves.reshape(-1, 8, 32) | fifth << np.uint8(4))


def q6_k(blocks: Array) -> Array:
    """(d s) (q - 32), q of 6 bits; s of 8 bits with sign for each 16 items."""
    import numpy as np

    low = blocks["f0"].reshape(-1, 2, 1, 64) >> np.array([0, 4], "u1").reshape(2, 1) & 15
    high = blocks["f1"].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], "u1").reshape(4, 1) & 3
    q = low.reshape(-1, 16, 16) | high.reshape(-1, 16, 16) << np.uint8(4)
    scales = _floats(blocks["f3"]) * blocks["f2"].astype("f4")
    return _flat(scales[:, :, None] * (q.astype("f4") - 32))


def _super_block(blocks: Array, q: Array) -> Array:
    """Blocks of 8 x 32 items: the 12 bytes of scales hold 8 factors s and 8 factors t, 6 bits each."""
    import numpy as np

    s = blocks["f2"]
    first, second, third = s[:, 0:4], s[:, 4:8], s[:, 8:12]
    factors = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
    minima = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
    scales = _floats(blocks["f0"]) * factors.astype("f4")
    offsets = _floats(blocks["f1"]) * minima.astype("f4")
    return _flat(scales[:, :, None] * q.astype("f4") - offsets[:, :, None])


def _flat(values: Array) -> Array:
    return values.reshape(-1)


def _floats(halves: Array) -> Array:
    """A column of scales, one a block."""
    return halves.astype("f4").reshape(-1, 1)


def _nibbles(data: Array) -> Array:
    """(blocks, 16) bytes to (blocks, 32): the low halves, then the high ones."""
    import numpy as np

    return np.concatenate([data & 15, data >> 4], axis=1)


def _fifth_bits(words: Array) -> Array:
    """(blocks) of uint32 to (blocks, 32) of 0 or 16: bit j belongs to item j."""
    import numpy as np

    shifts = np.arange(32, dtype="u4")
    bits: Array = (words.astype("u4").reshape(-1, 1) >> shifts & 1) << 4
    return bits.astype("u1")
