"""Finds what belongs together: the tokenizer of a model, and which of the two a file is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from loader.beginnings import FOLDER_CONFIG, is_c64_weights, is_gguf, is_safetensors
from loader.errors import LoaderCode, LoaderError
from loader.foreign import HEAD_BYTES
from loader.header import VERSIONED_HEADER, read_header
from loader.model import Model, is_model, model_from
from loader.source import Source
from loader.tokenizer import is_tokenizer, looks_like_tokenizer, tokenizer_from
from loader.tokens import Tokenizer
from xenon.host.files import reason

if TYPE_CHECKING:
    from loader.gguf.file import Gguf
    from loader.named_weights import Weights
    from loader.safetensors.folder import HuggingFaceFolder

MOST_NAMED = 20  # files that a message names one by one
_NAME_IT = "name the model's tokenizer"


Openable: TypeAlias = "Model | Tokenizer | Gguf | HuggingFaceFolder"


def open_any(path: str | os.PathLike[str]) -> Openable:
    """Open a model, a tokenizer, a GGUF file, or a folder as the Hugging Face hub has it.

    Model and tokenizer are told apart by which of the two the whole file is; a model if it is both. One of a
    folder's safetensors files stands for the folder.

    Raises LoaderError as the two openers do: as that of the two which a damaged file begins like.
    """
    if (Path(path) / FOLDER_CONFIG).is_file():
        return _open_folder(path)
    source = Source(path)
    head = source.read(0, HEAD_BYTES)
    if is_gguf(head):
        from loader.gguf.file import open_gguf

        return open_gguf(source)
    if is_c64_weights(head):
        return _open_c64_weights(source)
    if is_safetensors(head) and (Path(path).parent / FOLDER_CONFIG).is_file():
        source.close()
        return _open_folder(path)
    if is_model(source):
        return model_from(source)
    if is_tokenizer(source) or (not _begins_as_model(source) and looks_like_tokenizer(head)):
        return tokenizer_from(source)
    return model_from(source)  # whose messages also say what else a file may be


def open_model(path: str | os.PathLike[str]) -> Model:
    """Open a checkpoint, or a C64's weights.reu as the checkpoint that it was made of; raises LoaderError
    saying what the file is instead, or what is wrong with it."""
    source = Source(path)
    if is_c64_weights(source.read(0, HEAD_BYTES)):
        return _open_c64_weights(source)
    return model_from(source)


def _open_folder(path: str | os.PathLike[str]) -> HuggingFaceFolder:
    from loader.safetensors.folder import open_folder

    return open_folder(path)


def _open_c64_weights(source: Source) -> Model:
    from loader.c64_weights import open_c64_weights

    return open_c64_weights(source)


def weights(source: Openable) -> Weights:
    """The tensors of a Llama model by the names of run.c; raises LoaderError for what is no such model."""
    from loader.gguf.file import Gguf
    from loader.gguf.llama import llama_weights
    from loader.named_weights import weights_of
    from loader.safetensors.folder import HuggingFaceFolder

    if isinstance(source, Tokenizer):
        raise LoaderError(f"{source.path}: is a tokenizer, not a model", _NAME_IT)
    if isinstance(source, HuggingFaceFolder):
        return source.weights()
    return llama_weights(source) if isinstance(source, Gguf) else weights_of(source)


def check_vocabulary(model: Model, tokenizer: Tokenizer) -> None:
    """Raises LoaderError if the tokenizer has fewer pieces than the model's vocabulary.

    More are allowed, as in llama2.c, which reads as many as the model knows.
    """
    if len(tokenizer) < model.config.vocab_size:
        raise LoaderError(
            f"{tokenizer.path}: {len(tokenizer)} pieces, expected {model.config.vocab_size}"
            f" for the vocabulary of {model.path}",
            "give the tokenizer that the model was trained with",
        )


def find_tokenizer(model: Model) -> Tokenizer:
    """The tokenizer in the model's folder with as many pieces as the model's vocabulary.

    Of several, `tokenizer*.bin` comes before `tok<vocabulary>*.bin` before other names, then one in the byte
    order of the model, then the first by name. Raises LoaderError naming every file that was looked at, and
    why it does not fit.
    """
    folder = model.path.parent
    wanted = model.config.vocab_size
    fitting: list[Tokenizer] = []
    refused: list[str] = []
    for path in _candidates(folder, model.path):
        try:
            tokenizer = _only_tokenizer(path)
        except LoaderError as error:
            refused.append(error.message.removeprefix(f"{folder}{os.sep}"))
            continue
        if len(tokenizer) == wanted:
            fitting.append(tokenizer)
        else:
            refused.append(f"{path.name}: {len(tokenizer)} pieces")
    if fitting:
        return min(fitting, key=lambda tokenizer: _rank(tokenizer, model))
    looked_at = "; ".join(refused[:MOST_NAMED]) or "no file whose name ends in .bin"
    more = f"; and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
    raise LoaderError(
        f"{model.path}: no tokenizer with {wanted} pieces in {folder}: {looked_at}{more}",
        _NAME_IT,
        LoaderCode.NO_TOKENIZER,
    )


def _begins_as_model(source: Source) -> bool:
    try:
        return read_header(source.path, source.read(0, VERSIONED_HEADER)) is not None
    except LoaderError:  # a model with a mistake in its header
        return True


def _only_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer; a model, whole or damaged, is refused as one."""
    source = Source(path)
    if is_model(source) or (_begins_as_model(source) and not is_tokenizer(source)):
        source.close()
        raise LoaderError(f"{path}: is a model")
    return tokenizer_from(source)


def _candidates(folder: Path, model: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".bin") and not entry.is_dir()]
    except OSError as error:
        raise LoaderError(f"{folder}: {reason(error)}", _NAME_IT, LoaderCode.NO_TOKENIZER) from error
    return [folder / name for name in sorted(names) if name != model.name]


def _rank(tokenizer: Tokenizer, model: Model) -> tuple[int, bool, str]:
    name = tokenizer.path.name
    patterns = (r"tokenizer\b", rf"tok{model.config.vocab_size}\b", "tok")
    kind = next((place for place, pattern in enumerate(patterns) if re.match(pattern, name)), len(patterns))
    return kind, tokenizer.byte_order is not model.byte_order, name
