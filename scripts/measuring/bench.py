"""All of the project's claims about speed, measured in one run: python scripts/measuring/bench.py [MODEL].

Times tokens a second (as `xenon-llm bench`), beside llama2.c's run.c where it is given, `convert` against
`cp` of the same file, the way to the first character of a story against the imports it needs, and the first
story against the second. What is compared takes turns, and the medians of the turns are compared. The targets
beside the ratios are the project's own; those that are missed are listed at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench_convert import conversion_figures, gguf_figures
from bench_figures import Figure, markdown, missed
from bench_speeds import Scale, depth_figures, ratio_figures, runner_figures, shape_figures
from bench_start import start_figures

import llama2c
import loader
from llama2c.facts import HOT_FUNCTIONS
from loader.synthetic import Shape
from xenon.console import Console, CpuKind, MachineSettings
from xenon.errors import XenonError
from xenon.stories import benchmark, benchmark_report
from xenon.stories.benchmark_report import Value
from xenon.stories.engine import default_threads
from xenon.stories.runners import Selection, find_runners

TARGET_SHAPES = (Shape.STORIES_260K, Shape.STORIES_15M, Shape.STORIES_110M)
PARTS = ("engines", "shapes", "depth", "start", "convert")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="instead of the bundled model")
    parser.add_argument("-p", "--n-prompt", type=int, help="tokens of a prompt (32)")
    parser.add_argument("-n", "--n-gen", type=int, help="tokens to generate (32)")
    parser.add_argument("-r", "--repetitions", type=int, default=5, help="of each test (5)")
    parser.add_argument("--turns", type=int, default=7, help="of convert, cp, starting and stories (7)")
    parser.add_argument("--llama2c", type=Path, metavar="PATH", help="llama2.c's run.c, or its program")
    parser.add_argument("--gguf", type=Path, metavar="PATH", help="a GGUF file to make the console's file of")
    parser.add_argument("--shapes", nargs="*", type=Shape, default=TARGET_SHAPES, help="that targets are for")
    parser.add_argument("--tokens", type=int, default=64, help="a test of these shapes (64)")
    parser.add_argument("--depths", nargs="*", type=int, default=(16, 256, 1024), help="in positions")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, help="these parts of the report")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def unprepared() -> list[str]:
    """The hot functions of the guest that have no code prepared by this generator from these instructions: a
    run compiles them while it is timed. Empty where nothing can be compiled."""
    try:
        console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    except XenonError:
        return []
    console.boot(llama2c.guest_program(), ["model"])
    recompiler = console.recompiler
    assert recompiler is not None
    names = {function.address: function.name for function in recompiler.functions}
    hot = [address for address, name in names.items() if name in HOT_FUNCTIONS]
    return [names[address] for address in recompiler.take_prepared(hot)]


def measured(options: argparse.Namespace, folder: Path) -> tuple[list[dict[str, Value]], list[Figure]]:
    """The rows of the model on all engines, and the figures of all parts that are asked for."""
    path = options.model or llama2c.bundled_model()
    model = loader.open(path)
    tokenizer = loader.find_tokenizer(model)
    scale = Scale(options.tokens, options.depths, options.repetitions)
    facts: list[dict[str, Value]] = []
    figures: list[Figure] = []
    if left := unprepared():
        what = f"{len(left)} hot functions are compiled in each run: python -m xenon.stories.prepare"
        figures.append(Figure(what, None, ""))
    if "engines" in options.only:
        workloads = benchmark.plan_workloads(model, tokenizer, options.n_prompt, options.n_gen)
        selection = Selection(threads=sorted({1, default_threads()}), llama2c=options.llama2c)
        runners, notes = find_runners(model, tokenizer, folder, selection)
        plan = benchmark.rows_of(runners, workloads)
        benchmark.warm_up(plan)
        rows = benchmark.measure(plan, tokenizer, options.repetitions)
        compared = benchmark_report.yardsticks(rows, None)
        name = path.name.removesuffix(".bin")
        facts += [benchmark_report.row_facts(name, model, row, compared.get(row.workload)) for row in rows]
        figures += [Figure(note, None, "") for note in notes]
        figures += ratio_figures(rows)
        figures += runner_figures(folder, options.repetitions) if options.model is None else []
    if "shapes" in options.only:
        for shape in options.shapes:
            figures += shape_figures(shape, options.llama2c, folder, scale)
    if "depth" in options.only:
        figures += depth_figures(options.shapes[min(1, len(options.shapes) - 1)], folder, scale)
    if "start" in options.only:
        figures += start_figures(path, tokenizer.path, options.turns)
    if "convert" in options.only:
        figures += conversion_figures(folder, options.turns)
        figures += gguf_figures(options.gguf, folder, options.turns) if options.gguf else []
    return facts, figures


def main() -> None:
    options = read_options()
    try:
        with tempfile.TemporaryDirectory(prefix="xenon-llm-") as work:
            facts, figures = measured(options, Path(work))
    except (XenonError, loader.LoaderError) as error:
        sys.exit(f"error: {error.message}")
    machine = benchmark_report.machine()
    if options.json:
        report = {"machine": machine, "rows": facts, "figures": [asdict(figure) for figure in figures]}
        print(json.dumps(report, indent=2))
        return
    if facts:
        print(f"{benchmark_report.markdown(facts)}\n")
    print(f"{markdown(figures)}\n\n{benchmark_report.machine_line(machine)}\n{missed(figures)}")


if __name__ == "__main__":
    main()
