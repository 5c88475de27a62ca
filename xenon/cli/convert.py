"""`xenon-llm convert`: a checkpoint and its tokenizer to the other byte order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xenon.cli.errors import UsageError
from xenon.cli.output import ProgressBar, print_json, shown

if TYPE_CHECKING:
    from loader import ByteOrder, Conversion


def convert(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="A llama2.c checkpoint, or a tokenizer.", show_default=False),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", "-z", help="Convert this tokenizer too.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Output file or folder; the tokenizer goes to the same folder.  [default: beside MODEL]",
            show_default=False,
        ),
    ] = None,
    to: Annotated[Literal["big", "little"], typer.Option("--to", help="Byte order of the output.")] = "big",
    format: Annotated[
        Literal["v0", "v1", "v2"] | None,
        typer.Option(
            "--format",
            help="Version of the output; v0 can become v1.  [default: as it is]",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Convert a llama2.c checkpoint and its tokenizer to big-endian, or back.

    Each output appears whole or not at all, and no input is ever changed.

    \b
    Writes stories15M.be.bin and tokenizer.be.bin:
      xenon-llm convert stories15M.bin -z tokenizer.bin
    Aligns every tensor to 128 bytes as well:
      xenon-llm convert stories15M.bin --format v1
    And back, to stories15M.le.bin:
      xenon-llm convert stories15M.be.bin --to little
    Says what would be written:
      xenon-llm convert stories15M.bin -o disc/ --dry-run
    """
    import loader

    conversions = _planned(model, tokenizer, out, loader.ByteOrder(to), format)
    if dry_run:
        loader.check_outputs(conversions, force)
    else:
        with ProgressBar("converting") as progress:
            loader.write(conversions, force, progress)
    if as_json:
        print_json({"written": not dry_run, "outputs": [conversion.as_dict() for conversion in conversions]})
        return
    for conversion in conversions:
        print(("would write " if dry_run else "wrote ") + _sentence(conversion))


def _planned(
    model: Path | None, tokenizer: Path | None, out: Path | None, order: ByteOrder, format: str | None
) -> list[Conversion]:
    """Everything to be converted, with all inputs read and checked."""
    import loader

    if model is None and tokenizer is None:
        raise UsageError("missing MODEL", "xenon-llm convert --help")
    wanted = None if format is None else loader.Format[format.upper()]
    if model is None:
        return [loader.plan(loader.open_tokenizer(str(tokenizer)), order, None, out)]
    opened = loader.open(model) if tokenizer is not None else loader.open_any(model)
    planned = [loader.plan(opened, order, wanted, out)]
    if tokenizer is not None and isinstance(opened, loader.Model):
        second = loader.open_tokenizer(tokenizer)
        loader.check_vocabulary(opened, second)
        planned.append(loader.plan(second, order, None, None if out is None else planned[0].target.parent))
    return planned


def _sentence(conversion: Conversion) -> str:
    kind = "tokenizer" if conversion.format is None else f"{conversion.format} model"
    sentence = f"{shown(conversion.target)}: {kind}, {conversion.byte_order}, {conversion.image.size:,} bytes"
    if conversion.aligned is not None:
        sentence += f", {'all' if conversion.aligned else 'not all'} tensors 128-byte aligned"
    return sentence
