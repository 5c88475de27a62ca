"""A model and a prompt in, a story out: in a console that stays, or in one of its own for each story."""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import loader
from llama2c.facts import FIGURES_DESCRIPTOR, Figures
from xenon.console import Bytes, Console, check_timeout
from xenon.errors import XenonError
from xenon.linux.program import Program
from xenon.stories.guest import (
    PROMPT_PATH,
    STACK_BYTES,
    TOKENS_PATH,
    guest_arguments,
    guest_program,
    is_prompt_file,
)
from xenon.stories.runnable import RunnableModel, prompt_bytes
from xenon.stories.settings import DEFAULT_STEPS, Engine, Matmul, Sampling, Setup
from xenon.stories.telling import Statistics, Telling

__all__ = ["Engine", "Matmul", "Sampling", "Session", "Setup", "Statistics", "Telling", "Watch"]

if TYPE_CHECKING:
    from xenon.stories.loaded import LoadedModel

Watch = Callable[[Console, Program], None]
_STDOUT = 1


class Session(RunnableModel):
    """A model on the console's disc, ready to tell stories.

    In a `with` block the model stays loaded in one console, and each story costs its own tokens only. The
    stories take turns: one that begins while another is told waits, in its first iteration. The thread or
    task that has a story unfinished gets XenonError for another one, since it would wait for itself. Outside
    of a `with` block each story has a console of its own, any number of them at once. The text is the same.
    Any number of sessions may be open; threads may share one.

    `model` is a llama2.c checkpoint (v0 or v1, either byte order), the bundled one by default; `tokenizer`
    its tokenizer, by default the one in the model's folder that fits; both may be opened already. `setup`
    says who computes and on what. Little-endian files are swapped as the console reads them.

    Raises loader.LoaderError for files that are not these, XenonError for a model that the console cannot
    run.

        with xenon.Session("stories15M.bin") as session:
            for piece in session.generate("Sleepy Joe said", seed=42):
                print(piece, end="", flush=True)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | loader.Model | None = None,
        tokenizer: str | os.PathLike[str] | loader.Tokenizer | None = None,
        setup: Setup | None = None,
    ) -> None:
        super().__init__(model, tokenizer, setup)
        self._loaded: LoadedModel | None = None

    def __enter__(self) -> Session:
        """Load the model. Raises what LoadedModel raises."""
        if self._loaded is not None:
            raise XenonError("the session is open already", "open another one beside it")
        from xenon.stories.loaded import LoadedModel  # a story in a console of its own needs none

        self._loaded = LoadedModel(self)
        return self

    def __exit__(self, *_: object) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()

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

        `compile_first` brings the hot functions to the last tier before the first instruction, for
        measurements, which want warm code; with `watch`, to the first tier. `watch` is called before the run
        with its console, which then has instruments, and the guest program. Either gives the story a console
        of its own. The time that a story waits for its turn counts. The arguments are checked here, before
        the first piece is asked for.

        Raises XenonError for a timeout that is no time, more steps than the context holds and a prompt that
        the context cannot hold, OutOfMemoryError for a model that the memory cannot hold; the story itself
        raises GuestFault and LimitReached as `Console.run` does.
        """
        text = prompt_bytes(prompt)
        sampling = sampling or Sampling()
        check_timeout(timeout)
        self._check(text, sampling)
        loaded = None if compile_first or watch is not None else self._loaded
        if loaded is None:
            self.budget(text).check()
        steps = min(DEFAULT_STEPS, self.decision.context) if sampling.steps is None else sampling.steps
        sampling = replace(sampling, seed=sampling.seed or _any_seed(), steps=steps)
        if loaded is not None:
            return loaded.tell(text, sampling, timeout, lambda: self._told(text, sampling, timeout))
        return Telling(self._told(text, sampling, timeout, compile_first, watch))

    def evaluate(
        self, windows: bytes, options: Sequence[str] = (), timeout: float | None = None
    ) -> Iterator[bytes]:
        """What the guest writes for a file of tokens that it runs instead of a story (docs/guest.md), piece
        by piece; `options` are more of its own. Raises what a story raises.
        """
        check_timeout(timeout)
        self.budget().check()
        console = self.console()
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
        compile_first: bool = False,
        watch: Watch | None = None,
    ) -> Generator[str, None, Statistics]:
        """Boot a console and yield the guest's text; returns what the story took."""
        start = time.perf_counter()
        hot = self.hot_functions()
        console = self.console(pipes=(FIGURES_DESCRIPTOR,), measured=watch is not None)
        if is_prompt_file(prompt):
            console.disc.add(PROMPT_PATH, Bytes(prompt))
        arguments = guest_arguments(prompt, sampling, self.decision)
        program = console.boot(guest_program(), arguments, stack_bytes=STACK_BYTES, hot=hot)
        if compile_first:
            (console.optimise if watch is None else console.compile)(hot)
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


def _any_seed() -> int:
    import secrets  # takes hashing and more along

    return secrets.randbelow(2**31 - 1) + 1
