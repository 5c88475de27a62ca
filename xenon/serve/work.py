"""One request carried out on a loaded model: text as it comes, with likelihoods where they are wanted."""

from __future__ import annotations

import codecs
import math
import secrets
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xenon.serve.api_error import BAD_REQUEST, ApiError
from xenon.serve.wanted import WantedText
from xenon.stories.conversation_guest import Ending, Reason
from xenon.stories.loaded import LoadedModel
from xenon.stories.runnable import RunnableModel
from xenon.stories.settings import Sampling
from xenon.stories.templates import TEMPLATES
from xenon.stories.written import TemplateWriter, encoded, write_messages

_SEED_ZERO = 1 << 63  # to the guest, a seed of 0 is none
_ENDED = (Reason.END_TOKEN, Reason.STOP_STRING)


@dataclass(frozen=True, slots=True)
class Likely:
    """A token with its text as bytes, and ln p."""

    text: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Told:
    """A stretch of text; with likelihoods it is one token, `chosen`, and `others` are the likeliest there."""

    text: str
    chosen: Likely | None = None
    others: tuple[Likely, ...] = ()


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a request ended: whether by itself (else by its length, or stopped), and its tokens."""

    by_itself: bool
    prompt_tokens: int
    tokens: int


@dataclass(slots=True)
class TextProgress:
    """How far the request at hand is, for whoever looks at the console; `tokens` of the text so far."""

    prompt_tokens: int = 0
    tokens: int = 0


def tell(
    loaded: LoadedModel, runnable: RunnableModel, wanted: WantedText, progress: TextProgress
) -> Generator[Told, None, JobEnd]:
    """The text that is wanted; an empty stretch comes once the prompt is accepted.

    Raises ApiError for what the context cannot hold, and what Answer raises.
    """
    tokens, ends, sampling = _prepared(loaded, runnable, wanted)
    room = loaded.guest.context - len(tokens)
    if room < 1:
        raise ApiError(
            BAD_REQUEST,
            f"the prompt is {len(tokens)} tokens, and the context of {loaded.guest.context} tokens has no "
            "room for an answer",
            "messages" if wanted.is_chat else "prompt",
            "context_length_exceeded",
        )
    most = min(wanted.most or room, room)
    progress.prompt_tokens, progress.tokens = len(tokens), 0
    yield Told("")
    if wanted.logprobs is not None:
        return (
            yield from _with_likelihoods(loaded, runnable, tokens, ends, sampling, most, wanted, progress)
        )
    answer = loaded.begin(tokens, sampling, most, ends, story=wanted.echo)
    with answer:
        for piece in answer:
            progress.tokens += 1
            yield Told(piece)
    assert answer.ending is not None
    return JobEnd(answer.ending.reason in _ENDED, len(tokens), len(answer.ending.tokens))


def _prepared(
    loaded: LoadedModel, runnable: RunnableModel, wanted: WantedText
) -> tuple[tuple[int, ...], tuple[int, ...], Sampling]:
    """The prompt's tokens, the tokens that end the text, and the sampling with its seed."""
    sampling = wanted.sampling
    seed = secrets.randbelow(2**31 - 1) + 1 if sampling.seed is None else sampling.seed or _SEED_ZERO
    sampling = replace(sampling, seed=seed)
    if wanted.prompt is not None:
        tokens = loaded.guest.encode(encoded(wanted.prompt))
        if not tokens:
            raise ApiError(BAD_REQUEST, "prompt: empty, and the tokenizer has no begin token", "prompt")
        return tokens, (), sampling
    writer = TemplateWriter(loaded.guest, runnable, TEMPLATES[runnable.model.extension.chat_template])
    tokens = write_messages(writer, wanted.messages)
    return tokens, writer.ends, replace(sampling, stop=(*sampling.stop, *writer.stops))


def _with_likelihoods(
    loaded: LoadedModel,
    runnable: RunnableModel,
    tokens: Sequence[int],
    ends: Sequence[int],
    sampling: Sampling,
    most: int,
    wanted: WantedText,
    progress: TextProgress,
) -> Generator[Told, None, JobEnd]:
    """Token by token, each after the logits that it was picked from."""
    guest = loaded.guest
    guest.go_back(0)
    guest.add(tokens)
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for count in range(most):
        logits = np.array(guest.logits(), np.float64)
        guest.generate(sampling if count == 0 else replace(sampling, seed=None), 1, ends)
        data = b""
        while not isinstance(received := guest.receive_text(), Ending):
            data += received
        if not received.tokens:
            return JobEnd(received.reason in _ENDED, len(tokens), count)
        progress.tokens += 1
        (token,) = received.tokens
        logprobs = logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())
        likeliest = np.argsort(-logprobs, kind="stable")[: wanted.logprobs or 0]
        yield Told(
            decoder.decode(data, final=count == most - 1),
            _likely(runnable, token, logprobs[token]),
            tuple(_likely(runnable, int(number), logprobs[number]) for number in likeliest),
        )
    return JobEnd(False, len(tokens), most)


def _likely(runnable: RunnableModel, token: int, logprob: float) -> Likely:
    return Likely(runnable.tokenizer.pieces[token].text, float(logprob))
