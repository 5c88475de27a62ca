"""The blocks of a tensor as the planes of a console's file, and back, bit by bit."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from loader.kinds import ByteOrder
from loader.layout import ROW_ALIGNMENT, aligned
from loader.tensor_types import Plane, TensorType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def split(blocks: Array, type: TensorType) -> list[bytes]:
    """The bytes of each plane of blocks (rows, blocks in a row), in the byte order of the blocks."""
    return [_plane(blocks, plane) for plane in type.parts]


def join(planes: list[Array], type: TensorType, row_blocks: int, order: ByteOrder) -> Array:
    """Blocks (rows, row_blocks) of planes as `read_blocks` reads them, in the byte order of the planes."""
    import numpy as np

    rows = len(planes[0])
    blocks = np.empty((rows, row_blocks), type.numpy(order))
    for plane, data in zip(type.parts, planes, strict=True):
        if not plane.fields:
            return data[:, :row_blocks]
        width = len(plane.fields)
        for index, field in enumerate(plane.fields):
            numbers = data.reshape(rows, -1)[:, index::width]
            shape = blocks[field].shape
            blocks[field] = numbers[:, : prod(shape[1:])].reshape(shape)
    return blocks


def _plane(blocks: Array, plane: Plane) -> bytes:
    """The fields of a plane behind one another in each block, rows filled up with zeros."""
    import numpy as np

    rows, row_blocks = blocks.shape[:2]
    columns = [blocks[field] for field in plane.fields] or [blocks]
    width = row_blocks * plane.type.nbytes(plane.items)
    filled = aligned(width, ROW_ALIGNMENT)
    if len(columns) == 1 and filled == width:
        return columns[0].tobytes()
    out = np.zeros((rows, filled), np.uint8)
    items = out[:, :width].view(columns[0].dtype.base)
    for index, column in enumerate(columns):
        items[:, index :: len(columns)] = column.reshape(rows, -1)
    return out.tobytes()
