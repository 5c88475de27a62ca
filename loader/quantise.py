"""Makes blocks of float32 rows: int8 groups as llama2.c's `export.py` does, ggml's types as ggml does.

Source: llama2.c `export.py` (`quantize_q80`); ggml `ggml-quants.c` (`quantize_row_q8_0_ref`, `_q4_1_ref`).
Rounding is that of the source: half to even for int8, half away from zero for Q8_0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loader.kinds import ByteOrder
from loader.tensor_types import BF16, F16, F32, Q4_1, Q8_0, TensorType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

INT8_MAX = 127.0


def int8_groups(values: Array, group: int) -> tuple[Array, Array]:
    """int8 values of the shape of `values`, and a float32 scale for each `group` of them.

    A group of zeros has scale 0. `group` divides the size of `values`.
    """
    import numpy as np

    groups = values.reshape(-1, group)
    scales = np.abs(groups).max(axis=1) / np.float32(INT8_MAX)
    scaled = groups / np.where(scales == 0, np.float32(1), scales)[:, None]
    whole = np.rint(scaled).clip(-INT8_MAX, INT8_MAX)  # a scale next to zero has hardly any digits
    return whole.astype(np.int8).reshape(values.shape), scales


def _f32(values: Array, order: ByteOrder) -> Array:
    return values.astype(F32.numpy(order))


def _f16(values: Array, order: ByteOrder) -> Array:
    import numpy as np

    with np.errstate(over="ignore"):
        return values.astype(F16.numpy(order))


def _bf16(values: Array, order: ByteOrder) -> Array:
    """Half to even; NaNs stay NaNs."""
    import numpy as np

    bits = values.view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))) >> np.uint32(16)
    quiet = bits >> np.uint32(16) | np.uint32(64)
    return np.where(np.isnan(values), quiet, rounded).astype(BF16.numpy(order))


def _q8_0(values: Array, order: ByteOrder) -> Array:
    import numpy as np

    groups = values.reshape(-1, 32)
    scales = np.abs(groups).max(axis=1, keepdims=True) / np.float32(127)
    scaled = groups * _inverse(scales)
    blocks = np.empty(len(groups), Q8_0.numpy(order))
    blocks["f0"] = scales[:, 0]
    blocks["f1"] = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
    return blocks


def _q4_1(values: Array, order: ByteOrder) -> Array:
    import numpy as np

    groups = values.reshape(-1, 32)
    least = groups.min(axis=1, keepdims=True)
    scales = (groups.max(axis=1, keepdims=True) - least) / np.float32(15)
    q = ((groups - least) * _inverse(scales) + np.float32(0.5)).astype(np.uint8).clip(0, 15)
    blocks = np.empty(len(groups), Q4_1.numpy(order))
    blocks["f0"], blocks["f1"] = scales[:, 0], least[:, 0]
    blocks["f2"] = q[:, :16] | q[:, 16:] << np.uint8(4)
    return blocks


def _inverse(scales: Array) -> Array:
    """1 / scale; 0 for a scale so small that half precision makes 0 of it anyway."""
    import numpy as np

    small = scales < np.finfo(np.float32).tiny
    return np.where(small, np.float32(0), np.float32(1) / np.where(small, np.float32(1), scales))


QUANTISERS: dict[TensorType, Callable[[Array, ByteOrder], Array]] = {
    F32: _f32,
    F16: _f16,
    BF16: _bf16,
    Q8_0: _q8_0,
    Q4_1: _q4_1,
}
"""What makes blocks of a type, in a byte order, of whole blocks of float32 items."""
