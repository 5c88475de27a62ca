"""Blocks of one type as blocks of another that holds every value of it: nothing is rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loader.kinds import ByteOrder
from loader.tensor_types import BF16, F16, F32, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, TensorType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

Widening = Callable[["Array", ByteOrder], "Array"]


def widening(source: TensorType, target: TensorType) -> Widening | None:
    """What makes blocks of `target` of blocks of `source`, in one byte order; None if that would round."""
    return _WIDENINGS.get((source, target))


def widest(types: set[TensorType]) -> TensorType | None:
    """The type of a set that holds all others of it; None if there is none."""
    for type in types:
        if all(other is type or (other, type) in _WIDENINGS for other in types):
            return type
    return None


def _floats(type: TensorType) -> Widening:
    def widen(blocks: Array, order: ByteOrder) -> Array:
        assert type.dequantise is not None
        return type.dequantise(blocks).astype(F32.numpy(order))

    return widen


def _nibbles(data: Array) -> Array:
    import numpy as np

    return np.concatenate([data & 15, data >> 4], axis=1)


def _q4_0_as_q5_0(blocks: Array, order: ByteOrder) -> Array:
    """q - 8 of 4 bits is q + 8 - 16 of 5 bits: the fifth bit is set from 8 on."""
    import numpy as np

    q = _nibbles(blocks["f1"]) + np.uint8(8)
    wide = np.empty(len(blocks), Q5_0.numpy(order))
    wide["f0"] = blocks["f0"]
    wide["f1"] = (q.astype("u4") >> 4 << np.arange(32, dtype="u4")).sum(axis=1, dtype="u4")
    low = q & 15
    wide["f2"] = low[:, :16] | low[:, 16:] << np.uint8(4)
    return wide


def _q4_0_as_q8_0(blocks: Array, order: ByteOrder) -> Array:
    import numpy as np

    wide = np.empty(len(blocks), Q8_0.numpy(order))
    wide["f0"], wide["f1"] = blocks["f0"], _nibbles(blocks["f1"]).astype("i1") - 8
    return wide


def _q5_0_as_q8_0(blocks: Array, order: ByteOrder) -> Array:
    import numpy as np

    fifth = blocks["f1"].astype("u4")[:, None] >> np.arange(32, dtype="u4") & 1
    wide = np.empty(len(blocks), Q8_0.numpy(order))
    wide["f0"] = blocks["f0"]
    wide["f1"] = (_nibbles(blocks["f2"]) | fifth.astype("u1") << np.uint8(4)).astype("i1") - 16
    return wide


def _q4_1_as_q5_1(blocks: Array, order: ByteOrder) -> Array:
    import numpy as np

    wide = np.zeros(len(blocks), Q5_1.numpy(order))
    wide["f0"], wide["f1"], wide["f3"] = blocks["f0"], blocks["f1"], blocks["f2"]
    return wide


_WIDENINGS: dict[tuple[TensorType, TensorType], Widening] = {
    (F16, F32): _floats(F16),
    (BF16, F32): _floats(BF16),
    (Q4_0, Q5_0): _q4_0_as_q5_0,
    (Q4_0, Q8_0): _q4_0_as_q8_0,
    (Q5_0, Q8_0): _q5_0_as_q8_0,
    (Q4_1, Q5_1): _q4_1_as_q5_1,
}
