"""Reads a tensor from a file as an array of its blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loader.kinds import ByteOrder
from loader.layout import Tensor
from loader.source import Source

if TYPE_CHECKING:
    import numpy as np


def read_blocks(source: Source, tensor: Tensor, order: ByteOrder) -> np.ndarray[Any, np.dtype[Any]]:
    """A tensor read from the file, in the file's byte order, not to be written. Where a block has several
    items, an element of the array is a block.

    It is a copy: a mapped file that becomes shorter would end the process. Raises LoaderError then.
    """
    import numpy as np

    *rows, items = tensor.shape
    shape = (*rows, items // tensor.type.block_items)
    array = np.empty(shape, tensor.type.numpy(order))
    source.read_into(tensor.offset, array.reshape(-1).view(np.uint8).reshape(-1).data)
    array.flags.writeable = False
    return array
