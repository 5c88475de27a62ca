"""All of the project's claims about speed, measured in one run: python scripts/measuring/bench.py [MODEL].

Times tokens a second (as `xenon-llm bench`), `convert` against `cp` of the same file, and the way to the
first character of a story against the imports it needs. What is compared takes turns, and the medians of the
turns are compared. The targets beside the ratios are the project's own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import llama2c
import loader
from loader import synthetic
from xenon.stories import benchmark, benchmark_report
from xenon.stories.benchmark import Row
from xenon.stories.engine import default_threads
from xenon.stories.runners import Runner, Selection, find_runners
from xenon.stories.settings import Matmul, RunnerKind

PYTHON = [sys.executable, "-P", "-c"]  # not with modules of the current folder
IMPORTS = "import numpy, unicorn, typer"
MOST_CONVERT, MOST_START = 1.5, 4.0  # times cp, times the imports
CONVERT_SHAPES = (synthetic.Shape.STORIES_15M, synthetic.Shape.STORIES_42M)  # 61 and 167 MB
RUNNERS_SHAPE, RUNNERS_TOKENS = synthetic.Shape.STORIES_15M, 12
LEAST_SPEEDS = (("gpu", "native", 1), ("recompiler", "native", 2), ("recompiler", "unicorn", 50))
# VmHWM and not getrusage: that one also remembers the process that started this one.
PEAK = """
import atexit, re, resource, sys
def print_peak():
    try:
        peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak, file=sys.stderr)
atexit.register(print_peak)
from xenon.cli.start import main
main()
"""


@dataclass(frozen=True)
class Figure:
    """One line of the report: a measured time or ratio, what it is compared with, what is aimed at."""

    what: str
    value: float | None
    unit: str
    target: str = ""
    met: bool | None = None


def command() -> list[str]:
    """How the command line is started from this very Python."""
    script = Path(sys.executable).with_name("xenon-llm")
    return [str(script)] if script.exists() else [*PYTHON, "from xenon.cli.start import main; main()"]


def in_turns(jobs: Sequence[Callable[[], float]], turns: int) -> list[float]:
    """The median seconds of each job; the jobs take turns after one turn to warm up."""
    samples: list[list[float]] = [[] for _ in jobs]
    for turn in range(turns + 1):
        for job, times in zip(jobs, samples, strict=True):
            seconds = job()
            if turn:
                times.append(seconds)
    return [statistics.median(times) for times in samples]


def timed(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def run(words: Sequence[str]) -> None:
    subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def first_character(words: Sequence[str]) -> float:
    """Seconds from the start of a program to its first byte of output."""
    start = time.perf_counter()
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.kill()
    if not first:
        raise SystemExit(f"error: {' '.join(words)} wrote nothing")
    return seconds


def conversion_figures(folder: Path, turns: int) -> list[Figure]:
    """`convert` of a 61 MB model against `cp`, in this process and as a command, and the memory it takes."""
    models = [synthetic.write_shape(name, folder)[0] for name in CONVERT_SHAPES]
    source, copied, made = models[0], folder / "copied.bin", folder / "converted.bin"

    def copy() -> float:
        copied.unlink(missing_ok=True)
        return timed(lambda: run(["cp", str(source), str(copied)]))

    def convert() -> float:
        made.unlink(missing_ok=True)
        return timed(lambda: loader.convert(source, made, loader.ByteOrder.LITTLE))

    def convert_command() -> float:
        made.unlink(missing_ok=True)
        return timed(lambda: run([*command(), "convert", str(source), "--to", "little", "-o", str(made)]))

    cp, inside, whole = in_turns([copy, convert, convert_command], turns)
    size = f"{source.stat().st_size / 1e6:.0f} MB"
    peaks = [_peak(model, made) for model in models]
    sizes = [f"{model.stat().st_size / 1e6:.0f} MB" for model in models]
    grown = peaks[1] - peaks[0]
    return [
        Figure(f"cp of {size}", cp * 1000, "ms"),
        Figure(f"convert of {size}", inside * 1000, "ms"),
        Figure("convert / cp", inside / cp, "", f"at most {MOST_CONVERT:g}", inside / cp <= MOST_CONVERT),
        Figure(f"xenon-llm convert of {size}, the whole command", whole * 1000, "ms"),
        Figure("whole command / cp", whole / cp, ""),
        *(
            Figure(f"peak memory of xenon-llm convert, {size}", peak, "MiB")
            for size, peak in zip(sizes, peaks, strict=True)
        ),
        Figure("more memory for the larger file", grown, "MiB", "at most 2", grown <= 2),
    ]


def _peak(model: Path, target: Path) -> float:
    """The most memory that the command `convert` ever held, in MiB."""
    target.unlink(missing_ok=True)
    words = [*PYTHON, PEAK, "convert", str(model), "--to", "little", "-o", str(target)]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(result.stderr.split()[-1]) / 1024


def start_figures(model: Path, tokenizer: Path, turns: int) -> list[Figure]:
    """The way to a story's first character against the imports that it cannot do without."""
    story = [*command(), "generate", "-m", str(model), "-z", str(tokenizer), "Sleepy Joe said"]
    imports, first = in_turns(
        [lambda: timed(lambda: run([*PYTHON, IMPORTS])), lambda: first_character(story)], turns
    )
    ratio = first / imports
    return [
        Figure(f'python -c "{IMPORTS}"', imports * 1000, "ms"),
        Figure(f"first character of a story ({model.name})", first * 1000, "ms"),
        Figure("first character / imports", ratio, "", f"at most {MOST_START:g}", ratio <= MOST_START),
    ]


def ratio_figures(rows: Sequence[Row]) -> list[Figure]:
    """The vector kernel over the scalar one, and several hardware threads over one, where both were run."""
    figures = []
    for row in rows:
        runner = row.runner
        for other in rows:
            if (other.runner.kind, other.workload) != (runner.kind, row.workload):
                continue
            if not other.mean:  # too few tokens for the clock
                continue
            ratio = row.mean / other.mean
            place = f"{runner.kind.value}, {row.workload}"
            if (
                runner.matmul is Matmul.VMX
                and other.runner.matmul is Matmul.SCALAR
                and runner.threads == other.runner.threads == 1
            ):
                wanted = runner.kind is not RunnerKind.NATIVE  # there the vector unit is imitated
                target, met = ("more than 1", ratio > 1) if wanted else ("", None)
                figures.append(Figure(f"vmx / scalar, {place}", ratio, "", target, met))
            if (
                runner.matmul
                and runner.threads > other.runner.threads == 1
                and runner.matmul is other.runner.matmul
            ):
                name = f"{runner.threads} threads / 1, {place}, {runner.matmul.value}"
                figures.append(Figure(name, ratio, ""))
    return figures


def runner_figures(folder: Path, repetitions: int) -> list[Figure]:
    """The runners on a larger model, each on one core; the native build with the scalar kernel."""
    paths = synthetic.write_shape(RUNNERS_SHAPE, folder)
    model, tokenizer = loader.open(paths[0]), loader.open_tokenizer(paths[1])
    workloads = benchmark.plan_workloads(model, tokenizer, 0, RUNNERS_TOKENS)
    runners: list[Runner] = []
    notes: list[str] = []
    for selection in (
        Selection((RunnerKind.GPU, RunnerKind.NATIVE), (Matmul.SCALAR,)),
        Selection((RunnerKind.UNICORN, RunnerKind.RECOMPILER), (Matmul.VMX,)),
    ):
        more, said = find_runners(model, tokenizer, folder, selection)
        runners += more
        notes += said
    rows = benchmark.measure(runners, workloads, tokenizer, repetitions)
    speeds = {row.runner.kind.value: row.mean for row in rows}
    figures = [Figure(note, None, "") for note in notes]
    figures += [
        Figure(f"{runner}, shape of {RUNNERS_SHAPE.value}", speed, "tokens/s")
        for runner, speed in speeds.items()
    ]
    for faster, slower, least in LEAST_SPEEDS:
        if speeds.get(faster) and speeds.get(slower):
            ratio = speeds[faster] / speeds[slower]
            figures.append(Figure(f"{faster} / {slower}", ratio, "", f"at least {least}", ratio >= least))
    return figures


def markdown(figures: Sequence[Figure]) -> str:
    words = {None: "", True: "yes", False: "NO"}
    rows = [
        [
            figure.what,
            "skipped" if figure.value is None else f"{figure.value:.2f} {figure.unit}".strip(),
            figure.target,
            words[figure.met],
        ]
        for figure in figures
    ]
    return benchmark_report.markdown_table(["measured", "value", "target", "met"], rows, right=("value",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="instead of the bundled model")
    parser.add_argument("-p", "--n-prompt", type=int, help="tokens of a prompt (32)")
    parser.add_argument("-n", "--n-gen", type=int, help="tokens to generate (32)")
    parser.add_argument("-r", "--repetitions", type=int, default=3, help="of each test (3)")
    parser.add_argument("--turns", type=int, default=7, help="of convert, cp and starting (7)")
    parser.add_argument("--skip-convert", action="store_true", help="needs 500 MB in the temporary folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()

    path = options.model or llama2c.bundled_model()
    with tempfile.TemporaryDirectory(prefix="xenon-llm-") as work:
        folder = Path(work)
        model = loader.open(path)
        tokenizer = loader.find_tokenizer(model)
        workloads = benchmark.plan_workloads(model, tokenizer, options.n_prompt, options.n_gen)
        selection = Selection(threads=sorted({1, default_threads()}))
        runners, notes = find_runners(model, tokenizer, folder, selection)
        rows = benchmark.measure(runners, workloads, tokenizer, options.repetitions)
        facts = [benchmark_report.row_facts(path.name.removesuffix(".bin"), model, row) for row in rows]
        figures = [Figure(note, None, "") for note in notes]
        figures += ratio_figures(rows)
        figures += start_figures(path, tokenizer.path, options.turns)
        if not options.skip_convert:
            figures += conversion_figures(folder, options.turns)
            figures += runner_figures(folder, options.repetitions)
    machine = benchmark_report.machine()
    if options.json:
        report = {"machine": machine, "rows": facts, "figures": [asdict(figure) for figure in figures]}
        print(json.dumps(report, indent=2))
        return
    print(f"{benchmark_report.markdown(facts)}\n")
    print(f"{markdown(figures)}\n\n{benchmark_report.machine_line(machine)}")


if __name__ == "__main__":
    main()
