"""A session that stays loaded tells the stories that fresh consoles tell, in turns, for any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import Made, sample

import loader
import xenon
from xenon.errors import ErrorCode, XenonError
from xenon.machine import LimitReached
from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories.settings import Engine, Sampling, Setup

QUICK = Setup()
BYTE_PAIRS = Path(__file__).parents[2] / "data" / "byte_pairs" / "qwen-2.tokenizer.json"
PROMPTS = ("", "Sleepy Joe said", "One day", "Sleepy Joe said")
SLOW = Setup(Engine.CPU, cpu=CpuKind.UNICORN, threads=1)
LONG = Sampling(temperature=0, steps=0, ignore_eos=True)


@pytest.fixture(scope="module")
def session() -> Iterator[xenon.Session]:
    with xenon.Session(setup=QUICK) as opened:
        yield opened


def text(session: xenon.Session, prompt: str, sampling: Sampling) -> str:
    return "".join(session.tell(prompt, sampling))


SAMPLINGS = {
    "greedy": Sampling(0, steps=40),
    "sampled": Sampling(0.8, seed=2, steps=120),
    "all tokens": Sampling(1.3, 1.0, seed=3, steps=60, ignore_eos=True),
    "stop": Sampling(0.8, seed=2, steps=100, stop=("the", "clouds.")),
    "chosen": Sampling(0.9, seed=5, steps=50, min_p=0.05, repeat_penalty=1.2),
    "as long as the prompt": Sampling(0, steps=4),
    "shorter than the prompt": Sampling(0, steps=2),
}


@pytest.mark.parametrize("name", sample(SAMPLINGS, 3))
def test_the_text_is_that_of_a_console_of_its_own(session: xenon.Session, name: str) -> None:
    alone = xenon.Session(setup=QUICK)
    for prompt in PROMPTS[1:3] if name != "greedy" else PROMPTS:
        assert text(session, prompt, SAMPLINGS[name]) == text(alone, prompt, SAMPLINGS[name])


@pytest.mark.parametrize("steps", [30, 31, 32])
def test_the_text_is_the_same_at_the_end_of_the_context(make_model: Callable[..., Made], steps: int) -> None:
    made, sampling = make_model(), Sampling(1.0, seed=7, steps=steps, ignore_eos=True)
    alone = xenon.Session(made.model, setup=QUICK)
    with xenon.Session(made.model, setup=QUICK) as session:
        for prompt in ("ab", "a" * 29 + "é", "a <s> b"):
            told, fresh = session.tell(prompt, sampling), alone.tell(prompt, sampling)
            assert "".join(told) == "".join(fresh)
            assert told.statistics is not None and fresh.statistics is not None
            assert told.statistics.tokens == fresh.statistics.tokens
            assert told.statistics.prompt_tokens == fresh.statistics.prompt_tokens


@pytest.mark.parametrize("seed", [4, 5])
def test_byte_pairs_that_break_off_characters_are_told_as_they_come(
    make_model: Callable[..., Made], seed: int
) -> None:
    """Tokens of these seeds begin a character within another one, again and again."""
    tokenizer = loader.open_tokenizer(BYTE_PAIRS)
    made = make_model(vocab_size=len(tokenizer))
    sampling = Sampling(1.2, seed=seed, steps=20, ignore_eos=True)
    alone = xenon.Session(made.model, tokenizer, QUICK)
    with xenon.Session(made.model, tokenizer, QUICK) as session:
        for prompt in ("ab é", ""):
            told = text(session, prompt, sampling)
            assert told == text(alone, prompt, sampling)
            assert len(told) > 20


def test_a_prompt_that_ends_in_it_ends_the_story(make_model: Callable[..., Made]) -> None:
    made = make_model()
    prompt, sampling = "a\n<s>\nb", Sampling(0, steps=12, special=True)
    with xenon.Session(made.model, setup=QUICK) as session:
        assert text(session, prompt, sampling) == text(
            xenon.Session(made.model, setup=QUICK), prompt, sampling
        )


def test_a_story_that_is_closed_leaves_the_console_to_the_next(session: xenon.Session) -> None:
    expected = text(session, "One day", SAMPLINGS["sampled"])
    with session.tell("Sleepy Joe said", LONG) as story:
        next(story)
    assert list(story) == []
    assert text(session, "One day", SAMPLINGS["sampled"]) == expected


def test_a_thread_is_not_left_to_wait_for_itself(session: xenon.Session) -> None:
    with session.tell("One day", LONG) as story:
        next(story)
        with pytest.raises(XenonError, match="not at its end"):
            next(session.tell("One day", LONG))
    assert text(session, "One day", Sampling(0, steps=5))


def test_threads_take_turns_and_nothing_is_mixed(session: xenon.Session) -> None:
    samplings = [Sampling(0.9, seed=seed, steps=24) for seed in range(1, 13)]
    alone = [text(session, "One day", sampling) for sampling in samplings]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda sampling: text(session, "One day", sampling), samplings))
    assert together == alone
    assert len(set(alone)) > 6


def test_two_sessions_go_side_by_side(session: xenon.Session) -> None:
    with xenon.Session(setup=QUICK) as other:
        stories = session.tell("One day", SAMPLINGS["greedy"]), other.tell("Sleepy", SAMPLINGS["greedy"])
        pieces: tuple[list[str], list[str]] = ([], [])
        for first, second in zip(*stories, strict=False):
            pieces[0].append(first)
            pieces[1].append(second)
        for story in stories:
            story.close()
    assert "".join(pieces[0]).startswith("One day")
    assert "".join(pieces[1]).startswith("Sleepy")


def test_another_thread_closes_a_story_and_one_that_waits(session: xenon.Session) -> None:
    running, waiting = session.tell("One day", LONG), session.tell("One day", LONG)
    begun = threading.Event()

    def tell() -> int:
        pieces = 0
        for _ in running:
            pieces += 1
            begun.set()
        return pieces

    with ThreadPoolExecutor(2) as pool:
        told = pool.submit(tell)
        begun.wait()
        waited = pool.submit(list, waiting)
        waiting.close()
        assert waited.result() == []
        running.close()
        assert 0 < told.result() < 511
    assert waiting.statistics is None


def test_the_time_limit_ends_the_story_and_leaves_the_session() -> None:
    with xenon.Session(setup=SLOW) as session:
        with pytest.raises(LimitReached):
            list(session.tell("One day", LONG, timeout=0.2))
        with session.tell("One day", LONG) as story:
            next(story)
            with ThreadPoolExecutor(1) as pool, pytest.raises(LimitReached, match="other stories"):
                pool.submit(list, session.tell("One day", LONG, timeout=0.05)).result()
        assert len(text(session, "One day", Sampling(0, steps=5))) > 7


def test_tasks_take_turns(session: xenon.Session) -> None:
    samplings = [Sampling(0.9, seed=seed, steps=24) for seed in range(1, 7)]
    alone = [text(session, "One day", sampling) for sampling in samplings]

    async def tell(sampling: Sampling) -> str:
        async with session.tell("One day", sampling) as story:
            return "".join([piece async for piece in story])

    async def tell_all() -> list[str]:
        return list(await asyncio.gather(*map(tell, samplings)))

    assert asyncio.run(tell_all()) == alone


def test_a_task_that_is_cancelled_stops_its_story(session: xenon.Session) -> None:
    async def cancelled() -> None:
        async def tell() -> None:
            async with session.tell("One day", LONG) as story:
                async for _ in story:
                    begun.set()

        begun = asyncio.Event()
        task = asyncio.create_task(tell())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert text(session, "One day", Sampling(0, steps=5))


def test_what_cannot_be_told_is_an_error_and_the_next_story_is_told(session: xenon.Session) -> None:
    with pytest.raises(
        XenonError, match=r"the prompt is \d+ tokens, the model's context holds 512"
    ) as caught:
        list(session.tell("a b " * 600))
    assert caught.value.code is ErrorCode.BAD_INPUT
    assert "prompt" in caught.value.hint
    assert text(session, "One day", Sampling(0, steps=5))


def test_leaving_the_block_ends_a_story_that_is_not_at_its_end() -> None:
    with xenon.Session(setup=QUICK) as session:
        story = session.tell("One day", LONG)
        next(story)
    assert list(story) == []
    assert text(session, "One day", Sampling(0, steps=5))  # in a console of its own


def test_a_session_is_opened_once(session: xenon.Session) -> None:
    with pytest.raises(XenonError, match="open already"):
        session.__enter__()
