"""Exports a model to GGUF or to a folder as the Hugging Face hub has it."""

from __future__ import annotations

from pathlib import Path

from loader.beginnings import FOLDER_CONFIG
from loader.conversion import Conversion, FileKind
from loader.errors import LoaderError
from loader.gguf.file import Gguf
from loader.gguf.writer import gguf_image
from loader.kinds import ByteOrder
from loader.safetensors.file import TYPES
from loader.safetensors.folder import SINGLE
from loader.safetensors.writer import config_image, safetensors_image
from loader.search import Openable, weights
from loader.tensor_types import TensorType


def plan_gguf(
    source: Openable, target: Path, byte_order: ByteOrder, type: TensorType | None = None
) -> Conversion:
    """What exporting a model to the GGUF file `target` would write; touches no file.

    Matrices become `type`, or keep theirs. Raises LoaderError for what is no Llama model.
    """
    tensors = weights(source)
    image, maker = gguf_image(tensors, byte_order, type, source if isinstance(source, Gguf) else None)
    return Conversion(tensors, target, FileKind.GGUF, byte_order, image, maker=maker)


def plan_folder(source: Openable, target: Path, type: TensorType | None = None) -> list[Conversion]:
    """What exporting a model to the folder `target` would write: a safetensors file and config.json.

    Tensors become `type`, or keep theirs; quantised ones become F32. Raises LoaderError for another type than
    safetensors have, and for what is no Llama model.
    """
    if type is not None and type not in TYPES.values():
        raise LoaderError(f"{target}: safetensors have no {type}", f"they have {', '.join(TYPES).lower()}")
    tensors = weights(source)
    image, maker = safetensors_image(tensors, type)
    return [
        Conversion(tensors, target / SINGLE, FileKind.SAFETENSORS, ByteOrder.LITTLE, image, maker=maker),
        Conversion(tensors, target / FOLDER_CONFIG, FileKind.CONFIG, ByteOrder.LITTLE, config_image(tensors)),
    ]
