"""Converts a model or a tokenizer: to a byte order, a v0 model to v1, and any Llama model to a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from loader.c64_weights import C64Model
from loader.checkpoints import Recipe, image_of
from loader.errors import LoaderCode, LoaderError
from loader.gguf.file import Gguf
from loader.image import Image
from loader.kinds import ByteOrder, Format
from loader.layout import ALIGNMENT_WANTED, tensors
from loader.making import Maker
from loader.model import Model
from loader.named_weights import Weights
from loader.output import Progress, check_target, write_images
from loader.safetensors.folder import HuggingFaceFolder
from loader.search import open_any
from loader.tokens import Tokenizer


class FileKind(Enum):
    """What a file is."""

    MODEL = "model"
    TOKENIZER = "tokenizer"
    GGUF = "gguf"
    SAFETENSORS = "safetensors"
    CONFIG = "config"
    C64_WEIGHTS = "C64 weights"
    C64_CONFIG = "C64 config"
    C64_TOKENIZER = "C64 tokenizer"


@dataclass(frozen=True)
class Conversion:
    """One file to be written: what it is made from, where it goes, and the bytes it will have."""

    source: Model | Tokenizer | Gguf | HuggingFaceFolder | Weights
    target: Path
    kind: FileKind
    byte_order: ByteOrder
    image: Image
    format: Format | None = None
    """None but for a checkpoint."""
    aligned: bool | None = None
    """Whether every tensor of a checkpoint starts at a multiple of 128 bytes."""
    maker: Maker | None = None
    """What rounding changed, once the file is written; None if nothing is made."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that it is made from."""
        if isinstance(self.source, Weights):
            return tuple(source.path for source in self.source.sources)
        return (self.source.path,)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; bytes of names that are no UTF-8 become replacement characters."""
        deviations = self.maker.deviations if self.maker else {}
        rounded = {name: vars(deviation) for name, deviation in deviations.items()}
        return {
            "source": _printable(self.source.path),
            "target": _printable(self.target),
            "kind": self.kind.value,
            "format": None if self.format is None else str(self.format),
            "byte_order": self.byte_order.value,
            "size": self.image.size,
            "tensors_128_byte_aligned": self.aligned,
            **({"rounding": rounded} if rounded else {}),
        }


def plan(
    source: Model | Tokenizer | Gguf | HuggingFaceFolder,
    byte_order: ByteOrder,
    format: Format | None = None,
    target: Path | None = None,
) -> Conversion:
    """What converting `source` would write, by default beside it; touches no file.

    A `target` that is a folder takes the file under its default name.

    Raises LoaderError if the source is already what is asked for, or cannot become it.
    """
    foreign = isinstance(source, C64Model) or (isinstance(source, Tokenizer) and not source.converted)
    path = _target(_checkpoint_path(source.path) if foreign else source.path, byte_order, target)
    lifts = isinstance(source, Model) and format not in (None, source.format)
    if not isinstance(source, Model) and format is not None:
        what = "a tokenizer" if isinstance(source, Tokenizer) else "a GGUF file"
        raise LoaderError(
            f"{source.path}: is {what}, which has no version", "leave the format out", LoaderCode.NO_VERSION
        )
    if source.byte_order is byte_order and not lifts and not foreign:
        other = ByteOrder.LITTLE if byte_order is ByteOrder.BIG else ByteOrder.BIG
        raise LoaderError(
            f"{source.path}: already {byte_order}",
            "nothing to do",
            LoaderCode.ALREADY_CONVERTED,
            other=other.value,
        )
    if isinstance(source, Model):
        image = source.image(byte_order, format)
        written = format or source.format
        rows = tensors(source.config, written)
        aligned = all(tensor.alignment >= ALIGNMENT_WANTED for tensor in rows)
        return Conversion(source, path, FileKind.MODEL, byte_order, image, written, aligned)
    kind = FileKind.TOKENIZER if isinstance(source, Tokenizer) else FileKind.GGUF
    return Conversion(source, path, kind, byte_order, source.image(byte_order))


def plan_checkpoint(
    weights: Weights, byte_order: ByteOrder, recipe: Recipe, target: Path | None = None
) -> Conversion:
    """What making a checkpoint of a model would write, by default beside it, with the suffix `.bin`.

    Raises LoaderError for a recipe that does not fit the model.
    """
    path = _target(named(weights, ".bin"), byte_order, target)
    image, config, maker = image_of(weights, byte_order, recipe)
    rows = tensors(config, recipe.format)
    aligned = all(tensor.alignment >= ALIGNMENT_WANTED for tensor in rows)
    return Conversion(weights, path, FileKind.MODEL, byte_order, image, recipe.format, aligned, maker)


def named(weights: Weights, suffix: str) -> Path:
    """The path of a model with another suffix; a folder's is a file beside it."""
    path = weights.path.resolve() if weights.path.is_dir() else weights.path
    return path.with_name(f"{path.name if path.is_dir() else path.stem}{suffix}")


def _checkpoint_path(path: Path) -> Path:
    """`tokenizer.json` becomes `tokenizer.bin`, `weights.reu` `weights.bin`; `m.gguf`, which holds a model
    too, `m.tokenizer.bin`."""
    return path.with_suffix(".tokenizer.bin" if path.suffix == ".gguf" else ".bin")


def _target(default: Path, byte_order: ByteOrder, target: Path | None) -> Path:
    path = default_target(default, byte_order)
    if target is None:
        return path
    return target / path.name if _is_folder(target) else target


def _printable(path: Path) -> str:
    return os.fsencode(path).decode(errors="replace")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # such as a name too long: `check` will say so
        return False


def default_target(path: Path, byte_order: ByteOrder) -> Path:
    """`stories15M.bin` becomes `stories15M.be.bin`, and that becomes `stories15M.le.bin`."""
    stem, suffix = path.stem, path.suffix
    for order in ByteOrder:
        stem = stem.removesuffix(f".{order.short}")
    return path.with_name(f"{stem}.{byte_order.short}{suffix}")


def check(conversions: Sequence[Conversion], force: bool = False) -> None:
    """Raises LoaderError if any output may not be written where it is to go."""
    inputs = [path for conversion in conversions for path in conversion.inputs]
    for number, conversion in enumerate(conversions):
        check_target(conversion.target, inputs, force)
        if any(conversion.target.absolute() == before.target.absolute() for before in conversions[:number]):
            raise LoaderError(
                f"{conversion.target}: both outputs would have this name", "convert one at a time"
            )


def write(conversions: Sequence[Conversion], force: bool = False, progress: Progress | None = None) -> None:
    """Write all outputs, or none of them if any cannot be written (LoaderError) or Ctrl-C is pressed."""
    check(conversions, force)
    write_images([(conversion.image, conversion.target) for conversion in conversions], force, progress)


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None,
    byte_order: ByteOrder,
    format: Format | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Convert the model or tokenizer `source` to the file `target` (None: beside it, see `default_target`).

    Streams, whatever the size of the file; `target` appears whole or not at all, and is never the source.
    `progress` is called with the bytes done and the bytes in all. Raises LoaderError if the input is no model
    or tokenizer, is already in `byte_order`, or cannot be written.
    """
    opened = open_any(source)
    conversion = plan(opened, byte_order, format, None if target is None else Path(target))
    write([conversion], force, progress)
    return conversion
