"""Compares tokens a CPU second, a prompt's and generated ones, with llama.cpp on the same weights in Q8_0.

    python scripts/measuring/compare_llama_cpp.py smollm2.gguf [--threads 1,2] [--turns 3] [--python PYTHON]

llama.cpp is the wheel `xllamacpp`, in this Python or in the one that PYTHON names. It gets a GGUF file made
here, and our default engine the console's file of the same blocks. Keys and values are floats in ours and in
half precision in llama.cpp, as either has them by default. CPU seconds are user and system time of all
threads. From each run that of a run with a short prompt alone is taken off, so that start, loading and
compiling do not count. The engines take turns, and medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from bench_figures import Figure, at_least, markdown, missed
from llama_cpp_worker import HINT, cpu_seconds

import loader
from loader.tensor_types import Q8_0
from xenon.stories import benchmark_report
from xenon.stories.session import Session
from xenon.stories.settings import Sampling, Setup

WORKER = Path(__file__).with_name("llama_cpp_worker.py")
WORD = " time"  # a token of SmolLM2's vocabulary, and of most others
CONTEXT, SHORT_PROMPT, PROMPT, GENERATED = 1024, 16, 512, 64
LEAST_PROMPT, LEAST_GENERATION = 0.3, 0.5  # times llama.cpp


@dataclass(frozen=True, slots=True)
class Work:
    """So many tokens in so many CPU seconds."""

    tokens: int
    seconds: float

    def __sub__(self, part: Work) -> Work:
        return Work(self.tokens - part.tokens, self.seconds - part.seconds)

    @property
    def speed(self) -> float:
        """Tokens a CPU second. Raises SystemExit where too little was measured for that."""
        if self.tokens <= 0 or self.seconds <= 0:
            raise SystemExit(f"error: {self.tokens} tokens in {self.seconds:.3f} CPU s: measure again")
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class Turn:
    """What an engine did in a turn, without what the short prompt took."""

    prompt: Work
    generation: Work


Run = Callable[[int, int], Work]
"""Reads a prompt of so many words, generates so many tokens behind it, and tells all that it did."""


def turn(run: Run) -> Turn:
    """A turn of an engine: three runs."""
    short = run(SHORT_PROMPT, 0)
    return Turn(run(PROMPT, 0) - short, run(SHORT_PROMPT, GENERATED) - short)


def compared(threads: int, ours: Sequence[Turn], theirs: Sequence[Turn]) -> list[Figure]:
    """The speeds of both, and their ratios beside the targets."""
    figures = []
    for what, part, least in (
        (f"prompt of {PROMPT}", "prompt", LEAST_PROMPT),
        (f"generating {GENERATED}", "generation", LEAST_GENERATION),
    ):
        speeds = []
        for name, turns in (("xenon-llm", ours), ("llama.cpp", theirs)):
            works: list[Work] = [getattr(turn, part) for turn in turns]
            speeds.append(statistics.median(work.speed for work in works))
            figures.append(Figure(f"{name}, {what}, threads {threads}", speeds[-1], "tokens/CPU s"))
        ratio = speeds[0] / speeds[1]
        figures.append(at_least(f"xenon-llm / llama.cpp, {what}, threads {threads}", ratio, least))
    return figures


def console(folder: Path, threads: int) -> Run:
    """Our default engine on the console's file in `folder`."""
    session = Session(folder / "model.bin", folder / "tokenizer.bin", Setup(threads=threads))

    def run(words: int, generated: int) -> Work:
        start = cpu_seconds()
        sampling = Sampling(temperature=0, seed=1, steps=words + generated, ignore_eos=True)
        story = session.tell(WORD * words, sampling, compile_first=True)
        for _ in story:
            pass
        done = story.statistics
        assert done is not None
        return Work(done.prompt_tokens + done.tokens, cpu_seconds() - start)

    return run


class LlamaCpp:
    """A process that runs llama.cpp."""

    def __init__(self, python: str, model: Path, threads: int) -> None:
        words = [python, str(WORKER), str(model), str(threads), WORD, str(CONTEXT)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests: IO[str] = self._process.stdin
        self._answers: IO[str] = self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, words: int, generated: int) -> Work:
        """Raises SystemExit when the process has ended."""
        print(words, generated, file=self._requests, flush=True)
        answer = self._answers.readline().split()
        if len(answer) != 2:
            raise SystemExit("error: llama.cpp ended without an answer")
        return Work(int(answer[0]), float(answer[1]))


def make_files(source: Path, folder: Path) -> None:
    """Write the weights in Q8_0 as a GGUF file and as the console's, and the console's tokenizer."""
    opened = loader.open_any(source)
    if not isinstance(opened, loader.Gguf):
        raise SystemExit(f"error: {source}: expected a GGUF file")
    big = loader.ByteOrder.BIG
    recipe = loader.Recipe(loader.Format.CONSOLE, Q8_0, context=CONTEXT)
    loader.write(
        [
            loader.plan_gguf(opened, folder / "model.gguf", loader.ByteOrder.LITTLE, Q8_0),
            loader.plan_checkpoint(loader.weights(opened), big, recipe, folder / "model.bin"),
            loader.plan(loader.tokenizer_of_gguf(opened), big, None, folder / "tokenizer.bin"),
        ]
    )


def measured(model: Path, python: str, threads: Sequence[int], turns: int) -> list[Figure]:
    """The comparison with each number of threads, after a turn of both to warm up."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="xenon-llm-") as work:
        folder = Path(work)
        make_files(model, folder)
        for count in threads:
            ours = console(folder, count)
            with LlamaCpp(python, folder / "model.gguf", count) as theirs:
                for run in (ours, theirs.run):
                    turn(run)
                pairs = [(turn(ours), turn(theirs.run)) for _ in range(turns)]
            figures += compared(count, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return figures


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--threads", type=numbers, default=[1, 2], metavar="N,…", help="of both (1,2)")
    parser.add_argument("--turns", type=int, default=3, help="of each engine (3)")
    parser.add_argument("--python", default=sys.executable, help="one that has xllamacpp (this one)")
    options = parser.parse_args()
    if subprocess.run([options.python, "-c", "import xllamacpp"], capture_output=True).returncode:
        raise SystemExit(HINT)
    figures = measured(options.model, options.python, options.threads, options.turns)
    print(markdown(figures))
    print(f"\n{missed(figures)}\n\n{benchmark_report.machine_line(benchmark_report.machine())}")


if __name__ == "__main__":
    main()
