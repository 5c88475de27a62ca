"""`xenon-llm convert`: a model and its tokenizer to the other byte order, or to a checkpoint."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xenon.cli.conversions import FormatName, Quantisation, Wishes, planned
from xenon.cli.output import ProgressBar, print_json, shown

if TYPE_CHECKING:
    from loader import Conversion


def convert(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A llama2.c checkpoint, GGUF file, Hugging Face folder, or tokenizer.",
            show_default=False,
        ),
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
    to: Annotated[
        Literal["big", "little", "c64"],
        typer.Option("--to", help="Byte order of the output; c64: the files of Llama2.c64."),
    ] = "big",
    format: Annotated[
        FormatName | None,
        typer.Option(
            "--format",
            help="What the output is: checkpoint v0, v1 (fp32), v2 (int8) or the console's, or GGUF."
            "  [default: as MODEL is; of GGUF with -o X.bin, --quantize or --context: console]",
            show_default=False,
        ),
    ] = None,
    quantize: Annotated[
        Quantisation | None,
        typer.Option(
            "--quantize",
            help="Type of the matrices: int8 is llama2.c's v2, the others the console's.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        int | None,
        typer.Option("--group", help="Values that share an int8 scale.  [default: 64]", show_default=False),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            help="Positions of the checkpoint, at most the model's.  [default: 2048, or the model's]",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Convert a model and its tokenizer to big-endian, or back, or make a checkpoint of a GGUF file or of a
    folder from the Hugging Face hub.

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
    The same tensors big-endian, as smollm2.be.gguf:
      xenon-llm convert smollm2.gguf --to big
    A checkpoint for the console, with the blocks of the GGUF file:
      xenon-llm convert smollm2.gguf -o smollm2.be.bin --context 2048
    An int8 checkpoint, as llama2.c's export.py and runq have it:
      xenon-llm convert smollm2.gguf --to little --quantize int8
    weights.reu, config.bin and tokenizer.bin for a Commodore 64, in the folder c64, and back:
      xenon-llm convert stories260K.bin -z tok512.bin --to c64 -o c64/
      xenon-llm convert c64/weights.reu --to little -o stories260K.bin
    """
    import loader

    order = loader.ByteOrder("little" if to == "c64" else to)
    wishes = Wishes(out, order, format, quantize, group, context, c64=to == "c64")
    with _without_collection():
        conversions = planned(model, tokenizer, wishes)
    if dry_run:
        loader.check_outputs(conversions, force)
    else:
        with ProgressBar("converting") as progress:
            loader.write(conversions, force, progress)
    print_conversions(conversions, written=not dry_run, as_json=as_json)
    for note in wishes.notes:
        print(f"note: {note}", file=sys.stderr)


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for cycles: a vocabulary is 100,000 objects that stay, looked through again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def print_conversions(conversions: Sequence[Conversion], written: bool, as_json: bool) -> None:
    """Say what was written, or would be, and what rounding changed."""
    if as_json:
        print_json({"written": written, "outputs": [conversion.as_dict() for conversion in conversions]})
        return
    for conversion in conversions:
        print(("wrote " if written else "would write ") + _sentence(conversion))
        for line in _rounding(conversion):
            print(line)


def _sentence(conversion: Conversion) -> str:
    kind = f"{conversion.format} model" if conversion.format else conversion.kind.value
    sentence = f"{shown(conversion.target)}: {kind}, {conversion.byte_order}, {conversion.image.size:,} bytes"
    if conversion.aligned is not None:
        sentence += f", {'all' if conversion.aligned else 'not all'} tensors 128-byte aligned"
    return sentence


def _rounding(conversion: Conversion) -> list[str]:
    """A line for each tensor that was rounded."""
    deviations = conversion.maker.deviations if conversion.maker else {}
    width = max(map(len, deviations), default=0)
    return [
        f"  {name:{width}}  error: max {deviation.max_relative:.2e}, rms {deviation.rms_relative:.2e}"
        for name, deviation in deviations.items()
        if deviation.max_relative
    ]
