"""A model and a prompt in, a story out: runs the guest program in a console of its own for each story."""

from __future__ import annotations

import codecs
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import llama2c
import loader
from llama2c.facts import FIGURES_DESCRIPTOR, Figures, hot_functions
from xenon.console import MIB, Console, CpuKind, MachineSettings, check_threads, default_kind
from xenon.errors import EXIT_USAGE, XenonError
from xenon.hardware.memory_map import HARDWARE_THREADS, RAM_BYTES, in_units
from xenon.linux.program import Program, read_program
from xenon.stories.budget import Budget, Run, predict
from xenon.stories.engine import Engine, resolve

_MODEL, _TOKENIZER = "/model.bin", "/tokenizer.bin"
_STACK_BYTES = 1 * MIB
_MOST_SEED = (1 << 64) - 1
_MOST_TEMPERATURE = 1e30  # llama2.c knows no bound
DEFAULT_STEPS = 256


class Matmul(Enum):
    """The guest's two ways to multiply a matrix by a vector; they add up in different orders."""

    SCALAR = "scalar"
    VMX = "vmx"


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one story took. Tokens are steps after the first, as llama2.c counts them; so is their time."""

    tokens: int
    prompt_tokens: int
    seconds: float
    first_piece_seconds: float
    memory_used: int
    memory_bytes: int
    seed: int
    matmul: Matmul
    threads: int
    engine: Engine

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


class Session:
    """A model on the console's disc, ready to tell stories.

    `model` is a llama2.c checkpoint (v0 or v1, either byte order), the bundled one by default; `tokenizer`
    its tokenizer, by default the one in the model's folder that fits; `context` keeps keys and values for
    fewer positions than the model could; `threads` are the console's hardware threads, 1 to 6, which change
    the speed and no bit of the output: by default one for compiled code, else as many as this computer has
    processors. `engine` says who computes, the faster one by default: the CPU where its code is compiled, and
    when `matmul`, `threads` or `cpu` are given, which are the CPU's. `cpu` is how guest code is run, see
    Console. Little-endian files are swapped as the console reads them.

    Raises loader.LoaderError for files that are not these, XenonError for a model that the console cannot
    run.

        for piece in xenon.Session("stories15M.bin").generate("Sleepy Joe said", seed=42):
            print(piece, end="", flush=True)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        memory_bytes: int = RAM_BYTES,
        matmul: Matmul | None = None,
        context: int | None = None,
        threads: int | None = None,
        engine: Engine = Engine.AUTO,
        cpu: CpuKind | None = None,
    ) -> None:
        self.compile_first = False
        """Compile the hot functions before the first instruction: for measurements, which want warm code."""
        self.watch: Callable[[Console, Program], None] | None = None
        """Called before each run with its console, which then has instruments, and the guest program."""
        self.memory_bytes = memory_bytes
        self.matmul = matmul or Matmul.VMX
        self.model = loader.open(llama2c.bundled_model() if model is None else model)
        self.statistics: Statistics | None = None
        """Of the last story that was told to its end."""
        self.context = _context(self.model, context)
        cpu_wanted = matmul is not None or threads is not None
        if engine is Engine.AUTO and (cpu is not None or default_kind() is CpuKind.RECOMPILER):
            engine = Engine.CPU  # compiled code is faster than the GPU's programs (docs/gpu.md)
        self.engine = resolve(engine, self.model.config, self.context, cpu_wanted)
        # Beside the GPU guest code has too little to do for a compiler to pay.
        self.cpu = cpu or (CpuKind.UNICORN if self.engine is Engine.GPU else default_kind())
        self.threads = self._own_threads() if threads is None else threads
        _check_runs(self.model, self.threads)
        if tokenizer is None:
            self.tokenizer = loader.find_tokenizer(self.model)
        else:
            self.tokenizer = loader.open_tokenizer(tokenizer)
            loader.check_vocabulary(self.model, self.tokenizer)

    def _own_threads(self) -> int:
        """One for compiled code, whose matmuls take less time than a fork and a join, and beside the GPU."""
        alone = self.engine is Engine.GPU or self.cpu is CpuKind.RECOMPILER
        return 1 if alone else default_threads()

    def budget(self, prompt: str | bytes = "") -> Budget:
        """What a story with this prompt would take of the console's memory, to the byte.

        Raises XenonError for a memory size that cannot be.
        """
        run = Run(
            program=read_program(_guest()),
            stack_bytes=_STACK_BYTES,
            model=self.model,
            tokenizer=self.tokenizer,
            model_path=_MODEL,
            prompt_bytes=len(_encoded(prompt)),
            context=self.context,
            memory_bytes=self.memory_bytes,
            threads=self.threads,
            gpu=self.engine is Engine.GPU,
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
    ) -> Iterator[str]:
        """Tell a story that begins with `prompt`; yields its text as it comes, never part of a character.

        `temperature` 0 is greedy; `top_p` 0 or 1 samples from all tokens; `seed` 1 to 2^64 - 1 repeats a
        story (None or 0: a random one); `steps` is the number of positions, the prompt's included (None: 256
        or what the context holds, 0: the whole context); `timeout` is in seconds; `ignore_eos` goes on where
        a story ends. Bytes that are no UTF-8 come as surrogate escapes. The arguments are checked here,
        before the first piece is asked for.

        Raises XenonError for arguments out of range and a prompt that the context cannot hold,
        OutOfMemoryError for a model that the memory cannot hold, GuestFault and LimitReached as `Console.run`
        does.
        """
        text = _encoded(prompt)
        self._check(text, temperature, top_p, seed, steps)
        self.budget(text).check()
        seed = seed or secrets.randbelow(2**31 - 1) + 1
        if steps is None:
            steps = min(DEFAULT_STEPS, self.context)
        arguments: list[str | bytes] = [
            *(_MODEL, "-z", _TOKENIZER, "-i", text, "-t", _decimal(temperature), "-p", _decimal(top_p)),
            *("-s", str(seed), "-n", str(steps), "-k", self.matmul.value, "-c", str(self.context)),
            *("-r", str(FIGURES_DESCRIPTOR)),
            *(["-g"] if self.engine is Engine.GPU else []),
            *(["-e"] if ignore_eos else []),
        ]
        return self._pieces(arguments, seed, timeout)

    def _hot_functions(self) -> tuple[str, ...]:
        """Those that this session comes by; none where the GPU has the work."""
        if self.engine is Engine.GPU:
            return ()
        return hot_functions(self.matmul.value)

    def _pieces(self, arguments: list[str | bytes], seed: int, timeout: float | None) -> Iterator[str]:
        start = time.perf_counter()
        console = Console(
            MachineSettings(self.memory_bytes, self.cpu, self.threads, measured=self.watch is not None),
            pipes=(FIGURES_DESCRIPTOR,),
        )
        console.disc.add(_MODEL, self.model.image(loader.ByteOrder.BIG))
        console.disc.add(_TOKENIZER, self.tokenizer.image(loader.ByteOrder.BIG))
        program = console.boot(_guest(), arguments, stack_bytes=_STACK_BYTES, hot=self._hot_functions())
        if self.compile_first:
            console.compile(self._hot_functions())
            start = time.perf_counter()
        if self.watch is not None:
            self.watch(console, program)
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        messages = record = b""
        first = 0.0
        with closing(console.run(timeout)) as outputs:
            for output in outputs:
                if output.fd == FIGURES_DESCRIPTOR:
                    record += output.data
                    continue
                if output.fd != 1:
                    messages += output.data
                    continue
                first = first or time.perf_counter() - start
                if piece := decoder.decode(output.data):
                    yield piece
        if console.exit_status != 0:
            raise self._guest_error(messages)
        if rest := decoder.decode(b"", final=True):
            yield rest
        figures = Figures.parse(record)
        self.statistics = Statistics(
            tokens=figures.tokens,
            prompt_tokens=figures.prompt_tokens,
            seconds=figures.seconds,
            first_piece_seconds=first,
            memory_used=console.memory.high_water,
            memory_bytes=self.memory_bytes,
            seed=seed,
            matmul=self.matmul,
            threads=self.threads,
            engine=self.engine,
        )

    def _check(
        self, prompt: bytes, temperature: float, top_p: float, seed: int | None, steps: int | None
    ) -> None:
        if not 0 <= temperature <= _MOST_TEMPERATURE:
            raise XenonError(
                f"temperature {temperature:g}, expected 0 or more",
                "0 always takes the likeliest token, 1 takes the model's own odds",
                EXIT_USAGE,
            )
        if not 0 <= top_p <= 1:
            raise XenonError(
                f"top-p {top_p:g}, expected 0 to 1", "0.9 is usual, 1 takes all tokens", EXIT_USAGE
            )
        if seed is not None and not 0 <= seed <= _MOST_SEED:
            raise XenonError(f"seed {seed}, expected 0 to {_MOST_SEED}", "0 picks a random one", EXIT_USAGE)
        context = self.context
        if steps is not None and not 0 <= steps <= context:
            raise XenonError(
                f"{steps} steps, expected 0 to {context}, the context of {self.model.path}",
                "0 runs to the end of the context",
                EXIT_USAGE if steps < 0 else None,
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

    def _guest_error(self, messages: bytes) -> XenonError:
        """The guest's own last words, with the paths it knows put back to the user's."""
        text = messages.decode("utf-8", "replace").strip()
        line = next((line for line in text.splitlines() if line.startswith("error: ")), text)
        line = line.replace(_MODEL, str(self.model.path)).replace(_TOKENIZER, str(self.tokenizer.path))
        hint = ""
        if "context holds" in line:
            hint = "shorten the prompt"
        elif "memory" in line:
            hint = f"the console has {in_units(self.memory_bytes)}; a smaller model or a shorter context fits"
        return XenonError(line.removeprefix("error: ") or "the guest program ended without a word", hint)


def default_threads() -> int:
    """As many hardware threads as this process may use processors, up to the console's six."""
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        processors = os.cpu_count() or 1
    return min(processors, HARDWARE_THREADS)


def _check_runs(model: loader.Model, threads: int) -> None:
    """Raises XenonError for what the console or the guest does not run, before anything is started."""
    check_threads(threads)
    if model.format is loader.Format.V2:
        raise XenonError(
            f"{model.path}: an int8 model (v2); the guest runs fp32 models (v0 and v1)",
            "llama2.c's export.py writes fp32 with --version 1",
        )


def _context(model: loader.Model, wanted: int | None) -> int:
    """The positions that a run keeps keys and values for. Raises XenonError for more than the model has."""
    most = model.config.seq_len
    if wanted is not None and not 1 <= wanted <= most:
        raise XenonError(
            f"context {wanted}, expected 1 to {most}, the context of {model.path}",
            "leave it out to take the model's own",
            EXIT_USAGE if wanted < 1 else None,
        )
    return most if wanted is None else wanted


def _encoded(prompt: str | bytes) -> bytes:
    return prompt.encode("utf-8", "surrogateescape") if isinstance(prompt, str) else prompt


def _guest() -> Path:
    try:
        return llama2c.guest_program()
    except FileNotFoundError as error:
        path, what, hint = str(error).split(": ", 2)
        raise XenonError(f"{path}: {what}", hint) from error


def _decimal(value: float) -> str:
    """The shortest text that gives the same float back, in the notation the guest reads."""
    return repr(float(value))
