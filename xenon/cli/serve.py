"""`xenon-llm serve`: OpenAI's API and a page before a model that stays loaded in the emulated console."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.console_options import takes_console_options
from xenon.cli.options import (
    ModelArgument,
    TokenizerOption,
)
from xenon.errors import XenonError
from xenon.host.signals import outlive_the_reader
from xenon.stories.settings import Setup

if TYPE_CHECKING:
    from xenon.stories.runnable import RunnableModel

_NEEDED = ("starlette", "uvicorn", "prometheus_client")


@takes_console_options
def serve(
    model: ModelArgument = None,
    tokenizer: TokenizerOption = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="The port; 0: a free one.")] = 8360,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="XENON_LLM_API_KEY", help="The key that requests must carry.", show_default="none"
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name of this computer that requests may address. Repeatable."),
    ] = None,
    consoles: Annotated[int, typer.Option(help="Consoles, each with the model; they tell at once.")] = 1,
    queue: Annotated[int, typer.Option(help="Requests that may wait; more are refused with 429.")] = 32,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="The most time of a request.")] = 300.0,
    name: Annotated[
        str | None, typer.Option(help="The model's name in the API.", show_default="its file's")
    ] = None,
    *,
    setup: Setup,
) -> None:
    """Serve a model that stays loaded in an emulated Xbox 360: OpenAI's API, and a page of the console.

    Programs that speak to OpenAI find /v1/completions, /v1/chat/completions and /v1/models, streaming and
    not. A browser finds the page at /. /health and /metrics are for whoever watches over servers. Requests
    wait in one queue, and a client that goes away stops its story.

    Only this computer can reach it, unless --host says otherwise; then --api-key is needed.

    \b
    The bundled model, at http://127.0.0.1:8360:
      xenon-llm serve
    A model of your own, two consoles:
      xenon-llm serve smollm2.be.bin --consoles 2
    For other computers, with the key in the environment:
      XENON_LLM_API_KEY=... xenon-llm serve --host 0.0.0.0 --allow-host stories.example

    \b
    Exit codes: 1 bad input, 2 wrong command line, 130 Ctrl-C.
    """
    missing = [module for module in _NEEDED if find_spec(module) is None]
    if missing:
        raise XenonError(f"serve needs {', '.join(missing)}", "pip install 'xenon-llm[serve]'")
    from xenon.serve.server import ApiServer
    from xenon.serve.settings import ServeSettings
    from xenon.stories.runnable import RunnableModel

    settings = ServeSettings(host, port, api_key, tuple(allow_host or ()), consoles, queue, timeout)
    runnable = RunnableModel(model, tokenizer, setup)
    outlive_the_reader()  # a client that goes away ends its own request only
    server = ApiServer(runnable, name or _name(runnable), settings)
    print(f"{server.address} serves {name or _name(runnable)}; Ctrl-C ends it", file=sys.stderr, flush=True)
    server.run()


def _name(runnable: RunnableModel) -> str:
    """The model's file without its endings: stories15M of stories15M.be.bin."""
    name = runnable.model.path.name
    for ending in (".bin", ".be", ".le", ".gguf"):
        name = name.removesuffix(ending)
    return name.encode("ascii", "replace").decode() or "model"
