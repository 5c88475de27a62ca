"""The bundled model's golden stories: llama2.c told them, and everything here tells them byte for byte."""

from __future__ import annotations

import pytest
from support import GOLDEN, NATIVE, GoldenStory, golden_stories, image_bytes, sample
from systems import RECOMPILER

import loader
import xenon
from llama2c.reference import Reference
from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories.settings import Engine, Matmul, Sampling, Setup

STORIES = golden_stories(GOLDEN)
SHORT = [number for number, story in enumerate(STORIES) if len(story.text) < 130]


def tell(setup: Setup, story: GoldenStory, compile_first: bool = False) -> str:
    """The story with the options of a golden one."""
    sampling = Sampling(story.temperature, story.topp, story.seed, story.steps)
    return "".join(xenon.Session(setup=setup).tell(story.prompt, sampling, compile_first=compile_first))


@pytest.mark.parametrize("number", sample(SHORT, 3))
def test_unicorn_tells_the_short_ones(number: int) -> None:
    """In turn on one to six hardware threads, which never change a story."""
    threads = (1, 2, 3, 6)[number % 4]
    setup = Setup(Engine.CPU, cpu=CpuKind.UNICORN, threads=threads)
    assert tell(setup, STORIES[number]) == STORIES[number].text


def test_the_scalar_kernel_tells_one_too() -> None:
    story = STORIES[SHORT[0]]
    assert tell(Setup(matmul=Matmul.SCALAR, cpu=CpuKind.UNICORN), story) == story.text


@RECOMPILER
@pytest.mark.parametrize("compile_first", [False, True], ids=["while it runs", "before it runs"])
def test_the_recompiler_tells_all_of_them(compile_first: bool) -> None:
    for number, story in sample(enumerate(STORIES), 6):
        threads = (1, 2, 3, 6)[number % 4]
        setup = Setup(Engine.CPU, cpu=CpuKind.RECOMPILER, threads=threads)
        assert tell(setup, story, compile_first) == story.text


def test_the_gpu_tells_the_greedy_ones() -> None:
    greedy = [story for story in STORIES if story.temperature == 0]
    assert len(greedy) == 4
    for story in sample(greedy, 2):
        assert tell(Setup(Engine.GPU), story) == story.text


@pytest.mark.parametrize("kernel", ["scalar", "vmx"])
def test_the_host_tells_all_of_them_with_either_kernel(
    reference: Reference, joe260K: loader.Model, joe_tokenizer: loader.Tokenizer, kernel: str
) -> None:
    files = {"m": image_bytes(joe260K, NATIVE), "t": image_bytes(joe_tokenizer, NATIVE)}
    for story in sample(STORIES, 6):
        arguments = ["m", "-z", "t", "-k", kernel, *story.options]
        assert reference.run(files, arguments)[1].decode() == story.text


def test_the_stories_are_greedy_and_sampled_short_and_long_with_and_without_a_prompt() -> None:
    assert len({(story.prompt, story.temperature, story.topp, story.seed) for story in STORIES}) == 13
    assert {story.temperature > 0 for story in STORIES} == {False, True}
    assert {bool(story.prompt) for story in STORIES} == {False, True}
    assert any(not story.prompt.isascii() for story in STORIES)
    assert max(len(story.text) for story in STORIES) > 500
