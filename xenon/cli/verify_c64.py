"""`xenon-llm verify` of what `xenon-llm c64 --dump` has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from xenon.cli.c64 import RAM, REU, RUN
from xenon.cli.output import print_json, shown
from xenon.errors import XenonError
from xenon.input_file import MIB, InputFile

if TYPE_CHECKING:
    import loader
    from xenon.c64.proof import Replay

_ONCE_MORE = "write it with xenon-llm c64 --dump once more"
_LARGEST = 16 * MIB


def verify_dump(folder: Path, as_json: bool) -> bool:
    """Compare every word, and print a line for each part; whether all are equal.

    Raises XenonError for a folder that lacks something, or a story that was sampled.
    """
    import loader
    from xenon.c64.proof import check_dump, compare, positions_in, replay
    from xenon.stories.tokenizing import tokenize

    prompt = _prompt(folder / RUN)
    model = loader.open(folder / REU)
    if not isinstance(model, loader.C64Model):
        raise XenonError(f"{folder / REU}: is no weights.reu", _ONCE_MORE)
    tokenizer = loader.open_tokenizer(folder / "tokenizer.bin")
    reu, ram = _read(folder / REU), _read(folder / RAM)
    check_dump(model, reu, ram)
    tokens = tokenize(tokenizer, prompt.encode())
    told = replay(model, tokens, positions_in(model, reu))
    rows = list(compare(model, reu, ram, told))
    difference = _difference(model, tokenizer, prompt, told)
    passed = not any(row.differing for row in rows)
    if as_json:
        facts = {row.name: {"words": row.words, "differing": row.differing} for row in rows}
        print_json(
            {
                "dump": shown(folder),
                "passed": passed,
                "positions": told.network.position,
                **facts,
                "wrapped_positions": told.wrapped,
                "first_token_unlike_llama2c": difference,
            }
        )
        return passed
    for row in rows:
        print(f"{'failed' if row.differing else 'ok':8}{row.name:14}{row}")
    print(f"{'':8}{'exp':14}{_wraps(told)}")
    print(f"{'':8}{'tokens':14}{_tokens(told, difference)}")
    return passed


def _wraps(told: Replay) -> str:
    if not told.wrapped:
        return "no argument below -88 wrapped around"
    return f"an argument below -88 wrapped around at {len(told.wrapped)} positions, first {told.wrapped[0]}"


def _tokens(told: Replay, difference: int | None) -> str:
    count = len(told.tokens) - 1
    if difference is None:
        return f"{count}, the same as llama2.c's"
    return f"{count}; the first that differs from llama2.c's is token {difference}"


def _difference(model: loader.C64Model, tokenizer: loader.Tokenizer, prompt: str, told: Replay) -> int | None:
    from xenon.c64.proof import first_difference
    from xenon.stories.session import Session
    from xenon.stories.settings import Sampling

    session = Session(model, tokenizer)
    with session.tell(prompt, Sampling(temperature=0.0, steps=told.network.position)) as story:
        text = "".join(story).encode("utf-8", "surrogateescape")
    return first_difference(tokenizer, told.tokens, text)


def _prompt(path: Path) -> str:
    """The prompt of a run at temperature 0. Raises XenonError for another."""
    try:
        run = json.loads(_read(path))
        prompt, temperature = run["prompt"], run["temperature"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise XenonError(f"{path}: does not say what was run", _ONCE_MORE) from None
    if not isinstance(prompt, str):
        raise XenonError(f"{path}: the run had no prompt", _ONCE_MORE)
    if temperature:
        raise XenonError(f"{path}: temperature {temperature}, expected 0: a sampled story has no model here")
    return prompt


def _read(path: Path) -> bytes:
    with InputFile(path, _ONCE_MORE) as file:
        return file.read(_LARGEST, "a part of a dump")
