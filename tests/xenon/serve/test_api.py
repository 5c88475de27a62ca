"""The official client of OpenAI talks to the server, and gets what the console tells."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from api_server import MODEL, ask

import xenon
from xenon.stories.settings import Sampling

if TYPE_CHECKING:
    from xenon.serve.server import ApiServer

PROMPT = "Sleepy Joe said"


@pytest.fixture(scope="module")
def openai() -> Any:
    """The client's package, which takes a second to import."""
    return pytest.importorskip("openai", reason="the test's client is openai: pip install openai")


@pytest.fixture(scope="module")
def client(server: ApiServer, openai: Any) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def story() -> str:
    """What `xenon-llm generate` tells with seed 2."""
    return "".join(xenon.Session().tell(PROMPT, Sampling(0.8, seed=2))).removesuffix("\n")


def test_the_model_is_listed(client: Any, openai: Any) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "xenon-llm"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")


def test_a_completion_is_the_story_of_the_command_line(client: Any, story: str) -> None:
    answer = client.completions.create(model=MODEL, prompt=PROMPT, temperature=0.8, seed=2)
    assert PROMPT + answer.choices[0].text == story
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 4
    assert answer.usage.total_tokens == 4 + answer.usage.completion_tokens
    echoed = client.completions.create(model=MODEL, prompt=[PROMPT], temperature=0.8, seed=2, echo=True)
    assert echoed.choices[0].text == story


def test_a_stream_is_the_same_text_with_usage_at_its_end(client: Any, story: str) -> None:
    chunks = list(
        client.completions.create(
            model=MODEL,
            prompt=PROMPT,
            temperature=0.8,
            seed=2,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert PROMPT + "".join(choice.text for chunk in chunks for choice in chunk.choices) == story
    assert len({chunk.id for chunk in chunks}) == 1
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 100


def test_a_chat_streams_and_comes_whole(client: Any) -> None:
    messages = [{"role": "user", "content": PROMPT}]
    arguments = {"model": MODEL, "messages": messages, "temperature": 0, "max_completion_tokens": 30}
    whole = client.chat.completions.create(**arguments)
    chunks = list(client.chat.completions.create(**arguments, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert whole.usage.completion_tokens == 30


def test_a_chat_goes_on_where_a_conversation_would(client: Any) -> None:
    with xenon.Conversation(system="A story.") as conversation:
        greedy = Sampling(0, steps=12)
        first = "".join(conversation.say(PROMPT, greedy))
        messages = [{"role": "system", "content": "A story."}, {"role": "user", "content": PROMPT}]
        answer = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=12)
        assert answer.choices[0].message.content == first
    messages += [{"role": "assistant", "content": first}, {"role": "user", "content": "The cat"}]
    assert (
        client.chat.completions.create(model=MODEL, messages=messages, max_tokens=5)
        .choices[0]
        .message.content
    )


def test_stop_and_length_end_a_text(client: Any, story: str) -> None:
    answer = client.completions.create(model=MODEL, prompt=PROMPT, temperature=0.8, seed=2, stop=["clouds"])
    assert PROMPT + answer.choices[0].text == story.split("clouds")[0]
    assert answer.choices[0].finish_reason == "stop"
    answer = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None and answer.usage.completion_tokens == 3


def test_a_seed_repeats_a_text_and_none_does_not(client: Any) -> None:
    def told(seed: int | None) -> str:
        answer = client.completions.create(model=MODEL, prompt="One day", seed=seed, max_tokens=60)
        return str(answer.choices[0].text)

    assert told(0) == told(0) != told(7)
    assert len({told(None) for _ in range(4)}) > 1


def test_likelihoods_are_those_of_the_logits(client: Any, server: ApiServer) -> None:
    arguments = {"model": MODEL, "prompt": PROMPT, "temperature": 0, "max_tokens": 6}
    greedy = client.completions.create(**arguments)
    answer = client.completions.create(**arguments, logprobs=3)
    rows = answer.choices[0].logprobs
    assert answer.choices[0].text == greedy.choices[0].text
    assert rows is not None and rows.token_logprobs is not None and rows.top_logprobs is not None
    assert "".join(rows.tokens or ()) == answer.choices[0].text
    for chosen, top in zip(rows.token_logprobs, rows.top_logprobs, strict=True):
        assert chosen == max(top.values()) <= 0
        assert sum(math.exp(value) for value in top.values()) <= 1 + 1e-9
    sampled = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": PROMPT}],
        seed=3,
        max_tokens=8,
        logprobs=True,
        top_logprobs=2,
    )
    plain = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": PROMPT}], seed=3, max_tokens=8
    )
    assert sampled.choices[0].message.content == plain.choices[0].message.content
    content = sampled.choices[0].logprobs.content
    assert len(content) == 8 and all(len(row.top_logprobs) == 2 for row in content)


def test_tasks_of_the_asynchronous_client_get_their_own_texts(
    server: ApiServer, client: Any, openai: Any
) -> None:
    def arguments(seed: int) -> dict[str, object]:
        return {"model": MODEL, "prompt": "One day", "seed": seed, "max_tokens": 20}

    expected = [client.completions.create(**arguments(seed)).choices[0].text for seed in range(1, 9)]

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.address}/v1", api_key="none") as made:
            answers = [made.completions.create(**arguments(seed)) for seed in range(1, 9)]
            return [answer.choices[0].text for answer in await asyncio.gather(*answers)]

    assert asyncio.run(all_of_them()) == expected


def test_health_metrics_and_console_tell_the_state(server: ApiServer, client: Any) -> None:
    client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=5)
    assert ask(server.address, "/health").json == {"status": "ok"}
    text = ask(server.address, "/metrics").data.decode()
    assert 'xenon_llm_answers_total{path="/v1/completions",status="200"}' in text
    assert "xenon_llm_first_text_seconds_bucket" in text
    reply = ask(server.address, "/console")
    console = reply.json["consoles"][0]
    assert console["positions"] == 4 + 5
    purposes = {region["purpose"]: region for region in console["regions"]}
    assert purposes["key cache"]["filled"] == pytest.approx(9 / 512)
    assert sum(region["size"] for region in console["regions"]) == console["used_bytes"]
    assert len(console["threads"]) == 6
    assert PROMPT not in json.dumps(reply.json)  # nobody's text


def test_the_gpus_ring_and_fence_move() -> None:
    from api_server import api_server

    from xenon.stories.settings import Engine, Setup

    with api_server(Setup(Engine.GPU)) as server:
        states = []
        for _ in range(2):
            body = {"model": MODEL, "prompt": "a", "temperature": 0, "max_tokens": 3}
            assert ask(server.address, "/v1/completions", body).status == 200
            states.append(ask(server.address, "/console").json["consoles"][0]["gpu"])
    assert states[1]["fence"] > states[0]["fence"] > 0
    assert states[0]["read"] == states[0]["write"] < states[0]["ring_words"]
