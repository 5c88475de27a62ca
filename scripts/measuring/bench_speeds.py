"""Ratios of speeds on models of several sizes: against llama2.c, threads, prompts, depth of the context."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench_figures import Figure, at_least, at_most
from bench_memory import memory_figures

import loader
from loader import Config, synthetic
from loader.synthetic import Shape
from xenon.stories import benchmark
from xenon.stories.benchmark import Row, WorkloadKind
from xenon.stories.runners import Runner, Selection, find_runners
from xenon.stories.settings import Matmul, RunnerKind

RUNNERS_SHAPE, RUNNERS_TOKENS = Shape.STORIES_15M, 12
LEAST_SPEEDS = (("gpu", "native", 1.0), ("recompiler", "native", 2.0), ("recompiler", "unicorn", 50.0))
LEAST_LLAMA2C = {Shape.STORIES_260K: 0.5}  # times run.c -Ofast on one core; 1 for larger models
LEAST_TWO_THREADS, LEAST_MORE_THREADS = 1.6, 0.9  # times one thread, times two
LEAST_PROMPT = 3.0  # times generation
MOST_GROWTH = 1.25  # times the growth of the multiply-adds of a token
MANY_THREADS = (1, 2, 3, 6)
MOST_CONTEXT = 512  # positions: what stories110M fits the console with
ONE, TWO = "recompiler/vmx/1", "recompiler/vmx/2"


@dataclass(frozen=True)
class Scale:
    """How much is measured: tokens a test, the depths that are compared, repetitions."""

    tokens: int = 64
    depths: Sequence[int] = (16, 256, 1024)
    repetitions: int = 5


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
    rows = benchmark.rows_of(runners, workloads)
    benchmark.warm_up(rows)
    benchmark.measure(rows, tokenizer, repetitions)
    speeds = {row.runner.kind.value: row.median for row in rows}
    figures = [Figure(note, None, "") for note in notes]
    figures += [
        Figure(f"{runner}, shape of {RUNNERS_SHAPE.value}", speed, "tokens/s")
        for runner, speed in speeds.items()
    ]
    for faster, slower, least in LEAST_SPEEDS:
        if speeds.get(faster) and speeds.get(slower):
            ratio = speeds[faster] / speeds[slower]
            figures.append(at_least(f"{faster} / {slower}", ratio, least))
    return figures


def shape_figures(shape: Shape, llama2c: Path | None, folder: Path, scale: Scale) -> list[Figure]:
    """A shape on compiled code with 1, 2, 3 and 6 threads, and on llama2.c: generation and a prompt; beside
    llama2.c also what memory allows."""
    config = replace(shape.config, seq_len=min(shape.config.seq_len, MOST_CONTEXT))
    model, tokenizer = _made(config, folder / shape.value)
    # The clock of run.c has milliseconds: a small model takes longer tests.
    tokens = scale.tokens * (1 if model.config.dim > 64 else 4)
    workloads = benchmark.plan_workloads(model, tokenizer, tokens, tokens)
    kinds = [RunnerKind.RECOMPILER, *([RunnerKind.LLAMA2C] if llama2c else [])]
    selection = Selection(kinds, (Matmul.VMX,), MANY_THREADS, llama2c=llama2c)
    runners, notes = find_runners(model, tokenizer, folder / shape.value, selection)
    rows = side_by_side(benchmark.rows_of(runners, workloads))
    benchmark.warm_up(rows)
    benchmark.measure(rows, tokenizer, scale.repetitions)
    figures = [*(Figure(note, None, "") for note in notes), *compared(shape, rows)]
    if llama2c:
        told = {row.label: row.median for row in rows if row.workload.kind is WorkloadKind.GENERATION}
        limited = {label: told[label] for label in (ONE, TWO, "llama2c") if label in told}
        figures += memory_figures(shape.value, model.path.stat().st_size, shape.config.dim, limited, folder)
    return figures


def side_by_side(rows: Iterable[Row]) -> list[Row]:
    """Test by test, so that what is compared follows one another: llama2.c, then one thread, then more."""
    return sorted(rows, key=lambda row: (row.workload.kind, row.label != "llama2c", row.runner.threads))


def median_ratio(over: Row, under: Row) -> float | None:
    """The median of the ratios of each turn's speeds: what slows the computer down for a second slows both.
    None where a clock was too coarse for one of them."""
    pairs = list(zip(over.samples, under.samples, strict=True))
    return statistics.median(a / b for a, b in pairs) if pairs and all(map(all, pairs)) else None


def compared(shape: Shape, rows: Sequence[Row]) -> list[Figure]:
    """The speeds of a shape, and the ratios that have a target."""
    measured = {(row.label, row.workload.kind): row for row in rows}
    figures = [Figure(f"{row.label}, {shape.value}, {row.workload}", row.median, "tokens/s") for row in rows]
    large = shape is not Shape.STORIES_260K

    def ratio(over: str, under: str, kind: WorkloadKind, least: float | None) -> None:
        above, below = measured.get((over, kind)), measured.get((under, kind))
        if above and below and (value := median_ratio(above, below)) is not None:
            what = f"{over} / {under}, {shape.value}, {kind}"
            figures.append(at_least(what, value, least) if least else Figure(what, value, ""))

    for kind in (WorkloadKind.GENERATION, WorkloadKind.PROMPT):
        generated = kind is WorkloadKind.GENERATION
        ratio(ONE, "llama2c", kind, LEAST_LLAMA2C.get(shape, 1.0) if generated else None)
        ratio(TWO, ONE, kind, LEAST_TWO_THREADS if large and generated else None)
        for threads in MANY_THREADS[2:]:
            ratio(f"recompiler/vmx/{threads}", TWO, kind, LEAST_MORE_THREADS if generated else None)
    read, told = (measured.get((ONE, kind)) for kind in (WorkloadKind.PROMPT, WorkloadKind.GENERATION))
    if read and told and (value := median_ratio(read, told)) is not None:
        what, target = f"pp / tg, {ONE}, {shape.value}", LEAST_PROMPT if large else None
        figures.append(at_least(what, value, target) if target else Figure(what, value, ""))
    return figures


def depth_figures(shape: Shape, folder: Path, scale: Scale) -> list[Figure]:
    """How the time of a token grows with the positions before it, in a shape with a context for them all.

    What may grow is attention: two multiply-adds for each position, layer and element.
    """
    tokens = min(scale.tokens, 16)
    config = replace(shape.config, seq_len=max(scale.depths) + tokens + 2)
    model, tokenizer = _made(config, folder / "depth")
    workloads = benchmark.plan_workloads(model, tokenizer, 0, tokens, depths=scale.depths)
    runners, notes = find_runners(
        model, tokenizer, folder / "depth", Selection((RunnerKind.RECOMPILER,), (Matmul.VMX,))
    )
    rows = benchmark.rows_of(runners, workloads)
    benchmark.warm_up(rows)
    benchmark.measure(rows, tokenizer, scale.repetitions)
    figures = [Figure(note, None, "") for note in notes]
    for row in rows:
        figures.append(Figure(f"{row.label}, {shape.value}, {row.workload}", row.median, "tokens/s"))
        if row is not rows[0] and (grown := median_ratio(rows[0], row)) is not None:
            work = [_work(model, workload.depth + tokens / 2) for workload in (row.workload, workloads[0])]
            what = f"time of a token, {row.workload} / {workloads[0]}"
            figures.append(at_most(what, grown, MOST_GROWTH * work[0] / work[1]))
    return figures


def _work(model: loader.Model, positions: float) -> float:
    """Multiply-adds of a token with so many positions before it."""
    config = model.config
    matrices = sum(tensor.count for tensor in model.tensors if tensor.is_weight)
    return matrices + 2 * positions * config.dim * config.n_layers


def _made(config: Config, folder: Path) -> tuple[loader.Model, loader.Tokenizer]:
    """A model of these dimensions with random weights, and its tokenizer."""
    folder.mkdir()
    model, tokenizer = folder / "model.bin", folder / "tokenizer.bin"
    synthetic.write_model(config, model)
    synthetic.write_tokenizer(config.vocab_size, tokenizer)
    return loader.open(model), loader.open_tokenizer(tokenizer)
