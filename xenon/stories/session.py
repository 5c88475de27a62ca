"""A model and a prompt in, a story out: runs the guest program in a console of its own for each story."""

from __future__ import annotations

import codecs
import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import loader
from llama2c.facts import FIGURES_DESCRIPTOR, Figures, hot_functions
from xenon.console import Bytes, Console, check_timeout
from xenon.errors import ErrorCode, XenonError
from xenon.hardware.memory_map import in_units
from xenon.linux.program import Program, read_program
from xenon.stories.budget import Budget, Run, predict
from xenon.stories.engine import decide
from xenon.stories.guest import (
    MODEL_PATH,
    PROMPT_PATH,
    STACK_BYTES,
    TOKENIZER_PATH,
    TOKENS_PATH,
    guest_arguments,
    guest_error,
    guest_program,
    is_prompt_file,
    matrix_types,
    open_model,
    open_tokenizer,
)
from xenon.stories.settings import DEFAULT_STEPS, Activations, Engine, KeyValueType, Matmul, Sampling, Setup
from xenon.stories.telling import Statistics, Telling

__all__ = ["Engine", "Matmul", "Sampling", "Session", "Setup", "Statistics", "Telling", "Watch"]

Watch = Callable[[Console, Program], None]
_STDOUT = 1


class Session:
    """A model on the console's disc, ready to tell stories, any number of them at once.

    `model` is a llama2.c checkpoint (v0 or v1, either byte order), the bundled one by default; `tokenizer`
    its tokenizer, by default the one in the model's folder that fits; both may be opened already. `setup`
    says who computes and on what. Little-endian files are swapped as the console reads them.

    Raises loader.LoaderError for files that are not these, XenonError for a model that the console cannot
    run.

        for piece in xenon.Session("stories15M.bin").generate("Sleepy Joe said", seed=42):
            print(piece, end="", flush=True)
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
            prompt_bytes=len(_encoded(prompt)),
            context=self.decision.context,
            memory_bytes=machine.memory_bytes,
            threads=machine.threads,
            gpu=self.decision.engine is Engine.GPU,
            kv_bytes=self.decision.kv.nbytes,
            int8_activations=self.decision.activations is Activations.INT8,
            conversation=conversation,
        )
        return predict(run)

    def generate(
        self,
        prompt: str | bytes = "",
        temperature: float = 1.0,
        top_p: float = 0.9,
        seed: int | None = None,
        steps: int | None = None,
        timeout: float | None = None,
        ignore_eos: bool = False,
    ) -> Telling:
        """Tell a story: `tell` with the fields of Sampling as arguments. Raises what `tell` raises."""
        return self.tell(prompt, Sampling(temperature, top_p, seed, steps, ignore_eos), timeout)

    def tell(
        self,
        prompt: str | bytes = "",
        sampling: Sampling | None = None,
        timeout: float | None = None,
        *,
        compile_first: bool = False,
        watch: Watch | None = None,
    ) -> Telling:
        """Tell a story that begins with `prompt`, for at most `timeout` seconds.

        `compile_first` compiles the hot functions before the first instruction, for measurements, which want
        warm code. `watch` is called before the run with its console, which then has instruments, and the
        guest program. The arguments are checked here, before the first piece is asked for.

        Raises XenonError for a timeout that is no time, more steps than the context holds and a prompt that
        the context cannot hold, OutOfMemoryError for a model that the memory cannot hold; the story itself
        raises GuestFault and LimitReached as `Console.run` does.
        """
        text = _encoded(prompt)
        sampling = sampling or Sampling()
        check_timeout(timeout)
        self._check(text, sampling)
        self.budget(text).check()
        steps = min(DEFAULT_STEPS, self.decision.context) if sampling.steps is None else sampling.steps
        seed = sampling.seed or secrets.randbelow(2**31 - 1) + 1
        sampling = replace(sampling, seed=seed, steps=steps)
        return Telling(self._told(text, sampling, timeout, compile_first, watch))

    def evaluate(
        self, windows: bytes, options: Sequence[str] = (), timeout: float | None = None
    ) -> Iterator[bytes]:
        """What the guest writes for a file of tokens that it runs instead of a story (docs/guest.md), piece
        by piece; `options` are more of its own. Raises what a story raises.
        """
        check_timeout(timeout)
        self.budget().check()
        console = Console(self.decision.machine)
        console.disc.add(MODEL_PATH, self.model.image(loader.ByteOrder.BIG))
        console.disc.add(TOKENIZER_PATH, self.tokenizer.image(loader.ByteOrder.BIG))
        console.disc.add(TOKENS_PATH, Bytes(windows))
        sampling = Sampling(temperature=0.0, seed=1, steps=1)
        arguments = [*guest_arguments(b"", sampling, self.decision), "-u", TOKENS_PATH, *options]
        console.boot(guest_program(), arguments, stack_bytes=STACK_BYTES, hot=self.hot_functions())
        messages = b""
        with closing(console.run(timeout)) as outputs:
            for output in outputs:
                if output.fd == _STDOUT:
                    yield output.data
                else:
                    messages += output.data
        if console.exit_status != 0:
            raise self.guest_error(messages)

    def _told(
        self,
        prompt: bytes,
        sampling: Sampling,
        timeout: float | None,
        compile_first: bool,
        watch: Watch | None,
    ) -> Generator[str, None, Statistics]:
        """Boot a console and yield the guest's text; returns what the story took."""
        start = time.perf_counter()
        machine = replace(self.decision.machine, measured=watch is not None)
        hot = self.hot_functions()
        console = Console(machine, pipes=(FIGURES_DESCRIPTOR,))
        console.disc.add(MODEL_PATH, self.model.image(loader.ByteOrder.BIG))
        console.disc.add(TOKENIZER_PATH, self.tokenizer.image(loader.ByteOrder.BIG))
        if is_prompt_file(prompt):
            console.disc.add(PROMPT_PATH, Bytes(prompt))
        arguments = guest_arguments(prompt, sampling, self.decision)
        program = console.boot(guest_program(), arguments, stack_bytes=STACK_BYTES, hot=hot)
        if compile_first:
            console.compile(hot)
            start = time.perf_counter()
        if watch is not None:
            watch(console, program)
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        messages = record = b""
        first = 0.0
        with closing(console.run(timeout)) as outputs:
            for output in outputs:
                if output.fd == FIGURES_DESCRIPTOR:
                    record += output.data
                elif output.fd != _STDOUT:
                    messages += output.data
                else:
                    first = first or time.perf_counter() - start
                    if piece := decoder.decode(output.data):
                        yield piece
        if console.exit_status != 0:
            raise self.guest_error(messages)
        if rest := decoder.decode(b"", final=True):
            yield rest
        return self._statistics(Figures.parse(record), first, console.memory.high_water, sampling.seed or 0)

    def _statistics(self, figures: Figures, first: float, memory_used: int, seed: int) -> Statistics:
        machine = self.decision.machine
        return Statistics(
            tokens=figures.tokens,
            seconds=figures.seconds,
            prompt_tokens=figures.prompt_tokens,
            prompt_seconds=figures.prompt_seconds,
            warm_tokens_per_second=figures.warm_tokens_per_second,
            first_piece_seconds=first,
            memory_used=memory_used,
            memory_bytes=machine.memory_bytes,
            seed=seed,
            matmul=self.decision.matmul,
            threads=machine.threads,
            engine=self.decision.engine,
        )

    def hot_functions(self) -> tuple[str, ...]:
        """The hot functions that this session will execute; none if the GPU computes."""
        if self.decision.engine is Engine.GPU:
            return ()
        byte_pairs = self.tokenizer.kind is loader.TokenizerKind.BYTE_PAIRS
        halves = self.decision.kv is KeyValueType.F16
        int8 = self.decision.activations is Activations.INT8
        return hot_functions(self.decision.matmul.value, byte_pairs, matrix_types(self.model), halves, int8)

    def _check(self, prompt: bytes, sampling: Sampling) -> None:
        """Raises XenonError for what the context of the session cannot hold."""
        context = self.decision.context
        if sampling.steps is not None and sampling.steps > context:
            raise XenonError(
                f"{sampling.steps} steps, expected 0 to {context}, the context of {self.model.path}",
                "0 runs to the end of the context",
            )
        if b"\0" in prompt:
            raise XenonError("the prompt contains a zero byte", "prompts are text")
        longest = context * self.tokenizer.max_token_length
        if len(prompt) > longest:
            raise XenonError(
                f"a prompt of {len(prompt)} bytes, and the context of {self.model.path}, {context} tokens, "
                f"holds at most {longest}",
                "shorten the prompt",
            )

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


def _encoded(prompt: str | bytes) -> bytes:
    return prompt.encode("utf-8", "surrogateescape") if isinstance(prompt, str) else prompt
