"""A GGUF file or a Hugging Face folder as a model of the console, made in memory when it is opened."""

from __future__ import annotations

from pathlib import Path

import loader
from loader.beginnings import FOLDER_CONFIG, is_gguf, is_safetensors
from loader.foreign import HEAD_BYTES
from loader.source import Source
from xenon.errors import XenonError
from xenon.hardware.memory_map import RAM_BYTES, in_units
from xenon.notes import note
from xenon.stories.fitting import context_that_fits

DEFAULT_CONTEXT = 2048


def is_made(path: Path) -> bool:
    """Whether a model of the console has to be made of what is there. Raises loader.LoaderError."""
    if path.is_dir():
        return (path / FOLDER_CONFIG).is_file()
    source = Source(path)
    head = source.read(0, HEAD_BYTES)
    source.close()
    return is_gguf(head) or (is_safetensors(head) and (path.parent / FOLDER_CONFIG).is_file())


def made_model(path: Path, context: int | None = None) -> loader.Model:
    """The console's file of a model, its blocks as they are, with keys and values for `context` positions.

    By default those are DEFAULT_CONTEXT, or as many as the model has or as fit. Raises loader.LoaderError,
    XenonError for a file that the console's memory could not hold.
    """
    opened = loader.open_any(path)
    if isinstance(opened, (loader.Model, loader.Tokenizer)):
        return loader.open(path)
    weights = loader.weights(opened)
    plan = _plan(weights, context or DEFAULT_CONTEXT)
    if plan.image.size > RAM_BYTES:
        raise XenonError(
            f"{path}: takes {in_units(plan.image.size)} as it is, and the console has {in_units(RAM_BYTES)}",
            "quantise it when you convert it",
        )
    fits = context_that_fits(weights.config, plan.image.size)
    if context is None and 0 < fits < DEFAULT_CONTEXT:
        plan = _plan(weights, fits)
    model = loader.HeldModel(plan, opened)
    note(
        f"{path} is made into the console's file in memory, with a context of {model.config.seq_len}; "
        "what is converted before starts sooner"
    )
    return model


def _plan(weights: loader.Weights, context: int) -> loader.Conversion:
    recipe = loader.Recipe(loader.Format.CONSOLE, context=min(context, weights.config.seq_len))
    return loader.plan_checkpoint(weights, loader.ByteOrder.BIG, recipe)
