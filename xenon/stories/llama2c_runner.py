"""llama2.c's own run.c as a runner of a benchmark: from its source, compiled here, or from a program.

Whatever is run may be broken: its time and its words are bounded.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import loader
from llama2c.build import BuildError, zig_program
from loader.layout import tensors
from loader.tensor_types import F32
from xenon.errors import XenonError, reason
from xenon.host.processes import end_group, own_group
from xenon.host.streams import Input
from xenon.stories.prompts import lone_letter
from xenon.stories.settings import Matmul, RunnerKind
from xenon.stories.speeds import Speeds

# The flags of llama2.c's own `make runfast`, and what its `make run` has.
BUILDS = {"llama2c": ("-Ofast", "-march=native"), "llama2c -O3": ("-O3",)}
COMPILE_SECONDS, RUN_SECONDS = 120.0, 900.0
_MOST_WORDS = 64 * 1024  # bytes on stderr
_ACHIEVED = re.compile(rb"^achieved tok/s: ([0-9]{1,12}(?:\.[0-9]{1,9})?|inf)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Llama2cRunner:
    """A program built from run.c, on little-endian files. It computes every position of a prompt as it
    computes a generated one, and ends where a story ends: a test is a prompt as long as its steps."""

    program: Path
    name: str
    model: Path
    tokenizer: Path
    letter: bytes  # see lone_letter; empty: there is none, and the model goes on by itself
    seconds: float = RUN_SECONDS
    kind: RunnerKind = RunnerKind.LLAMA2C
    matmul: Matmul | None = None
    threads: int = 1

    def __call__(self, prompt: bytes, steps: int) -> Speeds:
        words = [str(self.program), str(self.model), "-z", str(self.tokenizer), "-t", "0", "-s", "1"]
        words += ["-n", str(steps), "-i", os.fsdecode(self.letter * steps or prompt)]
        status, messages = run_bounded(words, self.seconds, self.name)
        if status != 0:
            raise XenonError(f"{self.name}: {self.program}: {_ended(status, messages)}")
        return Speeds(achieved_speed(messages, f"{self.name}: {self.program}"))


def find_llama2c_runners(
    path: Path, model: loader.Model, tokenizer: loader.Tokenizer, folder: Path
) -> list[Llama2cRunner]:
    """run.c in two builds where `path` is a C source file, else the program at `path` as it is.

    `folder` takes what is built, and the files that run.c reads. Raises XenonError.
    """
    if not path.is_file():
        raise XenonError(f"{path}: {'no regular file' if path.exists() else 'no such file'}", "run.c or run")
    if path.suffix == ".c":
        programs = {
            name: compile_run_c(path, folder / f"run{number}", flags)
            for number, (name, flags) in enumerate(BUILDS.items())
        }
    else:
        programs = {"llama2c": path.absolute()}
    files = folder / "run.model.bin", folder / "run.tokenizer.bin"
    write_v0(model, files[0])
    _write_image(tokenizer.image(loader.ByteOrder(sys.byteorder)), files[1])
    return [
        Llama2cRunner(program, name, *files, lone_letter(tokenizer) or b"")
        for name, program in programs.items()
    ]


def compile_run_c(source: Path, target: Path, flags: Sequence[str]) -> Path:
    """Compile run.c natively by the system's compiler, else by ziglang's. Raises XenonError."""
    words = [*_compiler(), *flags, "-w", "-o", str(target), str(source.absolute()), "-lm"]
    caches = {
        name: str(target.parent / "zig-cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    }
    status, messages = run_bounded(words, COMPILE_SECONDS, "the C compiler", os.environ | caches)
    if status != 0 or not target.is_file():
        raise XenonError(f"{source}: {words[0]}: {_ended(status, messages)}", "give llama2.c's run.c, or run")
    return target


def _compiler() -> list[str]:
    for name in ("cc", "gcc", "clang"):
        if program := shutil.which(name):
            return [program]
    try:
        return [zig_program(), "cc"]
    except BuildError as error:
        raise XenonError("no C compiler for run.c: no cc, gcc or clang", "pip install ziglang") from error


def achieved_speed(messages: bytes, who: str) -> float:
    """Tokens a second as run.c reports them; 0 where its clock, of milliseconds, saw no time go by.

    Raises XenonError for messages without that line.
    """
    lines = _ACHIEVED.findall(messages)
    if len(lines) != 1:
        raise XenonError(
            f"{who}: {len(lines)} lines `achieved tok/s: N` on stderr, expected 1",
            "run is llama2.c's",
        )
    return 0.0 if lines[0] == b"inf" else float(lines[0])


def run_bounded(
    words: Sequence[str], seconds: float, who: str, environment: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Run a program to its end: its exit status, and what it wrote to stderr.

    It has no input, and what it writes to stdout is dropped. Raises XenonError for a program that cannot be
    started, takes longer or writes more than is allowed; it is ended then, with its children.
    """
    deadline = time.monotonic() + seconds
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            **own_group(),
        )
    except OSError as error:
        raise XenonError(f"{who}: {words[0]}: {reason(error)}") from error
    messages = b""
    assert process.stderr is not None
    try:
        with process.stderr as stream:
            source = Input(stream.fileno())
            while source.wait(max(0.0, deadline - time.monotonic())):
                data = source.read(_MOST_WORDS)
                messages += data
                if not data:
                    break
                if len(messages) > _MOST_WORDS:
                    raise XenonError(f"{who}: {words[0]}: more than {_MOST_WORDS} bytes on stderr")
        status = process.wait(max(0.001, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise XenonError(f"{who}: {words[0]}: not at its end after {seconds:g} seconds") from None
    finally:
        if process.returncode is None:
            end_group(process)
    return status, messages


def _ended(status: int, messages: bytes) -> str:
    """The first line that says something, else how it ended."""
    text = messages.decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line), lines[0] if lines else "")
    printable = "".join(letter if letter.isprintable() else "?" for letter in line[:200])
    return printable or (f"ended by signal {-status}" if status < 0 else f"ended with status {status}")


def write_v0(model: loader.Model, target: Path) -> None:
    """The model as run.c maps it: v0 in this computer's byte order. Raises XenonError for an int8 model.

    run.c passes over the two tables of angles; a model without them gets zeros there.
    """
    if model.format is loader.Format.V0:
        _write_image(model.image(loader.ByteOrder(sys.byteorder)), target)
        return
    if model.format is not loader.Format.V1:
        raise XenonError(f"{model.path}: an int8 model, run.c takes fp32")
    config = model.config
    vocabulary = config.vocab_size if config.shared_classifier else -config.vocab_size
    numbers = config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads
    header = np.array([*numbers, vocabulary, config.seq_len], "=i4")
    known = {tensor.name for tensor in model.tensors}
    with target.open("wb") as file:
        file.write(header.tobytes())
        for tensor in tensors(config, loader.Format.V0):
            if tensor.name in known:
                model.array(tensor.name).astype("=f4").tofile(file)
            else:
                file.write(bytes(F32.nbytes(tensor.count)))


def _write_image(image: loader.Image, target: Path) -> None:
    chunk = 1 << 24
    with target.open("wb") as file:
        for offset in range(0, image.size, chunk):
            data = memoryview(bytearray(min(chunk, image.size - offset)))
            image.read_into(offset, data)
            file.write(data)
