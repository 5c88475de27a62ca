"""`xenon-llm cache`: the compiled guest code that is kept on disk."""

from __future__ import annotations

from typing import Annotated

import typer

from xenon.cli.output import print_json, shown
from xenon.errors import XenonError, reason


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete it; it is compiled again when needed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show where compiled guest code is kept and how much there is, or delete it.

    The recompiler turns hot guest functions into code for this computer, and keeps it in the user's cache
    folder, up to 64 MiB, so that the next run is fast from its first second.

    \b
    Examples:
      xenon-llm cache
      xenon-llm cache --clear
      XDG_CACHE_HOME=/tmp/elsewhere xenon-llm cache --json

    \b
    Exit codes: 0 done, 1 a file cannot be deleted, 2 wrong command line.
    """
    from xenon.hardware.memory_map import in_units
    from xenon.recompiler.cache import CodeCache

    kept = CodeCache()
    try:
        usage = kept.clear() if clear else kept.usage()
    except OSError as error:
        raise XenonError(f"{shown(error.filename)}: {reason(error)}") from error
    folder = None if kept.folder is None else shown(kept.folder)
    if as_json:
        print_json({"folder": folder, "files": usage.files, "bytes": usage.size, "cleared": clear})
        return
    if folder is None:
        print("no cache: this user has no home folder, and XDG_CACHE_HOME is not set")
        return
    what = f"{usage.files} file{'' if usage.files == 1 else 's'}, {in_units(usage.size)}"
    print(f"{folder}: {what}{' deleted' if clear else ''}")
