"""The ways to run a model that a benchmark compares: the emulated console, qemu, the host, llama2.c."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import loader
from llama2c.build import BuildError
from llama2c.facts import FIGURES_DESCRIPTOR, Figures
from llama2c.reference import MEMORY_BYTES, Reference
from xenon.errors import XenonError
from xenon.recompiler.cpu_kind import INSTALL_HINT, CpuKind, installed
from xenon.stories.guest import guest_program, story_arguments
from xenon.stories.llama2c_runner import find_llama2c_runners
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Matmul, RunnerKind, Sampling, Setup
from xenon.stories.speeds import Speeds


class Runner(Protocol):
    """One way to run the model. A new kind of runner, or a number of threads, is one more of these."""

    @property
    def kind(self) -> RunnerKind: ...
    @property
    def name(self) -> str: ...  # the kind's, and how it was built where that makes a difference
    @property
    def matmul(self) -> Matmul | None: ...  # None: the GPU's own, or llama2.c's
    @property
    def threads(self) -> int: ...
    def __call__(self, prompt: bytes, steps: int) -> Speeds:
        """Run so many steps."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to measure: kinds of runners, matmuls and numbers of hardware threads of the console (the other
    runners have one thread), with a context of so many positions (None: the model's). `llama2c` is run.c of
    llama2.c, or the program built from it."""

    kinds: Sequence[RunnerKind] = tuple(RunnerKind)
    matmuls: Sequence[Matmul] = tuple(Matmul)
    threads: Sequence[int] = (1,)
    context: int | None = None
    llama2c: Path | None = None


@dataclass(frozen=True, slots=True)
class ConsoleRunner:
    """The guest in the emulated console, on its CPU (unicorn or recompiler) or its GPU."""

    session: Session
    kind: RunnerKind = RunnerKind.UNICORN

    @property
    def name(self) -> str:
        return self.kind.value

    @property
    def matmul(self) -> Matmul | None:
        decision = self.session.decision
        return None if decision.engine is Engine.GPU else decision.matmul

    @property
    def threads(self) -> int:
        return self.session.decision.machine.threads

    def __call__(self, prompt: bytes, steps: int) -> Speeds:
        # What is measured on a CPU is code that is warm.
        story = self.session.tell(prompt, _sampling(steps), compile_first=self.kind is not RunnerKind.GPU)
        for _ in story:
            pass
        assert story.statistics is not None
        statistics = story.statistics
        return Speeds(statistics.warm_tokens_per_second, statistics.tokens_per_second)


@dataclass(frozen=True, slots=True)
class NativeRunner:
    """The guest's C compiled for this machine: the yardstick."""

    reference: Reference
    files: dict[str, memoryview]
    matmul: Matmul
    context: int
    kind: RunnerKind = RunnerKind.NATIVE
    name: str = RunnerKind.NATIVE.value
    threads: int = 1

    def __call__(self, prompt: bytes, steps: int) -> Speeds:
        paths = "model", "tokenizer"
        words = story_arguments(paths, prompt, _sampling(steps), self.matmul, self.context)
        record = bytearray()

        def keep(descriptor: int, data: bytes) -> None:
            if descriptor == FIGURES_DESCRIPTOR:
                record.extend(data)

        arguments = [*map(os.fsdecode, words), "-r", str(FIGURES_DESCRIPTOR)]
        status, _, messages = self.reference.run(self.files, arguments, keep)
        return _speeds(self.kind, status, messages, record)


@dataclass(frozen=True, slots=True)
class QemuRunner:
    """The guest's ELF under qemu's user-mode emulation, on big-endian files."""

    program: str
    model: Path
    tokenizer: Path
    matmul: Matmul
    context: int
    kind: RunnerKind = RunnerKind.QEMU
    name: str = RunnerKind.QEMU.value
    threads: int = 1

    def __call__(self, prompt: bytes, steps: int) -> Speeds:
        paths = str(self.model), str(self.tokenizer)
        words = story_arguments(paths, prompt, _sampling(steps), self.matmul, self.context)
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as records:
            try:
                result = subprocess.run(
                    [self.program, str(guest_program()), *words, "-r", str(writer)],
                    capture_output=True,
                    check=False,
                    pass_fds=(writer,),
                )
            finally:
                os.close(writer)
            record = records.read()
        return _speeds(self.kind, result.returncode, result.stderr, record)


def find_runners(
    model: loader.Model, tokenizer: loader.Tokenizer, folder: Path, selection: Selection | None = None
) -> tuple[list[Runner], list[str]]:
    """Everything selected that can run the model here, and a note on each kind of runner that cannot.

    `folder` takes big-endian copies where a runner needs them. Raises XenonError, loader.LoaderError.
    """
    selection = selection or Selection()
    positions = model.config.seq_len if selection.context is None else selection.context
    runners: list[Runner] = []
    notes: list[str] = []
    for kind in selection.kinds:
        match kind:
            case RunnerKind.RECOMPILER if not installed():
                notes.append(f"recompiler is left out: llvmlite is not installed ({INSTALL_HINT})")
            case RunnerKind.UNICORN | RunnerKind.RECOMPILER:
                runners += _cpu_runners(model, tokenizer, kind, selection)
            case RunnerKind.GPU:
                setup = Setup(Engine.GPU, context=selection.context)
                runners.append(ConsoleRunner(Session(model, tokenizer, setup), kind))
            case RunnerKind.QEMU if sys.platform != "linux":
                notes.append("qemu-ppc64 is left out: it runs on Linux alone")
            case RunnerKind.QEMU:
                program = shutil.which("qemu-ppc64") or shutil.which("qemu-ppc64-static")
                if program is None:
                    notes.append("qemu-ppc64 is left out: it is not installed (apt-get install qemu-user)")
                    continue
                paths = _big_endian(model, folder), _big_endian(tokenizer, folder)
                runners += [QemuRunner(program, *paths, matmul, positions) for matmul in selection.matmuls]
            case RunnerKind.NATIVE:
                try:
                    reference = Reference.build(memory_bytes=MEMORY_BYTES + 2 * model.size)
                except BuildError as error:
                    notes.append(f"native is left out: {str(error).splitlines()[0]}")
                    continue
                files = {"model": _host_order(model), "tokenizer": _host_order(tokenizer)}
                runners += [NativeRunner(reference, files, matmul, positions) for matmul in selection.matmuls]
            case RunnerKind.LLAMA2C if selection.llama2c is not None:
                runners += find_llama2c_runners(selection.llama2c, model, tokenizer, folder)
    return runners, notes


def _cpu_runners(
    model: loader.Model, tokenizer: loader.Tokenizer, kind: RunnerKind, selection: Selection
) -> Iterator[ConsoleRunner]:
    """The console's CPU with each matmul and number of threads."""
    for matmul in selection.matmuls:
        for threads in selection.threads:
            setup = Setup(Engine.CPU, matmul, threads, CpuKind(kind.value), selection.context)
            yield ConsoleRunner(Session(model, tokenizer, setup), kind)


def _sampling(steps: int) -> Sampling:
    """Greedy, and on past a story's end."""
    return Sampling(temperature=0, seed=1, steps=steps, ignore_eos=True)


def _speeds(kind: RunnerKind, status: int, messages: bytes, record: bytes | bytearray) -> Speeds:
    if status != 0:
        text = messages.decode("utf-8", "replace").strip() or f"ended with status {status}"
        raise XenonError(f"{kind.value}: {text.splitlines()[0].removeprefix('error: ')}")
    figures = Figures.parse(bytes(record))
    return Speeds(figures.warm_tokens_per_second, figures.tokens_per_second)


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
