"""The way to a story: its first character against the imports, and the first story against the second."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench_figures import PYTHON, Figure, at_most, command, first_character, in_turns, run, timed

IMPORTS = "import numpy, unicorn, typer"
MOST_START, MOST_FIRST_STORY = 2.0, 1.3  # times the imports, times the second story


def start_figures(model: Path, tokenizer: Path, turns: int) -> list[Figure]:
    """A story with an empty cache of compiled code, and the same again with what that has left there."""
    words = [*command(), "generate", "-m", str(model), "-z", str(tokenizer), "-s", "42", "Sleepy Joe said"]
    with tempfile.TemporaryDirectory(prefix="xenon-llm-") as work:
        turn = 0

        def cache(new: bool) -> dict[str, str]:
            nonlocal turn
            turn += new
            return {"XDG_CACHE_HOME": f"{work}/{turn}"}

        run(words, cache(new=True))  # writes the byte code
        imports, first, second, cold, warm = in_turns(
            [
                lambda: timed(lambda: run([*PYTHON, IMPORTS])),
                lambda: timed(lambda: run(words, cache(new=True))),
                lambda: timed(lambda: run(words, cache(new=False))),
                lambda: first_character(words, cache(new=True)),
                lambda: first_character(words, {"XDG_CACHE_HOME": f"{work}/1"}),
            ],
            turns,
        )
    return [
        Figure(f'python -c "{IMPORTS}"', imports * 1000, "ms"),
        Figure(f"first story ({model.name}), empty cache", first * 1000, "ms"),
        Figure(f"second story ({model.name})", second * 1000, "ms"),
        at_most("first story / second", first / second, MOST_FIRST_STORY),
        Figure(f"first character of a story ({model.name})", warm * 1000, "ms"),
        at_most("first character / imports", warm / imports, MOST_START),
        at_most("first character / imports, empty cache", cold / imports, MOST_START),
    ]
