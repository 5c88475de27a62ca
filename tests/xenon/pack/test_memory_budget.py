"""The memory of a real console as it is predicted, compared with a console that has told the story."""

from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import run_command

import llama2c
import loader
from llama2c.facts import XELL_DEVICE_FUNCTIONS, XELL_FUNCTIONS
from loader.synthetic import Shape, write_model, write_tokenizer
from xenon.errors import ErrorCode, XenonError
from xenon.hardware.display import Screen
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, SYSTEM, align_down, align_up
from xenon.machine import MachineSettings
from xenon.pack import plan as planning
from xenon.pack.limits import MemoryArea
from xenon.pack.memory_budget import MetalBudget, predict_on_metal
from xenon.pack.plan import Layout, Tale, plan
from xenon.powerpc.elf import Elf
from xenon.stories.budget_drawing import FREE
from xenon.stories.settings import Sampling
from xenon.xell.console import XellConsole
from xenon.xell.layout import PLACES, Loader

RANGES = 8  # llama2c/src/xell_heap.c


@pytest.fixture
def tale(joe260K: loader.Model, joe_tokenizer: loader.Tokenizer) -> Tale:
    return Tale(joe260K, joe_tokenizer, b"Once", Sampling(0.0, 0.9, 1, 6))


def told(tale: Tale, layout: Layout, screen: Screen, folder: Path) -> XellConsole:
    for name, data in plan(tale, layout).files.items():
        (folder / name).write_bytes(data)
    console = XellConsole(MachineSettings(threads=1), screen=screen)
    console.boot(folder, hot=XELL_FUNCTIONS, interpreted=XELL_DEVICE_FUNCTIONS)
    assert b"---- end of story" in b"".join(console.run(120))
    return console


def free_in(console: XellConsole) -> list[tuple[int, int]]:
    """What the program's heap has left, by its own table."""
    path = llama2c.xell_program()
    elf = Elf(str(path), path.read_bytes())
    (table,) = (symbol for symbol in elf.symbols(elf.sections()) if symbol.name == "ranges")
    numbers = struct.unpack(f">{2 * RANGES}Q", console.machine.memory.read(table.value, 16 * RANGES))
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [(start, end) for start, end in pairs if start < end]


def predicted_free(budget: MetalBudget, console: XellConsole) -> list[tuple[int, int]]:
    """The free pages behind the image. The budget has all of the device tree's place, the heap only what the
    tree takes of it."""
    tree = PLACES[Loader.NEW].device_tree
    (size,) = struct.unpack(">I", console.machine.memory.read(tree.start + 4, 4))
    areas = [
        replace(area, end=area.start + size) if area.purpose == tree.purpose else area
        for area in budget.areas
        if area.purpose != FREE
    ]
    image = max(area.end for area in areas if area.purpose in ("program", "files in the image"))
    held = [area for area in areas if area.end > image] + [MemoryArea(SYSTEM.start, RAM_BYTES, "")]
    gaps = []
    start = align_up(image, PAGE_BYTES)
    for area in held:
        if align_down(area.start, PAGE_BYTES) > start:
            gaps.append((start, align_down(area.start, PAGE_BYTES)))
        start = max(start, align_up(area.end, PAGE_BYTES))
    return gaps


@pytest.mark.parametrize(
    ("layout", "screen", "context"),
    [(Layout.ONE, Screen(), None), (Layout.INITRD, Screen(640, 480), 100), (Layout.SPLIT, Screen(), None)],
)
def test_what_is_predicted_is_what_the_console_has_then(
    tale: Tale,
    layout: Layout,
    screen: Screen,
    context: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if layout is Layout.SPLIT:
        monkeypatch.setattr(planning, "INITRD_BYTES", 800_000)
    tale = replace(tale, context=context)
    budget, console = predict_on_metal(tale, layout, screen), told(tale, layout, screen, tmp_path)
    assert free_in(console) == predicted_free(budget, console)
    memory = console.machine.memory
    (shown,) = (area for area in budget.areas if area.purpose == "framebuffer")
    assert any(memory.read(shown.end - 4, 4)) and any(memory.read(shown.start, 4))
    assert not any(memory.read(shown.end, RAM_BYTES - shown.end))


def test_all_of_ram_is_in_the_budget_once(tale: Tale) -> None:
    budget = predict_on_metal(tale)
    assert (budget.areas[0].start, budget.areas[-1].end) == (0, RAM_BYTES)
    assert all(area.end == after.start for area, after in pairwise(budget.areas))
    assert sum(part.size for part in budget.parts(1 << 20)) == RAM_BYTES


def test_what_does_not_fit_names_the_context_that_would(tmp_path: Path) -> None:
    model, tokenizer = tmp_path / "long.bin", tmp_path / "tokenizer.bin"
    write_model(replace(Shape.STORIES_260K.config, seq_len=1 << 19), model)
    write_tokenizer(512, tokenizer)
    tale = Tale(loader.open(model), loader.open_tokenizer(tokenizer))
    with pytest.raises(XenonError) as caught:
        predict_on_metal(tale)
    assert caught.value.code is ErrorCode.CONTEXT_TOO_LONG
    longest = int(caught.value.hint.removeprefix("a context of ").removesuffix(" fits"))
    assert predict_on_metal(replace(tale, context=longest)).context == longest
    with pytest.raises(XenonError):
        predict_on_metal(replace(tale, context=longest + 1))


def test_the_command_shows_it_as_text_json_and_drawing(tmp_path: Path) -> None:
    drawing = tmp_path / "console.svg"
    shown = run_command("budget", "--target", "xell", "--svg", drawing).stdout.decode()
    assert "0x00010000" in shown and "0x1e000000" in shown and "\nfits: " in shown
    texts = [text.text or "" for text in ElementTree.parse(drawing).iter() if text.tag.endswith("}text")]
    assert any("on a console" in text for text in texts)
    facts = json.loads(run_command("budget", "--target", "xell", "--json").stdout)
    assert facts["total_bytes"] == sum(region["size"] for region in facts["regions"])


@pytest.mark.parametrize("words", [("--memory", "128MiB"), ("--kv", "f16"), ("--threads", "2")])
def test_what_a_real_console_does_not_leave_open_is_refused(words: tuple[str, ...]) -> None:
    ended = run_command("budget", "--target", "xell", *words)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {words[0]} with --target xell\nhint: ".encode())
