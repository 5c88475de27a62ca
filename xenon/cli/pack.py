"""`xenon-llm pack`: a folder for a USB stick, from which XeLL starts a story on a real console."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xenon.cli.errors import UsageError
from xenon.cli.options import (
    ContextOption,
    PromptFileOption,
    StepsOption,
    TemperatureOption,
    TokenizerOption,
    TopPOption,
)
from xenon.cli.output import ProgressBar, print_json, prompt_from_file, shown
from xenon.errors import XenonError, reason
from xenon.stories.settings import Sampling

if TYPE_CHECKING:
    from xenon.pack.plan import Stick

_BUNDLED = "bundled"
_NO_STORY = (None, "", None, None, None, False)


def pack(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A llama2.c checkpoint, or bundled: the one that comes with xenon-llm.",
            show_default=False,
        ),
    ] = None,
    prompt: Annotated[str, typer.Argument(help="The story's beginning.", show_default="none")] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The folder to copy to a stick, made if missing.", show_default=False
        ),
    ] = None,
    tokenizer: TokenizerOption = None,
    file: PromptFileOption = None,
    temperature: TemperatureOption = 1.0,
    top_p: TopPOption = 0.9,
    seed: Annotated[
        int | None,
        typer.Option("--seed", "-s", help="Repeats a story.", show_default="the console's clock"),
    ] = None,
    steps: StepsOption = None,
    context: ContextOption = None,
    layout: Annotated[
        Literal["one", "initrd", "split"] | None,
        typer.Option(
            "--layout",
            help="All in xenon.elf; program and files apart, to change them; or the model cut in two.",
            show_default="one, split for a large model",
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store the matrices in half precision: half of the bytes.")
    ] = False,
    power_off: Annotated[
        bool, typer.Option("--power-off", help="Let the console switch itself off at the end.")
    ] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="No story: a page that says what the console does.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the console's memory, write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make the files from which XeLL starts a story on a real Xbox 360 (see docs/real-console.md).

    Short options are those of generate, and so is the story. The same command writes the same bytes.

    \b
    A folder to copy to a FAT32 stick:
      xenon-llm pack stories15M.bin "Once upon a time" -o usb/
    The same story each time:
      xenon-llm pack bundled "Sleepy Joe said" -t 0.8 -s 42 -o usb/
    What the console's memory will hold:
      xenon-llm pack stories15M.bin --dry-run
    A program that stays, and files beside it that may change:
      xenon-llm pack stories260K.bin --layout initrd -o usb/
    What a console computes, and how fast, as a page to photograph (see also estimate --machine):
      xenon-llm pack --self-test -o usb/
    """
    from loader.output import check_target, write_images
    from xenon.pack.half import in_half
    from xenon.pack.plan import KBOOT_NAME, Layout, Tale, plan
    from xenon.pack.plan import self_test as self_test_tale
    from xenon.stories.guest import open_model, open_tokenizer

    sampling = Sampling(temperature, top_p, seed, steps)
    if model is None and not self_test:
        raise UsageError("missing MODEL", "a checkpoint, or bundled; xenon-llm pack --help")
    if self_test and ((model, prompt, file, tokenizer, context, half) != _NO_STORY or sampling != Sampling()):
        raise UsageError(
            "--self-test with a model or options of a story", "it has a model of its own: leave them out"
        )
    if prompt and file is not None:
        raise UsageError("a prompt and --file", "give one of them")
    if out is None and not dry_run:
        raise UsageError("no folder to write to", "-o usb/ names one, --dry-run writes nothing")
    if self_test or model is None:
        tale = self_test_tale(power_off)
    else:
        text = prompt_from_file(file) if file is not None else prompt.encode("utf-8", "surrogateescape")
        opened = open_model(None if model == _BUNDLED and not Path(model).exists() else model)
        pieces = open_tokenizer(opened, tokenizer)
        tale = Tale(in_half(opened) if half else opened, pieces, text, sampling, context, power_off)
    stick = plan(tale, None if layout is None else Layout(layout))
    if out is not None and not dry_run:
        _make_folder(out)
    if out is not None and out.exists():
        if KBOOT_NAME not in stick.files and (out / KBOOT_NAME).exists():
            raise XenonError(
                f"{shown(out / KBOOT_NAME)}: XeLL would read it before xenon.elf",
                "remove it, or write to another folder",
            )
        images = stick.images(out)
        for _, target in images:
            check_target(target, [tale.model.path, tale.tokenizer.path], force)
        if not dry_run:
            with ProgressBar("packing") as progress:
                write_images(images, force, progress)
    if as_json:
        print_json(_facts(stick, written=not dry_run))
        return
    _print(stick, out, written=not dry_run)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise XenonError(f"{shown(path)}: {reason(error)}", "-o OUT names another folder") from error


def _facts(stick: Stick, written: bool) -> dict[str, object]:
    return {
        "written": written,
        "layout": stick.layout.value,
        "files": {name: len(data) for name, data in stick.files.items()},
        "memory": [{"start": area.start, "end": area.end, "purpose": area.purpose} for area in stick.memory],
        "notes": list(stick.notes),
    }


def _print(stick: Stick, out: Path | None, written: bool) -> None:
    for name, data in stick.files.items():
        path = shown(out / name) if out is not None else name
        print(f"{'wrote' if written else 'would write'} {path}: {len(data):,} bytes")
    if not written:
        print("\nthe console's memory")
        for area in stick.memory:
            print(f"  {area.start:08x} to {area.end:08x}  {area.size:>11,}  {area.purpose}")
    for note in stick.notes:
        print(f"note: {note}", file=sys.stderr)
