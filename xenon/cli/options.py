"""The options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories.settings import Activations, Engine, KeyValueType, Matmul

ModelArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[MODEL]", help="A checkpoint, GGUF file or Hugging Face folder.", show_default="bundled"
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        envvar="XENON_LLM_MODEL",
        help="A checkpoint, GGUF file or Hugging Face folder.",
        show_default="bundled",
    ),
]
TokenizerOption = Annotated[
    Path | None,
    typer.Option("--tokenizer", "-z", help="Its tokenizer.", show_default="found beside the model"),
]
ContextOption = Annotated[
    int | None,
    typer.Option(
        "--context",
        "-c",
        min=1,
        help="Positions to keep keys and values for; fewer take less memory.",
        show_default="the model's",
    ),
]
KeyValueOption = Annotated[
    KeyValueType,
    typer.Option(metavar="f32|f16", help="How keys and values are kept; f16 takes half the memory."),
]
ActivationsOption = Annotated[
    Activations,
    typer.Option(metavar="f32|int8", help="What int8 matrices are multiplied by; int8 is llama2.c's runq."),
]
MemoryOption = Annotated[
    str, typer.Option(metavar="SIZE", help="RAM of the console, as 256MiB; 32 MiB are the system's.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        metavar="1..6",
        help="The CPU's hardware threads; more change the speed, never the text.",
        show_default="this computer's processors; 1 beside the GPU",
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        metavar="cpu|gpu|auto",
        help="Who computes; auto takes the faster one: the CPU where its code is compiled.",
    ),
]
MatmulOption = Annotated[
    Matmul | None,
    typer.Option(
        metavar="vmx|scalar",
        help="How the CPU multiplies: vector unit, or one by one in llama2.c's order.",
        show_default="vmx",
    ),
]
CpuOption = Annotated[
    CpuKind | None,
    typer.Option(
        metavar="unicorn|recompiler", help="How guest code is run.", show_default="the faster installed"
    ),
]
PromptFileOption = Annotated[Path | None, typer.Option("--file", "-f", help="Read the prompt from a file.")]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", "-t", help="0 or more; 0 always takes the likeliest token.")
]
TopPOption = Annotated[
    float, typer.Option("--top-p", "-p", help="0 to 1; sample from this share of the likeliest tokens.")
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps", "-n", help="Positions to run, the prompt's included; 0: the context.", show_default="256"
    ),
]
MinPOption = Annotated[
    float,
    typer.Option("--min-p", help="0 to 1; leave out tokens less likely than this share of the likeliest."),
]
RepeatPenaltyOption = Annotated[
    float,
    typer.Option("--repeat-penalty", help="Above 0; more than 1 makes the last 64 tokens less likely."),
]
StopOption = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="End before this text. Repeatable."),
]
EnvironmentOption = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME=VALUE", help="An environment variable for the program. Repeatable."),
]
FilesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--file",
        metavar="HOST[=GUEST]",
        help="Let the program read this file, under the name GUEST or as HOST is spelled. Repeatable.",
    ),
]
TimeoutOption = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=0, help="Stop after this time, exit code 124.")
]
GdbOption = Annotated[
    str | None,
    typer.Option(metavar="[HOST:]PORT", help="Wait for gdb on this loopback port (0: any) before it runs."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Processes.", show_default="this computer's processors"),
]
DaskOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Use the Dask cluster here.", show_default=False),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Begin anew, whatever the file holds.")]
