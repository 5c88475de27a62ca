"""Tokens a second of one model on everything that can run it, in the manner of llama-bench.

A test is `pp N`, N positions of a prompt, or `tg N`, N generated tokens (greedy, and on past a story's end).
Time is the guest's own, first step left out, as llama2.c counts it. Repetitions go around all rows, so that a
slow moment of the host falls on each alike; only rows of one report can be compared.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import llama2c
import loader
from llama2c.build import BuildError
from llama2c.facts import FIGURES_DESCRIPTOR, Figures
from llama2c.reference import MEMORY_BYTES, Reference
from xenon.errors import EXIT_USAGE, XenonError
from xenon.recompiler.kind import INSTALL_HINT, CpuKind, installed
from xenon.stories.engine import Engine
from xenon.stories.session import Matmul, Session

ENGINES = ("unicorn", "recompiler", "gpu", "qemu-ppc64", "native")
DEFAULT_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Workload:
    """`tokens` positions of a prompt (pp), or of generated text (tg)."""

    kind: str
    tokens: int

    def __str__(self) -> str:
        return f"{self.kind}{self.tokens}"


class Runner(Protocol):
    """One way to run the model. A new engine, or a number of threads, is one more of these."""

    @property
    def engine(self) -> str: ...
    @property
    def matmul(self) -> Matmul | None: ...  # None: the GPU's own
    @property
    def threads(self) -> int: ...
    def __call__(self, prompt: bytes, steps: int) -> float:
        """Run so many steps: tokens a second."""


@dataclass(slots=True)
class Row:
    """A runner's results in one test, tokens a second."""

    runner: Runner
    workload: Workload
    samples: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.samples)

    @property
    def spread(self) -> float:
        """The standard deviation; 0 for a single repetition."""
        return statistics.stdev(self.samples) if len(self.samples) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Console:
    """The guest in the emulated console, on its CPU (unicorn or recompiler) or its GPU."""

    session: Session
    engine: str = "unicorn"

    @property
    def matmul(self) -> Matmul | None:
        return None if self.session.engine is Engine.GPU else self.session.matmul

    @property
    def threads(self) -> int:
        return self.session.threads

    def __call__(self, prompt: bytes, steps: int) -> float:
        for _ in self.session.generate(prompt, temperature=0, steps=steps, seed=1, ignore_eos=True):
            pass
        assert self.session.statistics is not None
        return self.session.statistics.tokens_per_second


@dataclass(frozen=True, slots=True)
class Native:
    """The guest's C compiled for this machine: the yardstick."""

    reference: Reference
    files: dict[str, memoryview]
    matmul: Matmul
    context: int
    engine: str = "native"
    threads: int = 1

    def __call__(self, prompt: bytes, steps: int) -> float:
        arguments = _arguments("model", "tokenizer", prompt, steps, self.matmul, self.context)
        record = bytearray()

        def keep(descriptor: int, data: bytes) -> None:
            if descriptor == FIGURES_DESCRIPTOR:
                record.extend(data)

        status, _, messages = self.reference.run(
            self.files, [*arguments, "-r", str(FIGURES_DESCRIPTOR)], keep
        )
        return _speed(self.engine, status, messages, record)


@dataclass(frozen=True, slots=True)
class Qemu:
    """The guest's ELF under qemu's user-mode emulation, on big-endian files."""

    program: str
    model: Path
    tokenizer: Path
    matmul: Matmul
    context: int
    engine: str = "qemu-ppc64"
    threads: int = 1

    def __call__(self, prompt: bytes, steps: int) -> float:
        paths = str(self.model), str(self.tokenizer)
        arguments = _arguments(*paths, prompt, steps, self.matmul, self.context)
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as records:
            try:
                result = subprocess.run(
                    [self.program, str(llama2c.guest_program()), *arguments, "-r", str(writer)],
                    capture_output=True,
                    check=False,
                    pass_fds=(writer,),
                )
            finally:
                os.close(writer)
            record = records.read()
        return _speed(self.engine, result.returncode, result.stderr, record)


def find_runners(
    model: loader.Model,
    tokenizer: loader.Tokenizer,
    folder: Path,
    engines: Sequence[str] = ENGINES,
    matmuls: Sequence[Matmul] = tuple(Matmul),
    threads: Sequence[int] = (1,),
    context: int | None = None,
) -> tuple[list[Runner], list[str]]:
    """Everything on this machine that can run the model, and a note on each engine that cannot.

    `threads` are the numbers of hardware threads to run the console with; the other engines have one.
    `folder` takes big-endian copies where an engine needs them. Raises XenonError, loader.LoaderError.
    """
    positions = model.config.seq_len if context is None else context
    found: list[Runner] = []
    notes: list[str] = []
    kinds = [kind for kind in CpuKind if kind.value in engines]
    if CpuKind.RECOMPILER in kinds and not installed():
        kinds.remove(CpuKind.RECOMPILER)
        notes.append(f"recompiler is left out: llvmlite is not installed ({INSTALL_HINT})")
    for kind in kinds:
        sessions = [
            Session(model.path, tokenizer.path, matmul=matmul, threads=count, context=context, cpu=kind)
            for matmul in matmuls
            for count in threads
        ]
        for session in sessions:
            session.compile_first = True  # what is measured is code that is warm
        found += [Console(session, kind.value) for session in sessions]
    if "gpu" in engines:
        session = Session(model.path, tokenizer.path, context=context, engine=Engine.GPU)
        found.append(Console(session, "gpu"))
    if "qemu-ppc64" in engines:
        program = shutil.which("qemu-ppc64") or shutil.which("qemu-ppc64-static")
        if program is None:
            notes.append("qemu-ppc64 is left out: it is not installed (apt-get install qemu-user)")
        else:
            paths = _big_endian(model, folder), _big_endian(tokenizer, folder)
            found += [Qemu(program, *paths, matmul, positions) for matmul in matmuls]
    if "native" in engines:
        try:
            reference = Reference.build(memory_bytes=MEMORY_BYTES + 2 * model.size)
        except BuildError as error:
            notes.append(f"native is left out: {str(error).splitlines()[0]}")
        else:
            files = {"model": _host_order(model), "tokenizer": _host_order(tokenizer)}
            found += [Native(reference, files, matmul, positions) for matmul in matmuls]
    return found, notes


def plan_workloads(
    model: loader.Model,
    tokenizer: loader.Tokenizer,
    n_prompt: int | None,
    n_gen: int | None,
    context: int | None = None,
) -> list[Workload]:
    """The tests asked for; None takes 32 tokens or what the context holds, 0 leaves the test out.

    Raises XenonError for more than the context holds.
    """
    positions = model.config.seq_len if context is None else context
    most = positions - 1
    planned = []
    for kind, option, wanted in (("pp", "--n-prompt", n_prompt), ("tg", "--n-gen", n_gen)):
        count = min(DEFAULT_TOKENS, most) if wanted is None else wanted
        if not 0 <= count <= most:
            raise XenonError(
                f"{option} {count}, expected 0 to {most} with {model.path}",
                f"the context holds {positions} positions, and the first is not timed",
                EXIT_USAGE if count < 0 else None,
            )
        if count and (kind == "tg" or prompt_of(tokenizer, count + 1) is not None):
            planned.append(Workload(kind, count))
    return planned


def measure(
    runners: Iterable[Runner],
    workloads: Sequence[Workload],
    tokenizer: loader.Tokenizer,
    repetitions: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Run every test on every runner `repetitions` times, round by round.

    `progress` is called with the runs done and the runs in all. Raises what the runners raise.
    """
    rows = [Row(runner, workload) for runner in runners for workload in workloads]
    total = len(rows) * repetitions
    for number in range(total):
        row = rows[number % len(rows)]
        steps = row.workload.tokens + 1  # the first is not timed
        prompt = (prompt_of(tokenizer, steps) if row.workload.kind == "pp" else None) or b""
        row.samples.append(row.runner(prompt, steps))
        if progress is not None:
            progress(number + 1, total)
    return rows


def prompt_of(tokenizer: loader.Tokenizer, tokens: int) -> bytes | None:
    """A prompt of exactly so many tokens: a character that merges with nothing, over and over.

    None when the vocabulary has no such character, or for fewer tokens than a prompt can have.
    """
    pieces = {piece.text for piece in tokenizer.pieces}
    before = 2 if b" " in pieces else 1  # BOS, and the space before the text
    letters = [bytes([code]) for code in (*range(0x61, 0x7B), *range(0x21, 0x61), *range(0x7B, 0x7F))]
    for letter in letters:
        if tokens > before and letter in pieces and not {letter * 2, b" " + letter} & pieces:
            return letter * (tokens - before)
    return None


def _arguments(
    model: str, tokenizer: str, prompt: bytes, steps: int, matmul: Matmul, context: int
) -> list[str]:
    """The guest's command line for one test."""
    return [
        *(model, "-z", tokenizer, "-i", prompt.decode(), "-t", "0", "-s", "1"),
        *("-n", str(steps), "-k", matmul.value, "-c", str(context), "-e"),
    ]


def _speed(engine: str, status: int, messages: bytes, record: bytes | bytearray) -> float:
    if status != 0:
        text = messages.decode("utf-8", "replace").strip() or f"ended with status {status}"
        raise XenonError(f"{engine}: {text.splitlines()[0].removeprefix('error: ')}")
    return Figures.parse(bytes(record)).tokens_per_second


def _big_endian(source: loader.Model | loader.Tokenizer, folder: Path) -> Path:
    """The file itself if it is big-endian, else a converted copy in `folder`."""
    if source.byte_order is loader.ByteOrder.BIG:
        return source.path
    target = folder / f"{type(source).__name__.lower()}.bench.be.bin"
    if not target.exists():
        loader.convert(source.path, target, loader.ByteOrder.BIG)
    return target


def _host_order(source: loader.Model | loader.Tokenizer) -> memoryview:
    image = source.image(loader.ByteOrder(sys.byteorder))
    data = memoryview(bytearray(image.size))
    image.read_into(0, data)
    return data
