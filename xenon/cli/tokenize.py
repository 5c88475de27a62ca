"""`xenon-llm tokenize`: the tokens of a text, by the guest's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from xenon.cli.errors import UsageError
from xenon.cli.options import CpuOption, JsonOption, TimeoutOption
from xenon.cli.output import print_json, prompt_from_file, prompt_from_stdin


def tokenize(
    text: Annotated[
        str | None, typer.Argument(help="The text; - reads it from stdin.", show_default=False)
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            "--tokenizer",
            "-z",
            help="A tokenizer: converted, llama2.c's, or a tokenizer.json.",
            show_default="bundled",
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the text from a file.")] = None,
    special: Annotated[
        bool, typer.Option("--special", help="Take special tokens in the text for what they are.")
    ] = False,
    ids: Annotated[bool, typer.Option("--ids", help="Print the numbers alone, on one line.")] = False,
    cpu: CpuOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the tokens of a text, a line each: number and what it stands for.

    The guest's own code finds them in the emulated console, with the tokenizer as a console would have it.

    \b
    With the tokenizer of the model that comes with xenon-llm:
      xenon-llm tokenize "Sleepy Joe said"
    Only the numbers, special tokens as such:
      xenon-llm tokenize -z tokenizer.json --special --ids "<|im_start|>user"
    """
    if (text is None) is (file is None):
        raise UsageError("a text or --file, one of them", "xenon-llm tokenize --help")
    if as_json and ids:
        raise UsageError("--json and --ids exclude each other", "xenon-llm tokenize --help")
    import llama2c
    import loader
    from xenon.models.find import tokenizer_path
    from xenon.stories.tokenizing import tokenize as tokens_of

    if file is not None:
        data = prompt_from_file(file)
    else:
        data = prompt_from_stdin() if text == "-" else (text or "").encode("utf-8", "surrogateescape")
    path = llama2c.bundled_tokenizer() if tokenizer is None else tokenizer_path(tokenizer)
    opened = loader.open_tokenizer(path)
    tokens = tokens_of(opened, data, special, cpu, timeout)
    pieces = opened.pieces
    if ids:
        print(*tokens)
    elif as_json:
        shown = [{"token": token, "text": loader.legible(pieces[token].text)} for token in tokens]
        print_json({"count": len(tokens), "tokens": shown})
    else:
        for token in tokens:
            text = loader.legible(pieces[token].text)
            print(f"{token:7}  " + (f'"{text}"' if text.isprintable() else json.dumps(text)))
