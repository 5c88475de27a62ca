"""`xenon-llm bench`: tokens a second of a model on everything here that can run it."""

from __future__ import annotations

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


class ThreadCounts(tuple[int, ...]):
    """The numbers of `--threads`."""


def _kinds(names: str) -> Kinds:
    """The runners of a list with commas. Raises ValueError, which typer reports."""
    known = [kind.value for kind in RunnerKind]
    for name in (words := [word.strip() for word in names.split(",")]):
        if name not in known:
            raise ValueError(f"{name!r} is not one of {', '.join(map(repr, known))}.")
    return Kinds(RunnerKind(name) for name in words)


def _counts(numbers: str) -> ThreadCounts:
    """The numbers of a list with commas. Raises ValueError, which typer reports."""
    try:
        return ThreadCounts(int(number) for number in numbers.split(","))
    except ValueError:
        raise ValueError(f"{numbers!r}: expected numbers such as 1,2") from None


def bench(
    model: ModelArgument = None,
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
    matmul: Annotated[
        Matmul | None,
        typer.Option(metavar="vmx|scalar", help="Only this kernel.", show_default="both"),
    ] = None,
    threads: Annotated[
        ThreadCounts | None,
        typer.Option(
            metavar="N,…",
            parser=_counts,
            help="Hardware threads of the console, 1 to 6.",
            show_default="1 and as many as generate takes",
        ),
    ] = None,
    context: ContextOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Measure tokens a second: prompt processing (pp) and generation (tg), in the manner of llama-bench.

    The guest runs in the console, on its CPU (unicorn) and its GPU (gpu), under qemu-ppc64 when that is
    installed, and as a native build of the same C when the extra `test` is installed. The rows take turns, so
    that they can be compared with each other; two reports cannot. Mean and standard deviation are over the
    repetitions.

    \b
    The model that comes with xenon-llm:
      xenon-llm bench
    One of your own, 64 tokens, on the console's vector unit:
      xenon-llm bench stories15M.bin -p 0 -n 64 --engine unicorn --matmul vmx
    Without any file, in the shape of a larger model:
      xenon-llm bench --shape stories15M -p 8 -n 8 -r 1
    """
    if model is not None and shape is not None:
        raise UsageError("a model and --shape", "give one of them")
    if as_json and as_csv:
        raise UsageError("--json and --csv", "give one of them")
    from xenon.stories import benchmark, benchmark_report
    from xenon.stories.engine import default_threads
    from xenon.stories.runners import Selection, find_runners

    selection = Selection(
        kinds=engine or list(RunnerKind),
        matmuls=[matmul] if matmul else list(Matmul),
        threads=threads or sorted({1, default_threads()}),
        context=context,
    )
    with tempfile.TemporaryDirectory(prefix="xenon-llm-") as work:
        folder = Path(work)
        files = _opened(model, tokenizer, shape, folder)
        workloads = benchmark.plan_workloads(*files, n_prompt, n_gen, context)
        runners, notes = find_runners(*files, folder, selection)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        rows = benchmark.measure(runners, workloads, files[1], repetitions, _progress)
    name = files[0].path.name.removesuffix(".bin")
    facts = [benchmark_report.row_facts(name, files[0], row) for row in rows]
    machine = benchmark_report.machine()
    if as_json:
        print_json({"machine": machine, "repetitions": repetitions, "rows": facts})
    elif as_csv:
        print(benchmark_report.as_csv(facts), end="")
    else:
        print(benchmark_report.markdown(facts))
        print(f"\n{benchmark_report.machine_line(machine)}")


def _opened(
    model: Path | None, tokenizer: Path | None, shape: Shape | None, folder: Path
) -> tuple[loader.Model, loader.Tokenizer]:
    """What is to be measured; a shape is written to `folder`."""
    from loader.synthetic import write_shape
    from xenon.stories.guest import open_model, open_tokenizer

    if shape is not None:
        model, tokenizer = write_shape(shape, folder)
    opened = open_model(model)
    return opened, open_tokenizer(opened, tokenizer)


def _progress(done: int, total: int) -> None:
    """Runs done and in all, on a terminal; gone at the end."""
    if sys.stderr.isatty():
        text = f"{done} of {total} runs" if done < total else ""
        print(f"\r{text:24}\r", end="", file=sys.stderr, flush=True)
