"""Stories through the Python interface, golden ones among them: a few of these, all with XENON_LLM_ALL.

Those of the bundled model are all told by test_golden.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import NATIVE, GoldenStory, Made, image_bytes, sample, shared_file
from systems import RECOMPILER, need

import loader
import xenon
from llama2c.reference import Reference
from xenon.errors import ErrorCode, XenonError
from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories.settings import Engine, Matmul, Sampling, Setup

ALL = range(12)


def tell(session: xenon.Session, story: GoldenStory, compile_first: bool = False) -> str:
    sampling = Sampling(story.temperature, story.topp, story.seed, story.steps)
    return "".join(session.tell(story.prompt, sampling, compile_first=compile_first))


@pytest.mark.parametrize("number", sample(ALL, 2))
def test_the_console_tells_llama2cs_story(golden: list[GoldenStory], number: int) -> None:
    """In turn on one to six hardware threads, which never change a story."""
    session = xenon.Session(
        shared_file("models/stories260K.bin"),
        setup=Setup(Engine.CPU, cpu=CpuKind.UNICORN, threads=(1, 2, 3, 6)[number % 4]),
    )
    assert tell(session, golden[number]) == golden[number].text


@pytest.mark.parametrize("compile_first", [False, True], ids=["while it runs", "before it runs"])
def test_the_recompiler_tells_them_too(golden: list[GoldenStory], compile_first: bool) -> None:
    need(RECOMPILER)
    for number in sample(ALL, 4):
        story = golden[number]
        session = xenon.Session(
            shared_file("models/stories260K.bin"),
            setup=Setup(Engine.CPU, cpu=CpuKind.RECOMPILER, threads=(1, 2, 3, 6)[number % 4]),
        )
        assert tell(session, story, compile_first) == story.text


def test_the_scalar_kernel_tells_it_too(golden: list[GoldenStory]) -> None:
    session = xenon.Session(shared_file("models/stories260K.bin"), setup=Setup(matmul=Matmul.SCALAR))
    assert tell(session, golden[1]) == golden[1].text


@pytest.mark.parametrize("kernel", ["scalar", "vmx"])
def test_the_host_tells_all_of_them_with_either_kernel(
    golden: list[GoldenStory],
    reference: Reference,
    stories260K: loader.Model,
    tok512: loader.Tokenizer,
    kernel: str,
) -> None:
    files = {"m": image_bytes(stories260K, NATIVE), "t": image_bytes(tok512, NATIVE)}
    for story in golden:
        arguments = ["m", "-z", "t", "-k", kernel, *story.options]
        assert reference.run(files, arguments)[1].decode() == story.text


def test_the_bundled_model_tells_a_story_of_real_words() -> None:
    session = xenon.Session()
    story = session.generate("Sleepy Joe said", temperature=0.8, seed=1)
    text = "".join(story)
    assert text.startswith("Sleepy Joe said")
    assert len(text.split()) > 20
    assert story.statistics is not None
    assert story.statistics.tokens > 30


def test_either_byte_order_and_either_version_tell_the_same(
    tmp_path: Path, make_model: Callable[..., Made]
) -> None:
    made = make_model()
    stories = set()
    for order, format in [("big", None), ("big", loader.Format.V1), ("little", loader.Format.V1)]:
        target = tmp_path / f"{order}-{format}.bin"
        if (order, format) == ("little", loader.Format.V1):
            loader.convert(made.model, target, loader.ByteOrder.LITTLE, format)
        else:
            loader.convert(made.model, target, loader.ByteOrder(order), format)
        stories.add("".join(xenon.Session(target, made.tokenizer).generate("ab", seed=4, steps=20)))
    stories.add("".join(xenon.Session(made.model).generate("ab", seed=4, steps=20)))
    assert len(stories) == 1


def test_a_prompt_comes_back_and_pieces_never_split_a_character(make_model: Callable[..., Made]) -> None:
    pieces = list(xenon.Session(make_model(vocab_size=300).model).generate("aé ab", seed=2, steps=30))
    assert "".join(pieces).startswith("aé ab")
    for piece in pieces:
        piece.encode("utf-8", "surrogateescape").decode("utf-8")


def test_the_seed_that_was_picked_repeats_the_story(make_model: Callable[..., Made]) -> None:
    session = xenon.Session(make_model().model)
    first = session.generate("a", steps=16)
    text = "".join(first)
    assert first.statistics is not None
    assert "".join(session.generate("a", steps=16, seed=first.statistics.seed)) == text


def test_statistics_count_the_prompt_apart_from_the_story(make_model: Callable[..., Made]) -> None:
    session = xenon.Session(make_model().model)
    story = session.generate("ab", seed=1, steps=10, ignore_eos=True)
    list(story)
    statistics = story.statistics
    assert statistics is not None
    assert statistics.tokens == 8
    assert statistics.prompt_tokens == 2  # BOS and " ab"
    assert statistics.seconds > 0
    assert statistics.prompt_seconds > 0
    assert statistics.as_dict()["prompt_tokens_per_second"] == 2 / statistics.prompt_seconds
    assert statistics.first_piece_seconds > 0
    assert 32 * xenon.console.MIB < statistics.memory_used < 40 * xenon.console.MIB


def test_a_story_may_be_left_before_its_end(make_model: Callable[..., Made]) -> None:
    before = set(threading.enumerate())
    story = xenon.Session(make_model().model).generate("a", seed=1, ignore_eos=True)
    next(story)
    assert set(threading.enumerate()) > before
    del story  # the console stops
    assert set(threading.enumerate()) == before


def test_a_story_that_is_closed_stops_its_console_and_has_no_statistics(
    make_model: Callable[..., Made],
) -> None:
    before = set(threading.enumerate())
    with xenon.Session(make_model().model).generate("a", seed=1, ignore_eos=True) as story:
        next(story)
    assert set(threading.enumerate()) == before
    assert story.statistics is None
    assert list(story) == []


def test_two_stories_of_a_session_told_at_once_have_statistics_of_their_own(
    make_model: Callable[..., Made],
) -> None:
    session = xenon.Session(make_model().model)
    long, short = (session.generate("ab", seed=3, steps=steps, ignore_eos=True) for steps in (20, 9))
    alone = ["".join(session.generate("ab", seed=3, steps=steps, ignore_eos=True)) for steps in (20, 9)]
    told = [next(long), next(short)]
    told[1] += "".join(short)
    told[0] += "".join(long)
    assert told == alone
    assert long.statistics is not None and short.statistics is not None
    assert (long.statistics.tokens, short.statistics.tokens) == (18, 7)
    assert long.statistics.as_dict()["engine"] == "cpu"


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        ({"temperature": -1}, "temperature -1, expected 0 or more", ErrorCode.BAD_VALUE),
        ({"temperature": float("nan")}, "temperature nan", ErrorCode.BAD_VALUE),
        ({"top_p": 2}, "top-p 2, expected 0 to 1", ErrorCode.BAD_VALUE),
        ({"seed": -5}, "seed -5, expected 0 to", ErrorCode.BAD_VALUE),
        ({"seed": 1 << 64}, "expected 0 to 18446744073709551615", ErrorCode.BAD_VALUE),
        ({"steps": -1}, "-1 steps, expected 0 or more", ErrorCode.BAD_VALUE),
        ({"steps": 33}, "33 steps, expected 0 to 32, the context of", ErrorCode.BAD_INPUT),
        ({"prompt": "x" * 40}, "the prompt is 42 tokens, the model's context holds 32", ErrorCode.BAD_INPUT),
        ({"prompt": "x" * 4000}, "a prompt of 4000 bytes", ErrorCode.BAD_INPUT),
        ({"prompt": "a\0b"}, "the prompt contains a zero byte", ErrorCode.BAD_INPUT),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    make_model: Callable[..., Made], options: dict[str, Any], message: str, code: ErrorCode
) -> None:
    session = xenon.Session(make_model().model)
    with pytest.raises(XenonError, match=message) as caught:
        list(session.generate(**options))
    assert caught.value.code is code


def test_a_time_limit_ends_a_story(joe260K: loader.Model) -> None:
    with pytest.raises(XenonError, match=r"time limit of 0\.2 s") as caught:
        slow = Setup(cpu=CpuKind.UNICORN, matmul=Matmul.SCALAR)  # takes seconds
        list(xenon.Session(joe260K.path, setup=slow).generate(steps=0, timeout=0.2, ignore_eos=True))
    assert caught.value.code is ErrorCode.LIMIT_REACHED


def test_a_tokenizer_for_another_vocabulary_is_refused(make_model: Callable[..., Made]) -> None:
    small, large = make_model(vocab_size=270), make_model(vocab_size=290)
    with pytest.raises(loader.LoaderError, match="270 pieces, expected 290"):
        xenon.Session(large.model, small.tokenizer)


def test_a_model_larger_than_the_console_is_refused_before_it_is_read(
    make_model: Callable[..., Made],
) -> None:
    session = xenon.Session(make_model().model, setup=Setup(memory_bytes=(32 << 20) + (64 << 10) + 4096))
    with pytest.raises(XenonError, match=r"console has 4 KiB .* the largest regions are stack"):
        session.generate()
