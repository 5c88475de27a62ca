"""A model with its matrices in half precision, for files that hold only half of fp32's bytes."""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from pathlib import Path

import loader
from loader.tensor_types import F16
from xenon.errors import ErrorCode, XenonError
from xenon.pack.limits import IMAGE_END, INITRD_BYTES
from xenon.stories.guest import matrix_types


def in_half(model: loader.Model) -> loader.Model:
    """The model with each matrix rounded to f16; it keeps its path.

    Raises XenonError for a model whose matrices are no fp32, and for one that no file could hold even so.
    """
    types = set(matrix_types(model))
    if types != {"fp32"}:
        raise XenonError(
            f"{model.path}: matrices of {', '.join(sorted(types))}, expected fp32 to make half of",
            "it can be packed as it is",
        )
    weights = loader.weights(model)
    recipe = loader.Recipe(loader.Format.CONSOLE, F16)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xenon-llm-"))
        conversion = loader.plan_checkpoint(weights, loader.ByteOrder.BIG, recipe, Path(folder) / "half.bin")
        most = IMAGE_END + INITRD_BYTES
        if conversion.image.size > most:
            raise XenonError(
                f"{model.path}: {conversion.image.size:,} bytes with its matrices in f16, "
                f"a stick's files hold less than {most:,}",
                "a smaller model fits, such as llama2.c's stories15M",
                ErrorCode.OUT_OF_MEMORY,
            )
        loader.write([conversion])
        half = loader.open(conversion.target)
        stack.callback(half.source.close)  # before its folder goes, as Windows needs it
        weakref.finalize(half.source, stack.pop_all().close)
    half.path = model.path
    return half
