"""`xenon-llm bench`: tokens a second of a model on everything here that can run it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.errors import UsageError
from xenon.cli.options import ContextOption, JsonOption, ModelArgument, TokenizerOption
from xenon.cli.output import print_json
from xenon.cli.shape_option import ShapeOption
from xenon.stories.settings import Matmul, RunnerKind

if TYPE_CHECKING:
    import loader
    from loader.synthetic import Shape


class Kinds(tuple[RunnerKind, ...]):
    """The runners of `--engine`."""


class Numbers(tuple[int, ...]):
    """The numbers of `--threads` and `--depth`."""


def _kinds(names: str) -> Kinds:
    """The runners of a list with commas. Raises ValueError, which typer reports."""
    known = [kind.value for kind in RunnerKind]
    for name in (words := [word.strip() for word in names.split(",")]):
        if name not in known:
            raise ValueError(f"{name!r} is not one of {', '.join(map(repr, known))}.")
    return Kinds(RunnerKind(name) for name in words)


def _numbers(numbers: str) -> Numbers:
    """The numbers of a list with commas. Raises ValueError, which typer reports."""
    try:
        return Numbers(int(number) for number in numbers.split(","))
    except ValueError:
        raise ValueError(f"{numbers!r}: expected numbers such as 1,2") from None


def bench(
    model: ModelArgument = None,
    named_model: Annotated[
        Path | None, typer.Option("--model", "-m", help="The same, as an option.", show_default=False)
    ] = None,
    tokenizer: TokenizerOption = None,
    shape: ShapeOption = None,
    n_prompt: Annotated[
        int | None,
        typer.Option("--n-prompt", "-p", help="Tokens of a prompt; 0: no such test.", show_default="32"),
    ] = None,
    n_gen: Annotated[
        int | None,
        typer.Option("--n-gen", "-n", help="Tokens to generate; 0: no such test.", show_default="32"),
    ] = None,
    depth: Annotated[
        Numbers | None,
        typer.Option(
            "--depth",
            "-d",
            metavar="N,…",
            parser=_numbers,
            help="Positions of a prompt before what is generated.",
            show_default="0",
        ),
    ] = None,
    repetitions: Annotated[
        int, typer.Option("--repetitions", "-r", min=1, help="Times that each test is run.")
    ] = 3,
    engine: Annotated[
        Kinds | None,
        typer.Option(
            metavar="NAME,…",
            parser=_kinds,
            help=f"Only these of: {', '.join(kind.value for kind in RunnerKind)}.",
            show_default="all there are",
        ),
    ] = None,
    llama2c: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="llama2.c's run.c, built here with -Ofast and with -O3, or its program.",
            show_default=False,
        ),
    ] = None,
    relative_to: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The runner of the column of ratios, as native or recompiler/vmx/2.",
            show_default="llama2c, else native",
        ),
    ] = None,
    matmul: Annotated[
        Matmul | None,
        typer.Option(metavar="vmx|scalar", help="Only this kernel.", show_default="both"),
    ] = None,
    threads: Annotated[
        Numbers | None,
        typer.Option(
            metavar="N,…",
            parser=_numbers,
            help="Hardware threads of the console, 1 to 6.",
            show_default="1 and as many as generate takes",
        ),
    ] = None,
    context: ContextOption = None,
    warmup: Annotated[
        bool, typer.Option("--warmup/--no-warmup", help="Run each runner for a token first, untimed.")
    ] = True,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Measure tokens a second: prompt processing (pp) and generation (tg), in the manner of llama-bench.

    The guest runs in the console, on its CPU (unicorn) and its GPU (gpu), under qemu-ppc64 when that is
    installed, and as a native build of the same C when the extra `test` is installed; beside it runs llama2.c
    itself when you name it. The rows take turns, so that they can be compared with each other; two reports
    cannot. Mean and standard deviation are over the repetitions, ratios are those of the medians.

    \b
    The model that comes with xenon-llm:
      xenon-llm bench
    One of your own, 64 tokens, on the console's vector unit:
      xenon-llm bench -m stories15M.bin -p 0 -n 64 --engine unicorn --matmul vmx
    Beside llama2.c, and how the time of a token grows with the context:
      xenon-llm bench -m stories15M.bin --llama2c run.c -p 0 -n 16 --depth 16,128
    Without any file, in the shape of a larger model:
      xenon-llm bench --shape stories15M -p 8 -n 8 -r 1
    """
    if model is not None and named_model is not None:
        raise UsageError("a model and --model", "give one of them")
    model = model or named_model
    if model is not None and shape is not None:
        raise UsageError("a model and --shape", "give one of them")
    if as_json and as_csv:
        raise UsageError("--json and --csv", "give one of them")
    if llama2c is None and RunnerKind.LLAMA2C in (engine or ()):
        raise UsageError("--engine llama2c without --llama2c", "--llama2c names its run.c, or its program")
    from xenon.stories import benchmark, benchmark_report
    from xenon.stories.engine import default_threads
    from xenon.stories.runners import Selection, find_runners

    named = [RunnerKind.LLAMA2C] if llama2c else []
    selection = Selection(
        kinds=list(dict.fromkeys([*engine, *named])) if engine else list(RunnerKind),
        matmuls=[matmul] if matmul else list(Matmul),
        threads=threads or sorted({1, default_threads()}),
        context=context,
        llama2c=llama2c,
    )
    with tempfile.TemporaryDirectory(prefix="xenon-llm-") as work:
        folder = Path(work)
        files = _opened(model, tokenizer, shape, folder, context)
        with contextlib.closing(files[0]), contextlib.closing(files[1]):  # before their folder goes
            workloads = benchmark.plan_workloads(*files, n_prompt, n_gen, context, depth or (0,))
            runners, notes = find_runners(*files, folder, selection)
            for note in notes:
                print(f"note: {note}", file=sys.stderr)
            plan = benchmark.rows_of(runners, workloads)
            benchmark_report.yardsticks(plan, relative_to)  # refused before anything is run
            if warmup:
                benchmark.warm_up(plan)
            rows = benchmark.measure(plan, files[1], repetitions, _progress)
    compared = benchmark_report.yardsticks(rows, relative_to)
    name = files[0].path.name.removesuffix(".bin")
    facts = [benchmark_report.row_facts(name, files[0], row, compared.get(row.workload)) for row in rows]
    machine = benchmark_report.machine()
    if as_json:
        ratios = benchmark_report.ratios(rows)
        print_json({"machine": machine, "repetitions": repetitions, "rows": facts, "ratios": ratios})
    elif as_csv:
        print(benchmark_report.as_csv(facts), end="")
    else:
        print(benchmark_report.markdown(facts))
        print(f"\n{benchmark_report.machine_line(machine)}")


def _opened(
    model: Path | None, tokenizer: Path | None, shape: Shape | None, folder: Path, context: int | None
) -> tuple[loader.Model, loader.Tokenizer]:
    """What is to be measured; a shape is written to `folder`."""
    from loader.synthetic import write_shape
    from xenon.stories.guest import open_model, open_tokenizer

    if shape is not None:
        model, tokenizer = write_shape(shape, folder)
    opened = open_model(model, context)
    return opened, open_tokenizer(opened, tokenizer)


def _progress(done: int, total: int) -> None:
    """Runs done and in all, on a terminal; gone at the end."""
    if sys.stderr.isatty():
        text = f"{done} of {total} runs" if done < total else ""
        print(f"\r{text:24}\r", end="", file=sys.stderr, flush=True)
