"""`xenon-llm export`: a model to GGUF, or to a folder of safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from xenon.cli.convert import print_conversions
from xenon.cli.errors import UsageError
from xenon.cli.output import ProgressBar
from xenon.errors import XenonError


def export(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A checkpoint, a GGUF file, or a Hugging Face folder."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="X.gguf, or a folder for model.safetensors and config.json."),
    ],
    type: Annotated[
        Literal["f32", "f16", "bf16", "q8_0", "q4_1"] | None,
        typer.Option(
            "--type",
            help="Type of the matrices.  [default: theirs; f32 for quantised ones in safetensors]",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Literal["little", "big"], typer.Option("--to", help="Byte order of a GGUF file.")
    ] = "little",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Export a Llama model to GGUF, or to safetensors as transformers reads them.

    The tokenizer of a GGUF file goes with it to GGUF; no other does.

    \\b
    A checkpoint to GGUF, its blocks as they are:
      xenon-llm export smollm2.be.bin -o smollm2.gguf
    A GGUF file with its matrices in another type:
      xenon-llm export smollm2.gguf -o smollm2-q8.gguf --type q8_0
    A folder that transformers loads:
      xenon-llm export smollm2.gguf -o smollm2/ --type bf16
    """
    import loader
    from loader.output import check_target
    from loader.tensor_types import BF16, F16, F32, Q4_1, Q8_0
    from xenon.models.find import model_path

    types = {"f32": F32, "f16": F16, "bf16": BF16, "q8_0": Q8_0, "q4_1": Q4_1}
    wanted = None if type is None else types[type]
    source = loader.open_any(model_path(model))
    if out.suffix == ".gguf":
        conversions = [loader.plan_gguf(source, out, loader.ByteOrder(to), wanted)]
    elif out.suffix and not out.is_dir():
        raise UsageError(f"-o {out}: neither X.gguf nor a folder", "xenon-llm export --help")
    else:
        conversions = loader.plan_folder(source, out, wanted)
        if not dry_run:
            _make_folder(out)
    if dry_run and out.suffix != ".gguf" and not out.exists():
        check_target(out, [], force)
    elif dry_run:
        loader.check_outputs(conversions, force)
    else:
        with ProgressBar("exporting") as progress:
            loader.write(conversions, force, progress)
    print_conversions(conversions, written=not dry_run, as_json=as_json)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise XenonError(f"{path}: {error.strerror or error}") from error
