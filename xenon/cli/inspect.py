"""`xenon-llm inspect`: what a model or tokenizer file holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.errors import UsageError
from xenon.cli.output import print_json, shown

if TYPE_CHECKING:
    from loader import Facts, Gguf, HuggingFaceFolder, Model, Tokenizer

_PAGE_HEAD = 4096  # bytes of a file in which the page of a self-test begins
DIFFERS = ("path", "byte_order", "sha256")  # between two byte orders of one model


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A checkpoint, tokenizer, GGUF file, Hugging Face folder, packed program, self-test's page.",
        ),
    ],
    tensors: Annotated[
        bool, typer.Option("--tensors", help="List every tensor, or every piece of a tokenizer.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    diffable: Annotated[
        bool, typer.Option("--diffable", help="Print sorted lines, the same for both byte orders.")
    ] = False,
) -> None:
    """Show what a model or tokenizer file holds.

    \b
    Format, byte order, dimensions, checksums:
      xenon-llm inspect stories15M.bin
    Every tensor with shape, offset and alignment:
      xenon-llm inspect stories15M.bin --tensors
    No output if both hold the same model:
      diff <(xenon-llm inspect --diffable stories15M.bin) \\
           <(xenon-llm inspect --diffable stories15M.be.bin)
    What the page of a console's self-test means (pack --self-test):
      xenon-llm inspect page.txt
    """
    import loader
    from xenon.models.find import model_path

    if as_json and diffable:
        raise UsageError("--json and --diffable exclude each other", "xenon-llm inspect --help")
    if (packed := _packed(file)) is not None:
        print_json(packed) if as_json else _print_text(packed)
        return
    if (config := loader.c64_config_facts(file)) is not None:
        print_json(config) if as_json else _print_text(config)
        return
    source = loader.open_any(model_path(file))
    facts = loader.facts(source) | {"path": shown(source.path)}
    if diffable:
        print("\n".join(sorted(_lines(source, facts))))
    elif as_json:
        parts = {_part(source): list(_parts(source))} if tensors else {}
        print_json(facts | parts)
    else:
        _print_text(facts)
        if tensors:
            _print_table(list(_parts(source)))


def _packed(path: Path) -> Facts | None:
    """The facts of a file that pack has made, or of a self-test's page; None for another kind of file."""
    from xenon.input_file import MIB, InputFile
    from xenon.pack.facts import MAGICS, packed_facts
    from xenon.pack.limits import IMAGE_END
    from xenon.stories.selftest_facts import page_facts
    from xenon.stories.selftest_page import is_page, parse_page

    if not path.is_file():
        return None
    with InputFile(path, "name a file that pack has made") as file:
        head = file.head(_PAGE_HEAD)
        if head.startswith(MAGICS):
            return packed_facts(shown(path), file.read(IMAGE_END, "a packed program"))
        if is_page(head):
            return page_facts(parse_page(shown(path), file.read(MIB, "a page")))
    return None


def _part(source: Model | Tokenizer | Gguf | HuggingFaceFolder) -> str:
    import loader

    return "vocabulary" if isinstance(source, loader.Tokenizer) else "tensors"


def _parts(source: Model | Tokenizer | Gguf | HuggingFaceFolder, checksums: bool = False) -> Iterator[Facts]:
    """The tensors of a model, or the pieces of a tokenizer."""
    import loader

    if isinstance(source, loader.Tokenizer):
        return loader.piece_facts(source)
    return loader.tensor_facts(source, checksums)


def _lines(source: Model | Tokenizer | Gguf | HuggingFaceFolder, facts: Facts) -> Iterator[str]:
    for key, value in facts.items():
        if key not in DIFFERS:
            yield f"{key}: {json.dumps(value)}"
    for part in _parts(source, checksums=True):
        name = f"{part['token']:06}" if "token" in part else part["name"]
        for key, value in part.items():
            if key not in ("name", "token"):
                yield f"{_part(source)}.{name}.{key}: {json.dumps(value)}"


def _print_text(facts: Facts) -> None:
    width = max(map(len, facts))
    for key, value in facts.items():
        words = key.replace("_", " ")
        if isinstance(value, dict):
            print(words)
            _print_names(value, "  ")
        else:
            print(f"{words:{width}}  {_readable(value, ', ')}")


def _print_names(values: Facts, indent: str) -> None:
    """Values by names that are not ours, which stay as they are."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        if isinstance(value, dict):
            parts = ", ".join(f"{_readable(part)} {key}" for key, part in value.items())
            print(f"{indent}{name:{width}}  {parts}")
        else:
            print(f"{indent}{name:{width}}  {_readable(value)}")


def _print_table(parts: list[Facts]) -> None:
    """Columns as wide as their widest value, numbers to the right."""
    rows = [[key.replace("_", " ") for key in parts[0]]]
    rows += [[_readable(value) for value in part.values()] for part in parts]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [isinstance(value, (int, float)) for value in parts[0].values()]
    print()
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        padded = [cell.rjust(width) if number else cell.ljust(width) for cell, width, number in cells]
        print("  ".join(padded).rstrip())


def _readable(value: object, between: str = " x ") -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        texts = any(isinstance(item, str) for item in value)
        return (", " if texts else between).join(map(str, value))
    # A piece may hold a line break or anything else: escaped, it stays on its line.
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
