"""The options that say which console tells a story, for the commands that take all of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from xenon.cli.options import (
    ActivationsOption,
    ContextOption,
    CpuOption,
    EngineOption,
    KeyValueOption,
    MatmulOption,
    MemoryOption,
    ThreadsOption,
)
from xenon.cli.output import parse_size
from xenon.stories.settings import Activations, Engine, KeyValueType, Setup

_PARAMETER = "setup"


def console_setup(
    engine: EngineOption = Engine.AUTO,
    matmul: MatmulOption = None,
    threads: ThreadsOption = None,
    context: ContextOption = None,
    kv: KeyValueOption = KeyValueType.F32,
    activations: ActivationsOption = Activations.F32,
    memory: MemoryOption = "512MiB",
    cpu: CpuOption = None,
) -> Setup:
    """The setup that these options ask for. Raises UsageError for a wrong size, and what Setup raises."""
    return Setup(
        engine,
        matmul,
        threads,
        cpu,
        context=context,
        memory_bytes=parse_size("--memory", memory),
        kv=kv,
        activations=activations,
    )


def takes_console_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `console_setup` in the place of its keyword parameter `setup`."""
    options = inspect.signature(console_setup, eval_str=True).parameters
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        parameters += options.values() if name == _PARAMETER else [parameter]

    @functools.wraps(command)
    def with_setup(**values: Any) -> None:
        chosen = {name: values.pop(name) for name in options}
        command(**values, **{_PARAMETER: console_setup(**chosen)})

    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    with_setup.__annotations__ = {parameter.name: parameter.annotation for parameter in named}
    vars(with_setup)["__signature__"] = inspect.Signature(named)
    return with_setup
