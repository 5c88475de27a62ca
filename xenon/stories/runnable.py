"""What a console is to run: a model, its tokenizer, and who computes them on what."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

import loader
from llama2c.facts import hot_functions
from xenon.console import Console
from xenon.errors import ErrorCode, XenonError
from xenon.hardware.memory_map import in_units
from xenon.linux.program import read_program
from xenon.stories.budget import Budget, Run, predict
from xenon.stories.engine import decide
from xenon.stories.guest import (
    MODEL_PATH,
    STACK_BYTES,
    TOKENIZER_PATH,
    guest_error,
    guest_program,
    matrix_types,
    open_model,
    open_tokenizer,
)
from xenon.stories.settings import Activations, Engine, KeyValueType, Setup


class RunnableModel:
    """A model and its tokenizer, opened, and the decision who computes; makes consoles that hold both.

    `model` is a llama2.c checkpoint (v0 or v1, either byte order), the bundled one by default; `tokenizer`
    its tokenizer, by default the one in the model's folder that fits; both may be opened already. `setup`
    says who computes and on what.

    Raises loader.LoaderError for files that are not these, XenonError for a model that the console cannot
    run.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | loader.Model | None = None,
        tokenizer: str | os.PathLike[str] | loader.Tokenizer | None = None,
        setup: Setup | None = None,
    ) -> None:
        setup = setup or Setup()
        self.model = open_model(model, setup.context)
        self.decision = decide(setup, self.model)
        """Who computes, and on what."""
        self.tokenizer = open_tokenizer(self.model, tokenizer)

    def budget(self, prompt: str | bytes = "", conversation: bool = False) -> Budget:
        """What a story with this prompt, or a conversation, takes of the console's memory, to the byte.

        Raises XenonError for a memory size that cannot be.
        """
        machine = self.decision.machine
        run = Run(
            program=read_program(guest_program()),
            stack_bytes=STACK_BYTES,
            model=self.model,
            tokenizer=self.tokenizer,
            model_path=MODEL_PATH,
            prompt_bytes=len(prompt_bytes(prompt)),
            context=self.decision.context,
            memory_bytes=machine.memory_bytes,
            threads=machine.threads,
            gpu=self.decision.engine is Engine.GPU,
            kv_bytes=self.decision.kv.nbytes,
            int8_activations=self.decision.activations is Activations.INT8,
            conversation=conversation,
        )
        return predict(run)

    def hot_functions(self) -> tuple[str, ...]:
        """The hot functions that the console will execute; none if the GPU computes."""
        if self.decision.engine is Engine.GPU:
            return ()
        byte_pairs = self.tokenizer.kind is loader.TokenizerKind.BYTE_PAIRS
        halves = self.decision.kv is KeyValueType.F16
        int8 = self.decision.activations is Activations.INT8
        return hot_functions(self.decision.matmul.value, byte_pairs, matrix_types(self.model), halves, int8)

    def console(
        self, stdin: BinaryIO | None = None, pipes: Sequence[int] = (), measured: bool = False
    ) -> Console:
        """A console with the model and the tokenizer on its disc, not yet booted."""
        console = Console(replace(self.decision.machine, measured=measured), stdin, pipes=pipes)
        console.disc.add(MODEL_PATH, self.model.image(loader.ByteOrder.BIG))
        console.disc.add(TOKENIZER_PATH, self.tokenizer.image(loader.ByteOrder.BIG))
        return console

    def guest_error(self, messages: bytes) -> XenonError:
        """The guest's own last words, with the paths it knows put back to the user's."""
        line = guest_error(messages).replace(MODEL_PATH, str(self.model.path))
        line = line.replace(TOKENIZER_PATH, str(self.tokenizer.path))
        hint, code = "", ErrorCode.BAD_INPUT
        if "context holds" in line:
            hint = "shorten the prompt"
        elif "memory" in line:
            size = in_units(self.decision.machine.memory_bytes)
            hint = f"the console has {size}; a smaller model or a shorter context fits"
            code = ErrorCode.OUT_OF_MEMORY
        return XenonError(line, hint, code)


def prompt_bytes(prompt: str | bytes) -> bytes:
    """A prompt as the guest gets it; surrogate escapes are the bytes that they stand for."""
    return prompt.encode("utf-8", "surrogateescape") if isinstance(prompt, str) else prompt
