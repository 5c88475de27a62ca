"""`xenon-llm profile MODEL`: `xenon-llm generate` under the profiler."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from xenon.cli.output import prompt_from_stdin, shown
from xenon.cli.profile_report import ProfiledRun, ReportOptions
from xenon.errors import XenonError

if TYPE_CHECKING:
    from pathlib import Path

    from xenon.stories.settings import Sampling, Setup

STEPS = 100  # positions of a story when none are asked for


def profile_story(
    files: tuple[Path | None, Path | None],
    setup: Setup,
    prompt: str,
    sampling: Sampling,
    timeout: float | None,
    warm: bool,
    report: ReportOptions,
) -> None:
    """Tell a story with this model and its tokenizer, print it and report; the prompt `-` is stdin's."""
    from loader import LoaderError
    from xenon.stories.guest import open_model
    from xenon.stories.session import Session

    model, tokenizer = files
    text = prompt_from_stdin() if prompt == "-" else prompt
    try:
        opened = open_model(model)
    except LoaderError as error:
        raise XenonError(error.message, "expected an ELF program or a llama2.c checkpoint") from error
    session = Session(opened, tokenizer, setup)
    if sampling.steps is None:
        sampling = replace(sampling, steps=min(STEPS, session.decision.context))
    with ProfiledRun(shown(opened.path), report) as profiled:
        story = session.tell(text, sampling, timeout, compile_first=warm, watch=profiled.watch)
        with story:
            for piece in story:
                profiled.write(1, piece.encode("utf-8", "surrogateescape"))
