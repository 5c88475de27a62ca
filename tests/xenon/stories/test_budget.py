"""The budget: what is predicted before a run is what its memory's account holds after it, to the byte."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command, run_command_text
from support import Made, sample, shared_file
from systems import NEWER_TYPER, ON_WINDOWS

import loader
import xenon.stories.runnable
from loader import ByteOrder, Format
from xenon.cli.errors import hint_for
from xenon.console import Console
from xenon.errors import XenonError
from xenon.hardware.memory import OutOfMemoryError
from xenon.hardware.memory_map import KIB, MIB
from xenon.stories import budget_drawing
from xenon.stories.budget import longest_context, predict
from xenon.stories.session import Session
from xenon.stories.settings import Setup

SHAPES: dict[str, dict[str, Any]] = {
    "grouped heads": {},
    "separate classifier": {"shared": False},
    "one head": {"dim": 6, "n_heads": 1, "n_kv_heads": 1},
    "as many key heads": {"dim": 32, "n_heads": 4, "n_kv_heads": 4, "n_layers": 3},
    "odd sizes": {
        "dim": 30,
        "hidden_dim": 77,
        "n_heads": 3,
        "n_kv_heads": 1,
        "vocab_size": 301,
        "seq_len": 45,
    },
    "caches beyond a page": {"dim": 64, "n_heads": 2, "n_kv_heads": 2, "seq_len": 300},
    "aligned": {"dim": 64, "hidden_dim": 96, "n_heads": 2, "n_kv_heads": 1, "vocab_size": 320},
}


@pytest.fixture
def consoles(monkeypatch: pytest.MonkeyPatch) -> list[Console]:
    """Every console that sessions make in a test."""
    made: list[Console] = []

    def make(*arguments: Any, **options: Any) -> Console:
        made.append(Console(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(xenon.stories.runnable, "Console", make)
    return made


def check_run(session: Session, prompt: str, consoles: list[Console]) -> None:
    predicted = session.budget(prompt)
    list(session.generate(prompt, temperature=0, steps=min(3, session.decision.context)))
    regions = sorted((use.address, use.size, use.owner, use.purpose) for use in predicted.uses)
    memory = consoles[-1].memory
    assert regions == [
        (region.address, region.size, region.owner, region.purpose) for region in memory.regions
    ]
    assert predicted.total == memory.high_water


@pytest.mark.parametrize(
    ("shape", "version", "prompt"), sample(product(SHAPES, (Format.V0, Format.V1), ("", "so", "bab" * 9)), 8)
)
def test_the_prediction_is_the_account_after_the_run(
    make_model: Callable[..., Made],
    tmp_path: Path,
    consoles: list[Console],
    shape: str,
    version: Format,
    prompt: str,
) -> None:
    made = make_model(**SHAPES[shape])
    model = tmp_path / "model.bin"
    loader.convert(made.model, model, ByteOrder.BIG, version)
    check_run(Session(model, made.tokenizer), prompt, consoles)


@pytest.mark.parametrize("context", [1, 7, 31, 32])
def test_a_shorter_context_is_predicted_too(
    make_model: Callable[..., Made], consoles: list[Console], context: int
) -> None:
    made = make_model()
    check_run(Session(made.model, made.tokenizer, Setup(context=context)), "", consoles)


@pytest.mark.parametrize("threads", [1, 2, 6])
def test_every_hardware_thread_has_its_stack(
    make_model: Callable[..., Made], consoles: list[Console], threads: int
) -> None:
    made = make_model()
    check_run(Session(made.model, made.tokenizer, Setup(threads=threads)), "so", consoles)


def test_stories260K_is_predicted_to_the_byte(consoles: list[Console]) -> None:
    session = Session(shared_file("models/stories260K.bin"), shared_file("models/tok512.bin"))
    check_run(session, "Sleepy Joe said", consoles)


def test_an_aligned_file_is_used_where_the_disc_maps_it(
    make_model: Callable[..., Made], tmp_path: Path
) -> None:
    made = make_model(**SHAPES["aligned"])
    loader.convert(made.model, tmp_path / "model.bin", ByteOrder.BIG, Format.V1)
    purposes = {use.purpose for use in Session(tmp_path / "model.bin", made.tokenizer).budget().uses}
    assert "file /model.bin" in purposes
    assert "weights" not in purposes


def test_a_run_fits_at_its_exact_size_and_not_in_a_page_less(make_model: Callable[..., Made]) -> None:
    made = make_model(dim=64, n_heads=2, n_kv_heads=2, seq_len=300)
    total = Session(made.model, made.tokenizer).budget("so").total
    exact = Session(made.model, made.tokenizer, Setup(memory_bytes=total))
    assert exact.budget("so").fits
    assert list(exact.generate("so", steps=3))
    small = Session(made.model, made.tokenizer, Setup(memory_bytes=total - 4 * KIB))
    assert not small.budget("so").fits
    with pytest.raises(OutOfMemoryError) as caught:
        small.generate("so", steps=3)
    assert "the largest regions are stack 1.1 MiB, " in caught.value.message
    assert " bytes with a context of 300, and the console has " in caught.value.message
    assert caught.value.hint.startswith("a context of ")


def test_the_longest_context_fits_and_one_more_does_not(make_model: Callable[..., Made]) -> None:
    made = make_model(dim=64, n_heads=2, n_kv_heads=2, seq_len=300)
    total = Session(made.model, made.tokenizer).budget("so").total
    session = Session(made.model, made.tokenizer, Setup(memory_bytes=total - 100 * KIB))
    run = session.budget("so").run
    longest = longest_context(run)
    assert 1 < longest < 300
    assert predict(replace(run, context=longest)).fits
    assert not predict(replace(run, context=longest + 1)).fits
    with pytest.raises(OutOfMemoryError) as caught:
        session.generate("so")
    assert caught.value.hint == f"a context of {longest} fits"
    assert hint_for(caught.value) == f"a context of {longest} fits: --context {longest}"
    shorter = Session(made.model, made.tokenizer, Setup(context=longest, memory_bytes=total - 100 * KIB))
    assert list(shorter.generate("so", steps=3))


def test_no_context_helps_where_the_weights_alone_are_too_large(make_model: Callable[..., Made]) -> None:
    made = make_model()
    session = Session(made.model, made.tokenizer, Setup(memory_bytes=33 * MIB))
    assert longest_context(session.budget().run) == 0
    with pytest.raises(OutOfMemoryError) as caught:
        session.generate()
    assert "no context is short enough" in caught.value.hint


@pytest.mark.parametrize("context", [0, -1, 33])
def test_a_context_that_the_model_has_not_is_refused(make_model: Callable[..., Made], context: int) -> None:
    made = make_model()
    with pytest.raises(XenonError, match=f"context {context}, expected 1 to 32"):
        Session(made.model, made.tokenizer, Setup(context=context))


@pytest.mark.parametrize("width", [20, 79, 100])
def test_the_bar_is_as_wide_as_asked_and_to_scale(make_model: Callable[..., Made], width: int) -> None:
    made = make_model()
    for memory_bytes in (512 * MIB, 64 * MIB, 33 * MIB):
        budget = Session(made.model, made.tokenizer, Setup(memory_bytes=memory_bytes)).budget()
        cells = budget_drawing.bar(budget, width)
        assert sum(count for _, count in cells) == width
        scale = max(budget.total, memory_bytes) / width
        assert all(abs(count - part.size / scale) <= 1 for part, count in cells)
        assert sum(part.size for part, _ in cells) == max(budget.total, memory_bytes)


def test_the_svg_is_well_formed_and_names_every_part(make_model: Callable[..., Made], tmp_path: Path) -> None:
    made = make_model()
    odd = tmp_path / ("a&c.bin" if ON_WINDOWS else "a<b>&c.bin")
    odd.write_bytes(made.model.read_bytes())
    budget = Session(odd, made.tokenizer, Setup(memory_bytes=34 * MIB)).budget()
    text = budget_drawing.svg(budget)
    root = ElementTree.fromstring(text)
    words = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert words[0].startswith(f"{odd.name}, context 32: ")
    for part in budget_drawing.parts(budget, 34 * MIB // 960 + 1):
        assert any(word.startswith(part.name) for word in words)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command_text("budget", *arguments)


def test_the_command_prints_every_region_and_draws(make_model: Callable[..., Made], tmp_path: Path) -> None:
    made = make_model()
    result = command(str(made.model), "--svg", str(tmp_path / "b.svg"))
    assert result.returncode == 0, result.stderr
    for purpose in ("system and framebuffer", "program r-x", "stack", "weights", "key cache", "value cache"):
        assert purpose in result.stdout
    assert "of 512 MiB with a context of 32\n" in result.stdout
    assert "\x1b[" not in result.stdout
    assert (tmp_path / "b.svg").read_text().startswith("<svg ")


def test_a_drawing_appears_whole_or_not_at_all(make_model: Callable[..., Made], tmp_path: Path) -> None:
    made = make_model()
    before = made.model.read_bytes()
    result = command(str(made.model), "--svg", str(made.model))
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {made.model}: is an input of this command")
    assert made.model.read_bytes() == before
    assert command("no-such-model.bin", "--svg", str(tmp_path / "b.svg")).returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_answers_no_with_the_context_that_fits(make_model: Callable[..., Made]) -> None:
    made = make_model(dim=64, n_heads=2, n_kv_heads=2, seq_len=300)
    result = command(str(made.model), "--memory", "33MiB", "--json")
    facts = json.loads(result.stdout)
    assert (result.returncode, facts["fits"], facts["longest_context"]) == (1, False, 0)
    total = Session(made.model, made.tokenizer).budget("so").total
    result = command(str(made.model), "--memory", str(total - 100 * KIB))
    assert result.returncode == 1
    assert "does not fit: " in result.stdout
    assert "the longest context that fits is " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--memory", "much"], 2, "--memory 'much': not a size"),
        (["--memory", "1GiB"], 1, "memory of 1024 MiB, expected 32.1 MiB to 512 MiB"),
        (["--context", "33"], 1, "context 33, expected 1 to 32"),
        pytest.param(["--context", "0"], 2, "greater than or equal to 1", marks=NEWER_TYPER),
    ],
)
def test_the_command_refuses_what_cannot_be(
    make_model: Callable[..., Made], arguments: list[str], code: int, message: str
) -> None:
    result = command(str(make_model().model), *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr


def test_a_budget_needs_no_tokenizer(make_model: Callable[..., Made], tmp_path: Path) -> None:
    made = make_model()
    (tmp_path / "model.bin").write_bytes(made.model.read_bytes())
    alone = run_command("budget", "--json", tmp_path / "model.bin")
    assert alone.returncode == 0
    assert alone.stderr.startswith(b"note: no tokenizer found: one of ")
    exact = Session(made.model, made.tokenizer).budget(b"x" * 64).as_dict()
    told = json.loads(alone.stdout)
    assert told.keys() == exact.keys() and told["fits"] is True
    for target in ([], ["--target", "xell"]):
        assert run_command("budget", *target, tmp_path / "model.bin").returncode == 0
        missing = run_command("budget", *target, tmp_path / "model.bin", "-z", tmp_path / "none.bin")
        assert missing.returncode == 1
