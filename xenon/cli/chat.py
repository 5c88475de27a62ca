"""`xenon-llm chat`: a conversation with a model that stays loaded in the emulated console."""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.console_options import takes_console_options
from xenon.cli.options import (
    MinPOption,
    ModelOption,
    RepeatPenaltyOption,
    StopOption,
    TemperatureOption,
    TokenizerOption,
    TopPOption,
)
from xenon.cli.output import shown
from xenon.stories.settings import Sampling, Setup

if TYPE_CHECKING:
    from xenon.stories.conversation import Conversation


class TemplateName(Enum):
    """A chat template as the command line calls it."""

    CHATML = "chatml"
    LLAMA2 = "llama2"
    NONE = "none"


@takes_console_options
def chat(
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system", "-y", help="The system message; '' for none.", show_default="the template's"
        ),
    ] = None,
    template: Annotated[
        TemplateName | None,
        typer.Option(
            metavar="chatml|llama2|none",
            help="How turns are written; none goes on with the text as it is.",
            show_default="the model's",
        ),
    ] = None,
    temperature: TemperatureOption = 0.7,
    top_p: TopPOption = 0.9,
    min_p: MinPOption = 0.0,
    repeat_penalty: RepeatPenaltyOption = 1.0,
    stop: StopOption = None,
    seed: Annotated[
        int | None, typer.Option("--seed", "-s", help="Repeats a conversation.", show_default="random")
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            "--tokens", "-n", min=0, help="Most tokens of an answer; 0: the context.", show_default="0"
        ),
    ] = None,
    *,
    setup: Setup,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answers and nothing else.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Read requests and print events, a JSON object a line.")
    ] = False,
) -> None:
    """Talk with a language model that runs on an emulated big-endian Xbox 360.

    The model stays loaded, and each turn computes its own tokens only. Ctrl-C stops an answer and keeps the
    conversation, twice at the prompt it ends; Ctrl-D ends. /help lists the commands. Without a terminal every
    line of stdin is a turn. When the context is full, the oldest turns are dropped, with a note.

    \b
    With a model of your own, in its template:
      xenon-llm chat -m smollm2.be.bin
    Another system message, careful answers of at most 200 tokens:
      xenon-llm chat -m smollm2.be.bin -y "Answer in one sentence." -t 0.2 -n 200
    The bundled model has learned stories, not talk; it goes on with what you type:
      xenon-llm chat --stop "." -t 0
    For programs:
      echo '{"type": "message", "text": "Hi"}' | xenon-llm chat --json

    \b
    Exit codes: 0 ended, 1 bad input, 2 wrong command line, 3 the guest is at fault, 130 Ctrl-C.
    """
    from loader.kinds import ChatTemplate
    from xenon.cli.chat_json import serve
    from xenon.cli.chat_lines import Chat
    from xenon.stories.conversation import Conversation

    sampling = Sampling(
        temperature,
        top_p,
        seed,
        tokens,
        min_p=min_p,
        repeat_penalty=repeat_penalty,
        stop=tuple(stop or ()),
    )
    wanted = None if template is None else ChatTemplate[template.name]
    with Conversation(model, tokenizer, setup, wanted, system) as conversation:
        notes = [] if quiet else _notes(conversation, template)
        if as_json:
            serve(conversation, sampling, notes)
            return
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        Chat(conversation, sampling, quiet).run()


def _notes(conversation: Conversation, template: TemplateName | None) -> list[str]:
    """What the user might not expect of this model and its template."""
    from loader.kinds import ChatTemplate

    notes = []
    if conversation.template.kind is ChatTemplate.NONE and template is None:
        path = shown(conversation.session.model.path)
        notes.append(f"{path} names no chat template that is known here; answers go on with your text")
    if missing := conversation.special_tokens_missing:
        notes.append(f"the tokenizer has no {' or '.join(missing)}; the template is written as plain text")
    return notes
