"""A model by what the user calls it: a path, or the name of a model that was pulled."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from xenon.errors import ErrorCode, XenonError
from xenon.models.catalogue import CATALOGUE, Entry, entry_named
from xenon.models.folder import ModelFolder, PulledModel


def model_path(path: str | os.PathLike[str]) -> Path:
    """The path itself, or where a pulled model of this name lies; a file of that name comes first.

    Raises XenonError for a name of the catalogue that is not pulled, and for a word that is neither a file
    nor a name.
    """
    model = _pulled(path)
    return Path(path) if model is None else model.model


def tokenizer_path(path: str | os.PathLike[str]) -> Path:
    """The same for the tokenizer of a pulled model. Raises what `model_path` raises."""
    model = _pulled(path)
    return Path(path) if model is None else model.tokenizer


def _pulled(path: str | os.PathLike[str]) -> PulledModel | None:
    """The pulled model of this name; None for a path. Raises what `model_path` raises."""
    name = os.fsdecode(path)
    if os.path.lexists(name) or os.sep in name or not name:
        return None
    entry = entry_named(name)
    if entry is not None:
        model = ModelFolder().get(entry.name)
        if model is None:
            raise XenonError(
                f"{entry.name}: is not on this computer yet", "", ErrorCode.NOT_PULLED, name=entry.name
            )
        return model
    if "." in name:  # a file's name: its opener says what is wrong
        return None
    raise _unknown(f"{name}: no such file or directory, and no model of this name", _likely(name))


def known_entry(name: str) -> Entry:
    """The entry of this name. Raises XenonError, with the likeliest name."""
    entry = entry_named(name)
    if entry is None:
        raise _unknown(f"no model {name!r} is known", _likely(name))
    return entry


def _likely(name: str) -> str:
    names = {entry.name.casefold(): entry.name for entry in CATALOGUE}
    return next((names[likely] for likely in get_close_matches(name.casefold(), names, n=1)), "")


def _unknown(message: str, likely: str) -> XenonError:
    question = f"did you mean {likely!r}? " if likely else ""
    return XenonError(message, "", ErrorCode.NO_SUCH_MODEL, likely=question)
