"""`xenon-llm verify`: whether a model is whole, and whether everything that computes it agrees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.console_options import takes_console_options
from xenon.cli.errors import EXIT_BAD_INPUT, UsageError
from xenon.cli.options import (
    JsonOption,
    TimeoutOption,
    TokenizerOption,
)
from xenon.cli.output import print_json, shown
from xenon.stories.settings import Engine, Matmul, Setup

if TYPE_CHECKING:
    from xenon.evaluation.checks import Check, Plan
    from xenon.evaluation.dump import Tensors

_USAGE = "xenon-llm verify --help"


@takes_console_options
def verify(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="A model; or what c64 --dump wrote.", show_default="bundled"),
    ] = None,
    tokenizer: TokenizerOption = None,
    positions: Annotated[int, typer.Option("--positions", "-n", min=1, help="Positions to compare.")] = 9,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", metavar="DIR", help="Write every tensor of the pass.", show_default=False),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="Compare with such tensors.", show_default=False),
    ] = None,
    ulps: Annotated[
        int, typer.Option("--ulps", min=0, help="Distance of two floats that --against allows.")
    ] = 0,
    *,
    setup: Setup,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a model: its file, both byte orders, and what console and host compute with it, to the bit.

    A line for each check. The logits of a number of positions come from the same C on this computer, and
    from the console on each CPU and on the GPU; --engine and --cpu choose one. The CPUs must have the host's
    bits, the GPU stays within a ten-thousandth of the logits' range. Where they part, the first tensor that
    differs is named.

    --dump writes every tensor of the pass, of the host and of the console, as .npy files. --against compares
    with the tensors of a port of your own, written the same way, and names the first that differs: position,
    index, both values, and how many floats lie between them.

    \b
    The line for a CI job:
      xenon-llm verify stories15M.be.bin
    Every tensor of three positions, in tensors/host and tensors/console:
      xenon-llm verify stories15M.be.bin -n 3 --dump tensors
    Those of another program, as far as it wrote some:
      xenon-llm verify stories15M.be.bin --against mine --matmul scalar --ulps 64
    What Llama2.c64 left in a C64's memory (docs/c64.md):
      xenon-llm verify dump

    \b
    Exit codes: 0 all is well, 1 something is not or the input is bad, 2 wrong command line,
      3 the guest is at fault, 124 time limit, 130 Ctrl-C.
    """
    from xenon.cli.c64 import dump_of
    from xenon.cli.verify_c64 import verify_dump
    from xenon.evaluation.checks import Plan, tokens_to_verify
    from xenon.stories.guest import open_model, open_tokenizer

    if dump is not None and against is not None:
        raise UsageError("--dump and --against exclude each other", _USAGE)
    if ulps and against is None:
        raise UsageError("--ulps is for --against", _USAGE)
    if setup.engine is Engine.GPU and (dump or against):
        raise UsageError("tensors are written by CPUs, not by the GPU", "leave --engine out")
    if model is not None and dump_of(model):
        if not verify_dump(model, as_json):
            raise typer.Exit(EXIT_BAD_INPUT)
        return
    opened = open_model(model, setup.context)
    if (setup.context or 0) > opened.config.seq_len:
        raise UsageError(f"--context {setup.context}, the model's is {opened.config.seq_len}", _USAGE)
    tokens = tokens_to_verify(opened, min(positions, setup.context or positions))
    plan = Plan(opened, open_tokenizer(opened, tokenizer), setup, tokens, timeout)
    if dump is not None:
        passed = _dump(plan, dump, as_json)
    elif against is not None:
        passed = _compare(plan, against, ulps, as_json)
    else:
        passed = _check(plan, as_json)
    if not passed:
        raise typer.Exit(EXIT_BAD_INPUT)


def _check(plan: Plan, as_json: bool) -> bool:
    """Make every check, and print each as it is made."""
    from xenon.evaluation.checks import Outcome, checks

    made: list[Check] = []
    for check in checks(plan):
        made.append(check)
        if not as_json:
            print(f"{check.outcome.value:8}{check.name:30}{check.detail}", flush=True)
    failed = sum(check.outcome is Outcome.FAILED for check in made)
    if as_json:
        rows = [{"name": row.name, "outcome": row.outcome.name.lower(), "detail": row.detail} for row in made]
        print_json({"model": shown(plan.model.path), "passed": not failed, "checks": rows})
    else:
        print(f"{failed} of {len(made)} checks failed" if failed else f"{len(made)} checks, none failed")
    return not failed


def _dump(plan: Plan, folder: Path, as_json: bool) -> bool:
    from xenon.evaluation.dump import first_difference, write_dumps

    host, console = _host_tensors(plan), _console_tensors(plan)
    write_dumps(folder, {"host": host, "console": console})
    difference = first_difference(console, host)
    if as_json:
        names = list(host.arrays)
        print_json(
            {"folder": shown(folder), "tokens": list(host.tokens), "tensors": names} | _fact(difference)
        )
    else:
        print(
            f"{shown(folder)}: {len(host.arrays)} tensors of {len(host.tokens)} positions, host and console"
        )
        print("the console has the host's bits" if difference is None else f"they part: {difference}")
    return difference is None


def _compare(plan: Plan, folder: Path, ulps: int, as_json: bool) -> bool:
    from dataclasses import replace

    from xenon.evaluation.dump import dumped_tokens, first_difference, read_dump

    config = plan.model.config
    tokens = dumped_tokens(folder, config.vocab_size, plan.setup.context or config.seq_len)
    expected = _host_tensors(replace(plan, tokens=tokens))
    tensors = read_dump(folder, expected)
    difference = first_difference(tensors, expected, ulps)
    missing = [name for name in expected.arrays if name not in tensors.arrays]
    if as_json:
        facts = {"folder": shown(folder), "compared": list(tensors.arrays), "missing": missing}
        print_json({**facts, "ulps": ulps} | _fact(difference))
        return difference is None
    print(
        f"{shown(folder)}: {len(tensors.arrays)} of {len(expected.arrays)} tensors of {len(tokens)} positions"
    )
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        print(f"not there: {', '.join(missing[:4])}{more}")
    within = f"within {ulps} ulp of the host's" if ulps else "the host's to the bit"
    print(f"all are {within}" if difference is None else f"first difference: {difference}")
    return difference is None


def _host_tensors(plan: Plan) -> Tensors:
    from xenon.evaluation.dump import tensors_of

    return tensors_of(plan.host(), plan.tokens, plan.model.config.n_heads)


def _console_tensors(plan: Plan) -> Tensors:
    from dataclasses import replace

    from xenon.evaluation.dump import tensors_of
    from xenon.evaluation.engines import ConsoleEvaluator
    from xenon.stories.session import Session

    setup = replace(plan.setup, engine=Engine.CPU, matmul=plan.setup.matmul or Matmul.VMX)
    console = ConsoleEvaluator(Session(plan.model, plan.tokenizer, setup), plan.timeout)
    return tensors_of(console, plan.tokens, plan.model.config.n_heads)


def _fact(difference: object) -> dict[str, object]:
    """A difference for JSON."""
    from dataclasses import asdict, is_dataclass

    if not is_dataclass(difference) or isinstance(difference, type):
        return {"difference": None}
    return {"difference": asdict(difference)}
