"""The guest that tells stories: its program, its command line, and the files that it takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import llama2c
import loader
from llama2c.facts import FIGURES_DESCRIPTOR
from loader.errors import LoaderCode
from loader.tensor_types import F32
from xenon.errors import XenonError
from xenon.hardware.memory_map import KIB, MIB, in_units
from xenon.notes import note
from xenon.stories.engine import Decision
from xenon.stories.made_model import is_made, made_model
from xenon.stories.settings import Engine, Matmul, Sampling

MODEL_PATH, TOKENIZER_PATH, PROMPT_PATH = "/model.bin", "/tokenizer.bin", "/prompt"  # on the console's disc
TOKENS_PATH = "/tokens"
MOST_PROMPT_ARGUMENT = 16 * KIB  # bytes of a prompt on the command line; a longer one is a file
STACK_BYTES = 1 * MIB


def guest_program() -> Path:
    """The guest's ELF file. Raises XenonError where it has not been built."""
    return _built(llama2c.guest_program)


def xell_program() -> Path:
    """The ELF file of the guest that starts on bare metal. Raises XenonError as guest_program does."""
    return _built(llama2c.xell_program)


def _built(program: Callable[[], Path]) -> Path:
    try:
        return program()
    except FileNotFoundError as error:
        path, what, hint = str(error).split(": ", 2)
        raise XenonError(f"{path}: {what}", hint) from error


def guest_arguments(prompt: bytes, sampling: Sampling, decision: Decision) -> list[str | bytes]:
    """The guest's command line in the console; `sampling` has a seed and a number of steps."""
    paths = MODEL_PATH, TOKENIZER_PATH
    arguments = story_arguments(paths, prompt, sampling, decision.matmul, decision.context)
    if is_prompt_file(prompt):
        place = arguments.index("-i")
        arguments[place : place + 2] = ["-f", PROMPT_PATH]
    return [*arguments, "-r", str(FIGURES_DESCRIPTOR), *number_arguments(decision)]


def conversation_arguments(decision: Decision) -> list[str]:
    """The guest's command line for a conversation in the console."""
    words = [MODEL_PATH, "-d", "-z", TOKENIZER_PATH, "-k", decision.matmul.value, "-c", str(decision.context)]
    return [*words, *number_arguments(decision)]


def number_arguments(decision: Decision) -> list[str]:
    """The part of the guest's command line that says which numbers are kept and who computes with them."""
    words = ["-v", decision.kv.value, "-q", decision.activations.value]
    return [*words, *(["-g"] if decision.engine is Engine.GPU else [])]


def is_prompt_file(prompt: bytes) -> bool:
    """Whether the guest gets the prompt as a file: a command line has no room for it."""
    return len(prompt) > MOST_PROMPT_ARGUMENT


def story_arguments(
    paths: tuple[str, str], prompt: bytes, sampling: Sampling, matmul: Matmul, context: int
) -> list[str | bytes]:
    """The command line of a program built from the guest's sources; `paths` are the model's and its
    tokenizer's."""
    model, tokenizer = paths
    return [
        *(model, "-z", tokenizer, "-i", prompt),
        *("-t", _decimal(sampling.temperature), "-p", _decimal(sampling.top_p)),
        *("-s", str(sampling.seed), "-n", str(sampling.steps), "-k", matmul.value, "-c", str(context)),
        *(["-m", _decimal(sampling.min_p)] if sampling.min_p else []),
        *(["-a", _decimal(sampling.repeat_penalty)] if sampling.repeat_penalty != 1 else []),
        *(word for text in sampling.stop for word in ("-b", text.encode("utf-8", "surrogateescape"))),
        *(["-e"] if sampling.ignore_eos else []),
        *(["-x"] if sampling.special else []),
    ]


def open_model(
    model: str | os.PathLike[str] | loader.Model | None, context: int | None = None
) -> loader.Model:
    """The model (None: the bundled one), by its path or the name of one that was pulled.

    A GGUF file or Hugging Face folder becomes one in memory, with a note, for `context` positions. Raises
    loader.LoaderError, XenonError for a name that stands for nothing.
    """
    if isinstance(model, loader.Model):
        return model
    path = llama2c.bundled_model() if model is None else _model_path(model)
    return made_model(path, context) if is_made(path) else loader.open(path)


def _model_path(model: str | os.PathLike[str]) -> Path:
    from xenon.models.find import model_path  # a story of the bundled model needs no catalogue

    return model_path(model)


def open_tokenizer(
    model: loader.Model, tokenizer: str | os.PathLike[str] | loader.Tokenizer | None
) -> loader.Tokenizer:
    """The tokenizer of a model (None: the one in its GGUF file or Hugging Face folder, or the one beside the
    model that fits).

    Raises loader.LoaderError for none that fits.
    """
    if tokenizer is None:
        own = loader.own_tokenizer(model.origin) if model.origin is not None else None
        if own is None:
            return loader.find_tokenizer(model)
        tokenizer = own
    if not isinstance(tokenizer, loader.Tokenizer):
        from xenon.models.find import tokenizer_path

        tokenizer = loader.open_tokenizer(tokenizer_path(tokenizer))
    loader.check_vocabulary(model, tokenizer)
    return tokenizer


def tokenizer_to_count(
    model: loader.Model, tokenizer: str | os.PathLike[str] | loader.Tokenizer | None
) -> loader.Tokenizer:
    """The tokenizer of a model, as open_tokenizer has it; for a budget, one of the usual size, with a note,
    where none is named and none is found. Raises what open_tokenizer raises otherwise."""
    try:
        return open_tokenizer(model, tokenizer)
    except loader.LoaderError as error:
        if tokenizer is not None or error.code is not LoaderCode.NO_TOKENIZER:
            raise
    from loader.held import HeldSource
    from loader.pieces import PieceTokenizer
    from loader.synthetic import tokenizer_bytes

    data = tokenizer_bytes(model.config.vocab_size)
    note(f"no tokenizer found: one of {in_units(len(data))}, the usual size, is counted")
    return PieceTokenizer(HeldSource(Path("tokenizer"), bytearray(data)), data, loader.ByteOrder.BIG)


def matrix_types(model: loader.Model) -> dict[str, int]:
    """The tensor types of a model's matrices, by their names in the guest: planes of each."""
    if model.format is loader.Format.V2:
        return {"int8": 2}
    types = model.config.types
    if types is None:
        return {"fp32": 1}
    used = types[:-1] if model.config.shared_classifier else types
    return {"fp32" if type is F32 else type.label: len(type.parts) for type in used}


def guest_error(messages: bytes) -> str:
    """The guest's own last words: its error line, or all it said."""
    text = messages.decode("utf-8", "replace").strip()
    line = next((line for line in text.splitlines() if line.startswith("error: ")), text)
    return line.removeprefix("error: ") or "the guest program ended without a word"


def _decimal(value: float) -> str:
    """The shortest text that gives the same float back, in the notation the guest reads."""
    return repr(float(value))
