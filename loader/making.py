"""Makes the tensors of an output one at a time, and keeps account of what rounding changes in each."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

from loader.errors import LoaderError
from loader.layout import Key
from loader.named_weights import Weights
from loader.quantise import QUANTISERS, int8_groups
from loader.tensor_types import TensorType
from loader.widening import widening

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_ITEMS_AT_A_TIME = 1 << 18


@dataclass(frozen=True)
class Deviation:
    """What rounding changed in a tensor: the largest error by the largest value, rms error by rms value."""

    max_relative: float
    rms_relative: float


class _Sums:
    """Adds up the deviation of a tensor, part by part."""

    def __init__(self) -> None:
        self._largest = self._largest_error = self._squares = self._squared_errors = 0.0

    def add(self, before: Array, after: Array) -> None:
        import numpy as np

        error = np.abs(after - before)
        self._largest = max(self._largest, float(np.abs(before).max()))
        self._largest_error = max(self._largest_error, float(error.max()))
        self._squares += float(np.square(before, dtype=np.float64).sum())
        self._squared_errors += float(np.square(error, dtype=np.float64).sum())

    @property
    def deviation(self) -> Deviation:
        if not self._largest:
            return Deviation(self._largest_error, 0.0)
        return Deviation(
            self._largest_error / self._largest, sqrt(self._squared_errors / (self._squares or 1.0))
        )


class Maker:
    """The tensors of `weights` in other types. `deviations` has what was rounded, by the source's name."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.deviations: dict[str, Deviation] = {}

    def blocks(self, key: Key, type: TensorType) -> Array:
        """Blocks (rows, blocks in a row) of `type`, in the byte order of the weights.

        Raises LoaderError for values that the type cannot hold, and for files that cannot be read.
        """
        origin = self.weights.origins[key]
        blocks = origin.read()
        order = self.weights.byte_order
        if origin.type is type:
            return blocks
        widen = widening(origin.type, type)
        if widen is not None:
            return widen(blocks.reshape(-1), order).reshape(len(blocks), -1)
        return self._rounded(key, blocks, type)

    def tensor_bytes(self, key: Key, type: TensorType) -> bytes:
        """The bytes of a tensor's blocks, in the byte order of the weights."""
        return self.blocks(key, type).tobytes()

    def holds(self, key: Key, type: TensorType) -> bool:
        """Whether a type holds every value of a tensor, of which none is NaN."""
        import numpy as np

        assert type.dequantise is not None
        before = self.weights.floats(*key)
        after = type.dequantise(QUANTISERS[type](before.reshape(-1), self.weights.byte_order))
        return bool(np.array_equal(after, before.reshape(-1)))

    def check_rows(self, type: TensorType) -> None:
        """Raises LoaderError unless the rows of the matrices are whole blocks of a type."""
        for dimension in ("dim", "hidden_dim"):
            value = getattr(self.weights.config, dimension)
            if value % type.block_items:
                raise LoaderError(
                    f"{self.weights.path}: {dimension} {value}, expected a multiple of {type.block_items} for"
                    f" {type}",
                    "f16, bf16 and f32 take any",
                )

    def int8(self, key: Key, group: int) -> tuple[Array, Array]:
        """int8 values (rows, items), and the float32 scales of their groups, native."""
        import numpy as np

        origin = self.weights.origins[key]
        blocks = origin.read()
        items = blocks.shape[1] * origin.type.block_items
        values = np.empty((len(blocks), items), np.int8)
        scales = np.empty((len(blocks), items // group), np.float32)
        sums = _Sums()
        for start, stop, floats in self._floats(key, blocks):
            part, factors = int8_groups(floats, group)
            values[start:stop], scales[start:stop] = part, factors.reshape(stop - start, -1)
            after = part.reshape(-1, group).astype(np.float32) * factors[:, None]
            sums.add(floats, after.reshape(floats.shape))
        self.deviations[origin.name] = sums.deviation
        return values, scales

    def _rounded(self, key: Key, blocks: Array, type: TensorType) -> Array:
        import numpy as np

        origin, order = self.weights.origins[key], self.weights.byte_order
        assert type.dequantise is not None
        width = blocks.shape[1] * origin.type.block_items // type.block_items
        made = np.empty((len(blocks), width), type.numpy(order))
        sums = _Sums()
        for start, stop, floats in self._floats(key, blocks):
            with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at
                part = QUANTISERS[type](floats.reshape(-1), order)
                after = type.dequantise(part).reshape(floats.shape)
            if not np.isfinite(after).all():
                raise self._too_large(key, type)
            sums.add(floats, after)
            made[start:stop] = part.reshape(stop - start, width)
        self.deviations[origin.name] = sums.deviation
        return made

    def _floats(self, key: Key, blocks: Array) -> Any:
        """(first row, row behind the last, float32 rows) of a few rows at a time."""
        import numpy as np

        origin = self.weights.origins[key]
        assert origin.type.dequantise is not None
        items = prod(blocks.shape[1:]) * origin.type.block_items
        rows = max(1, _ITEMS_AT_A_TIME // items)
        for start in range(0, len(blocks), rows):
            part = blocks[start : start + rows]
            with np.errstate(over="ignore", invalid="ignore"):
                floats = origin.type.dequantise(part.reshape(-1)).reshape(len(part), -1)
            if not np.isfinite(floats).all():
                raise LoaderError(
                    f"{self.weights.path}: {origin.name} holds values that are not finite, which cannot be"
                    " quantised",
                    "the file is damaged, or training failed",
                )
            yield start, start + len(part), floats

    def _too_large(self, key: Key, type: TensorType) -> LoaderError:
        name = self.weights.origins[key].name
        return LoaderError(f"{self.weights.path}: {name} holds values too large for {type}", "take bf16")
