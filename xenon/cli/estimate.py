"""`xenon-llm estimate`: what a real Xbox 360 would do with a model, calculated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.errors import UsageError
from xenon.cli.options import JsonOption, KeyValueOption, ModelArgument
from xenon.cli.output import print_json, shown
from xenon.cli.shape_option import ShapeOption
from xenon.stories.settings import KeyValueType

if TYPE_CHECKING:
    from loader import Config
    from loader.synthetic import Shape
    from xenon.stories.console_figures import ConsoleFigures


def estimate(
    model: ModelArgument = None,
    shape: ShapeOption = None,
    kv: KeyValueOption = KeyValueType.F32,
    machine: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE.txt",
            help="A console's figures: the page of its self-test (pack --self-test).",
            show_default="published figures",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Calculate the tokens a second that a real Xbox 360 could reach with a model, and what would limit it.

    This is a roofline: bytes and operations of the model against the published bandwidths and latencies of
    the console. Nothing is run, and nobody has measured it. Measurements of other machines stand beside it.

    \b
    A model of your own:
      xenon-llm estimate stories15M.bin
    Without a file, for a program to read:
      xenon-llm estimate --shape stories110M --json
    By what a console has measured, as its self-test has printed it:
      xenon-llm estimate --shape stories15M --machine page.txt
    """
    from xenon.stories.console_figures import XBOX_360
    from xenon.stories.estimate import as_dict

    name, config = _config(model, shape)
    figures = XBOX_360 if machine is None else _figures_of(machine)
    if as_json:
        print_json(as_dict(name, config, kv.nbytes, figures))
    else:
        _print(name, config, kv.nbytes, figures)


def _figures_of(path: Path) -> ConsoleFigures:
    from xenon.input_file import MIB, InputFile
    from xenon.stories.console_figures import measured_console
    from xenon.stories.selftest_page import parse_page

    with InputFile(path, "expected the page that a console's self-test prints") as file:
        return measured_console(parse_page(shown(path), file.read(MIB, "a page")))


def _config(model: Path | None, shape: Shape | None) -> tuple[str, Config]:
    """A name and the dimensions of a model."""
    from xenon.stories.guest import open_model

    if shape is not None:
        if model is not None:
            raise UsageError("a model and --shape", "give one of them")
        return shape.value, shape.config
    opened = open_model(model)
    return shown(opened.path), opened.config


def _print(name: str, config: Config, kv_bytes: int, figures: ConsoleFigures) -> None:
    from xenon.hardware.memory_map import in_units
    from xenon.stories import estimate as timing

    most = config.seq_len - 1
    asked, late = timing.token_work(config), timing.token_work(config, most, kv_bytes)
    print(
        f"{name}: {in_units(asked.weight_bytes)} of weights and {asked.multiply_adds / 1e6:.2f} million "
        f"multiply-adds a token; {in_units(late.cache_bytes)} of keys and values at position {most}\n"
    )
    print(f"{'calculated for an Xbox 360':32}{'tokens/s':>10}{f'at {most}':>10}{'prompt':>10}  limited by")
    last = timing.estimate(config, most, kv_bytes, figures)
    for early, end in zip(timing.estimate(config, figures=figures), last, strict=True):
        limit = early.limit if early.limit == end.limit else f"{early.limit}, then {end.limit}"
        if early.prompt_limit != early.limit:
            limit += f"; prompt: {early.prompt_limit}"
        columns = early.tokens_per_second, end.tokens_per_second, early.prompt_tokens_per_second
        speeds = "".join(f"{_speed(figure):>10}" for figure in columns)
        print(f"{early.variant:32}{speeds}  {limit}")
    print(f"\n{'assumed':48}{'value':>16}  source")
    for row in figures.rows:
        print(f"{row.name:48}{_quantity(row.value, row.unit):>16}  {row.source}")
    print(f"\n{'published for other machines':40}{'model':14}{'tokens/s':>13}  source")
    for speed in timing.PUBLISHED:
        print(f"{speed.machine:40}{speed.model:14}{speed.tokens_per_second:>13}  {speed.source}")
    print(f"\n{timing.NOT_PUBLISHED}")


def _speed(value: float) -> str:
    """Two or three significant figures: more would not be true."""
    if value >= 10:
        return f"{float(f'{value:.2e}'):,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _quantity(value: float, unit: str) -> str:
    """A value with its unit: 3.2 GHz, 200 ns, 8 lines."""
    for scale, prefix in ((1e9, "G"), (1e6, "M")):
        if unit in ("Hz", "bytes/s") and value >= scale:
            return f"{value / scale:.4g} {prefix}{unit.replace('bytes', 'B')}"
    if unit == "s":
        return f"{value * 1e9:.4g} ns"
    return f"{value:.4g} {unit}".strip()
