"""`xenon-llm bench`: tokens a second of a model on everything here that can run it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.options import ContextOption, JsonOption, ModelArgument, TokenizerOption
from xenon.cli.output import print_json
from xenon.errors import EXIT_USAGE, XenonError

if TYPE_CHECKING:
    import loader
    from xenon.stories.session import Matmul


def bench(
    model: ModelArgument = None,
    tokenizer: TokenizerOption = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Random weights in the shape of stories260K, stories15M, stories42M or stories110M.",
            show_default=False,
        ),
    ] = None,
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
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Only these of: unicorn, recompiler, gpu, qemu-ppc64, native.",
            show_default="all there are",
        ),
    ] = None,
    matmul: Annotated[
        str | None, typer.Option(metavar="vmx|scalar", help="Only this kernel.", show_default="both")
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="N,…",
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
        raise XenonError("a model and --shape", "give one of them", EXIT_USAGE)
    if as_json and as_csv:
        raise XenonError("--json and --csv", "give one of them", EXIT_USAGE)
    from xenon.stories import benchmark, benchmark_report

    engines, matmuls, counts = _engines(engine), _matmuls(matmul), _threads(threads)
    with tempfile.TemporaryDirectory(prefix="xenon-llm-") as work:
        folder = Path(work)
        opened, its_tokenizer = _opened(model, tokenizer, shape, folder)
        workloads = benchmark.plan_workloads(opened, its_tokenizer, n_prompt, n_gen, context)
        runners, notes = benchmark.find_runners(
            opened, its_tokenizer, folder, engines, matmuls, counts, context
        )
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        rows = benchmark.measure(runners, workloads, its_tokenizer, repetitions, _progress)
    name = opened.path.name.removesuffix(".bin")
    facts = [benchmark_report.row_facts(name, opened, row) for row in rows]
    machine = benchmark_report.machine()
    if as_json:
        print_json({"machine": machine, "repetitions": repetitions, "rows": facts})
    elif as_csv:
        print(benchmark_report.as_csv(facts), end="")
    else:
        print(benchmark_report.markdown(facts))
        print(f"\n{benchmark_report.machine_line(machine)}")


def _opened(
    model: Path | None, tokenizer: Path | None, shape: str | None, folder: Path
) -> tuple[loader.Model, loader.Tokenizer]:
    """What is to be measured; a shape is written to `folder`."""
    import llama2c
    import loader
    from loader import synthetic

    if shape is not None:
        model, tokenizer = synthetic.write_shape(shape, folder)
    opened = loader.open(model or llama2c.bundled_model())
    if tokenizer is None:
        return opened, loader.find_tokenizer(opened)
    its_tokenizer = loader.open_tokenizer(tokenizer)
    loader.check_vocabulary(opened, its_tokenizer)
    return opened, its_tokenizer


def _progress(done: int, total: int) -> None:
    """Runs done and in all, on a terminal; gone at the end."""
    if sys.stderr.isatty():
        text = f"{done} of {total} runs" if done < total else ""
        print(f"\r{text:24}\r", end="", file=sys.stderr, flush=True)


def _engines(names: str | None) -> list[str]:
    from xenon.stories.benchmark import ENGINES

    wanted = list(ENGINES) if names is None else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in ENGINES:
            raise XenonError(f"--engine {name!r}: expected {', '.join(ENGINES)}", "", EXIT_USAGE)
    return wanted


def _matmuls(name: str | None) -> list[Matmul]:
    from xenon.stories.session import Matmul

    if name is None:
        return list(Matmul)
    try:
        return [Matmul(name)]
    except ValueError:
        raise XenonError(f"--matmul {name!r}: expected vmx or scalar", "", EXIT_USAGE) from None


def _threads(numbers: str | None) -> list[int]:
    from xenon.stories.session import default_threads

    if numbers is None:
        return sorted({1, default_threads()})
    try:
        return [int(number) for number in numbers.split(",")]
    except ValueError:
        raise XenonError(f"--threads {numbers!r}: expected numbers such as 1,2", "", EXIT_USAGE) from None
