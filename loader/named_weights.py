"""The tensors of a Llama model by the names of run.c, whatever file they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loader.blocks import read_blocks
from loader.errors import LoaderError
from loader.extension import MATRIX_CLASSES, Extension
from loader.kinds import ByteOrder, Format
from loader.layout import LAYERED, NORMS, Config, Key, Tensor, keys, shape_of
from loader.model import Model
from loader.planes import join
from loader.printable import printable
from loader.source import Source
from loader.tensor_types import F32, TensorType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Origin:
    """A tensor in a file. `read` makes blocks (rows, blocks in a row) in the byte order of the weights."""

    name: str
    type: TensorType
    read: Callable[[], Array]


@dataclass(frozen=True)
class Weights:
    """A Llama model. `config` has neither types nor groups: those belong to the file it goes to."""

    path: Path
    byte_order: ByteOrder
    config: Config
    extension: Extension
    origins: dict[Key, Origin]
    sources: tuple[Source, ...]

    def floats(self, name: str, layer: int = 0) -> Array:
        """A tensor as float32 (rows, items)."""
        import numpy as np

        origin = self.origins[name, layer]
        blocks = origin.read()
        assert origin.type.dequantise is not None
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged file's values may be anything
            return origin.type.dequantise(blocks.reshape(-1)).reshape(blocks.shape[0], -1)

    def types(self, name: str) -> set[TensorType]:
        """The types that a tensor has in the layers."""
        return {self.origins[key].type for key in keys(self.config) if key[0] == name}


def check_shape(path: Path, config: Config, key: Key, name: str, shape: Sequence[int]) -> None:
    """Raises LoaderError unless the tensor that the file calls `name` has the shape of its dimensions."""
    expected = shape_of(config, key[0])
    if tuple(shape) != expected:
        raise LoaderError(
            f"{path}: {printable(name)} is {_product(shape)}, expected {_product(expected)}",
            "the file's dimensions and its tensors do not belong together",
        )


def weights_of(model: Model) -> Weights:
    """The tensors of a checkpoint of any version. Those of version 2 come dequantised."""
    config = Config(**{**vars(model.config), "types": None, "group_size": None})
    origins = {key: _origin(model, key) for key in keys(config)}
    return Weights(model.path, model.byte_order, config, model.extension, origins, (model.source,))


def _origin(model: Model, key: Key) -> Origin:
    name, layer = key
    part = f"{name}.{layer}" if name in LAYERED and name not in NORMS else name
    if model.format is Format.V2 and name not in NORMS:
        return Origin(part, F32, partial(_grouped, model, part))
    if model.config.types is not None and name not in NORMS:
        type = model.config.types[MATRIX_CLASSES.index(name)]
        return Origin(part, type, partial(_joined, model, part, type, shape_of(model.config, name)[-1]))
    whole = model.tensor(name)
    shape = shape_of(model.config, name)
    nbytes = F32.nbytes(prod(shape))
    row = Tensor(part, (prod(shape[:-1]), shape[-1]), F32, whole.offset + layer * nbytes, nbytes)
    return Origin(part, F32, partial(read_blocks, model.source, row, model.byte_order))


def _grouped(model: Model, part: str) -> Array:
    import numpy as np

    values, scales = model.array(part), model.array(f"{part}.scales").astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged file's scales may be anything
        floats = values.reshape(len(scales), -1).astype(np.float32) * scales[:, None]
    return floats.reshape(values.shape).astype(F32.numpy(model.byte_order))


def _joined(model: Model, part: str, type: TensorType, items: int) -> Array:
    planes = [model.array(f"{part}{plane.suffix}") for plane in type.parts]
    return join(planes, type, items // type.block_items, model.byte_order)


def _product(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
