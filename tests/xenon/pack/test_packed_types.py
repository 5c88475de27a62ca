"""Models of smaller tensor types on a stick: the story is that of generate; and halves made while packing."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Made, sample

import loader
from loader import ByteOrder, Format, Recipe
from loader.synthetic import Shape
from loader.tensor_types import F16, Q8_0
from xenon.errors import XenonError
from xenon.machine import MachineSettings
from xenon.pack.half import in_half
from xenon.pack.plan import ELF_NAME, Layout, Tale, plan
from xenon.stories.session import Session
from xenon.stories.settings import Sampling
from xenon.xell.console import XellConsole

RECIPES = {
    "f16": Recipe(Format.CONSOLE, F16),
    "q8_0": Recipe(Format.CONSOLE, Q8_0),
    "int8": Recipe(Format.V2, None, 32),
}


@pytest.fixture(scope="module")
def made(make_model: Callable[..., Made]) -> Made:
    return make_model(dim=64, hidden_dim=96)


def converted(made: Made, recipe: Recipe, folder: Path) -> loader.Model:
    weights = loader.weights(loader.open(made.model))
    conversion = loader.plan_checkpoint(weights, ByteOrder.BIG, recipe, folder / "converted.bin")
    loader.write([conversion])
    return loader.open(conversion.target)


def tale_of(model: loader.Model, made: Made) -> Tale:
    return Tale(model, loader.open_tokenizer(made.tokenizer), b"a bee", Sampling(0.0, 0.9, 1, 12, True))


def told(tale: Tale) -> str:
    return "".join(Session(tale.model, tale.tokenizer).tell(tale.prompt, tale.sampling))


def booted(tale: Tale, folder: Path, console: XellConsole) -> str:
    folder.mkdir()
    (folder / ELF_NAME).write_bytes(plan(tale).files[ELF_NAME])
    console.boot(folder)
    return b"".join(console.run(120)).decode(errors="replace").replace("\r\n", "\n")


def story_in(text: str) -> str:
    return text.split("---- story ----\n")[1].split("---- end of story ----\n")[0]


@pytest.mark.parametrize("label", sample(RECIPES, 1))
def test_a_converted_model_tells_its_story(made: Made, tmp_path: Path, label: str) -> None:
    tale = tale_of(converted(made, RECIPES[label], tmp_path), made)
    text = booted(tale, tmp_path / "usb", XellConsole(MachineSettings(threads=1)))
    assert story_in(text) == told(tale)


def test_a_model_in_half_is_the_converted_one_under_its_own_path(made: Made, tmp_path: Path) -> None:
    whole = loader.open(made.model)
    half = in_half(whole)
    other = converted(made, RECIPES["f16"], tmp_path)
    assert half.path == whole.path
    files, expected = (plan(tale_of(model, made)).files[ELF_NAME] for model in (half, other))
    assert files == expected
    assert len(files) < len(plan(tale_of(whole, made)).files[ELF_NAME])
    folder = half.source.path.parent
    del half
    gc.collect()
    assert not folder.exists()


def test_only_fp32_is_halved(made: Made, tmp_path: Path) -> None:
    model = converted(made, RECIPES["q8_0"], tmp_path)
    with pytest.raises(XenonError, match=r"matrices of q8_0, expected fp32 to make half of"):
        in_half(model)


def test_fifteen_million_parameters_in_half_fit_in_one_file(
    written_shape: Callable[[Shape], tuple[Path, Path]],
) -> None:
    model, tokenizer = written_shape(Shape.STORIES_15M)
    tale = Tale(in_half(loader.open(model)), loader.open_tokenizer(tokenizer))
    assert plan(tale).layout is Layout.ONE


def test_a_model_that_no_stick_holds_even_in_half_is_refused(
    written_shape: Callable[[Shape], tuple[Path, Path]],
) -> None:
    model, _ = written_shape(Shape.STORIES_42M)
    with pytest.raises(XenonError, match=r"83,\d{3},\d{3} bytes with its matrices in f16, a stick's files"):
        in_half(loader.open(model))


def test_a_console_that_is_to_switch_itself_off_does(made: Made, tmp_path: Path) -> None:
    console = XellConsole(MachineSettings(threads=1))
    switched: list[bool] = []
    power_off = console.smc._power_off

    def record() -> None:
        switched.append(True)
        power_off()

    console.smc._power_off = record
    tale = tale_of(loader.open(made.model), made)
    tale = Tale(tale.model, tale.tokenizer, tale.prompt, tale.sampling, powers_off=True)
    text = booted(tale, tmp_path / "usb", console)
    assert text.endswith("the end: the console switches itself off\n")
    assert switched == [True]
    assert story_in(text) == told(tale)
