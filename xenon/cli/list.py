"""`xenon-llm list`: the models that have names, and which of them are on this computer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xenon.cli.options import JsonOption
from xenon.cli.output import print_json, shown

if TYPE_CHECKING:
    from xenon.models.catalogue import Entry
    from xenon.models.folder import ModelFolder


def list(as_json: JsonOption = False) -> None:
    """Show the models that `pull` fetches and -m NAME finds, and which of them are here.

    \b
    Examples:
      xenon-llm list
      xenon-llm list --json

    \b
    Exit codes: 0 done, 1 the folder of models cannot be trusted, 2 wrong command line.
    """
    from xenon.models.catalogue import CATALOGUE
    from xenon.models.folder import ModelFolder

    folder = ModelFolder()
    facts = [_facts(entry, folder) for entry in CATALOGUE]
    if as_json:
        place = None if folder.path is None else shown(folder.path)
        print_json({"folder": place, "models": facts})
        return
    rows: Sequence[tuple[str, ...]] = [
        ("name", "parameters", "here", "download", "license", "source"),
        *(_row(entry, folder) for entry in CATALOGUE),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("\nxenon-llm pull NAME fetches a model; -m NAME finds it then.")


def _row(entry: Entry, folder: ModelFolder) -> tuple[str, ...]:
    from xenon.hardware.memory_map import in_units

    if (model := folder.get(entry.name)) is not None:
        here = in_units(model.size)
    else:
        partial = folder.partial_bytes(entry.name)
        here = f"{in_units(partial)} so far" if partial else "no"
    source = f"{entry.model.host.value}/{entry.model.repository}"
    return entry.name, entry.parameters, here, in_units(entry.model.size), entry.license, source


def _facts(entry: Entry, folder: ModelFolder) -> dict[str, object]:
    model = folder.get(entry.name)
    origin = entry.model
    known = origin.member.sha256 if origin.member else origin.sha256
    return {
        "name": entry.name,
        "parameters": entry.parameters,
        "license": entry.license,
        "host": origin.host.value,
        "repository": origin.repository,
        "revision": origin.revision,
        "file": origin.file,
        "download_bytes": origin.size,
        "sha256": known,
        "here": model is not None,
        "path": None if model is None else shown(model.model),
        "tokenizer": None if model is None else shown(model.tokenizer),
        "bytes": None if model is None else model.size,
        "context": None if model is None else model.about.context,
        "partial_bytes": folder.partial_bytes(entry.name),
    }
