"""A conversation with a model that stays loaded in a console: only what is new is computed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile

import loader
from loader.kinds import ChatTemplate
from xenon.errors import ErrorCode, XenonError
from xenon.stories.answer import Answer, Totals, Turn
from xenon.stories.conversation_guest import ConversationGuest, Ending, Reason
from xenon.stories.session import Session
from xenon.stories.settings import MOST_STOPS, Sampling, Setup
from xenon.stories.templates import TEMPLATES
from xenon.stories.written import TemplateWriter

_ANSWERS_SHARE = 4  # older turns are dropped until this part of the context is free for an answer


class Conversation:
    """A conversation with a model on the console's disc; see Session for `model`, `tokenizer` and `setup`.

    `template` says how turns are written (None: as the model's file says), `system` is the system message
    (None: the template's own, "": none). Close it, or use it in a `with` block. One thread talks; `stop` may
    come from any other, and from a handler of signals, which should call it for Ctrl-C: an exception that
    breaks off an answer ends the console as well.

    Raises what Session raises, OutOfMemoryError for a model that the memory cannot hold, and XenonError for a
    system message that the context cannot hold.

        with xenon.Conversation("smollm2.be.bin") as conversation:
            for piece in conversation.say("What is the capital of France?"):
                print(piece, end="", flush=True)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | loader.Model | None = None,
        tokenizer: str | os.PathLike[str] | loader.Tokenizer | None = None,
        setup: Setup | None = None,
        template: ChatTemplate | None = None,
        system: str | None = None,
    ) -> None:
        self.session = Session(model, tokenizer, setup)
        extension = self.session.model.extension
        self.template = TEMPLATES[extension.chat_template if template is None else template]
        self.system = (self.template.default_system if system is None else system) or None
        self.turns: list[Turn] = []
        """The turns that the model knows of, the oldest first."""
        self.totals = Totals()
        self._tokens: list[int] = []
        self._seed: int | None = None
        self._answering = False
        self.session.budget(conversation=True).check()
        self._guest = ConversationGuest(self.session)
        self._writer = TemplateWriter(self._guest, self.session, self.template)
        try:
            self._opening = self._writer.encode(self.template.opening(self.system))
            self._closing = self._writer.encode(self.template.closing())
            self._check_room("the system message", len(self._opening), self.context)
            self._settle(self._opening)
            self._ends, self._stops = self._writer.ends, self._writer.stops
        except BaseException:
            self.close()
            raise

    @property
    def special_tokens_missing(self) -> tuple[str, ...]:
        """Special tokens of the template that the tokenizer does not have; they are written as text."""
        return self._writer.special_tokens_missing

    @property
    def context(self) -> int:
        """The most tokens that the conversation can have."""
        return self._guest.context

    @property
    def tokens(self) -> tuple[int, ...]:
        """The conversation as the model has it."""
        return tuple(self._tokens)

    @property
    def has_ended(self) -> bool:
        """Whether the console does not run any more."""
        return self._guest.has_ended

    @property
    def memory_used(self) -> int:
        """Bytes of the console's memory."""
        return self._guest.memory_used

    def logits(self) -> tuple[float, ...]:
        """The logits after the last token, (vocab_size)."""
        return self._guest.logits()

    def say(self, text: str, sampling: Sampling | None = None) -> Answer:
        """Say something; the answer comes as it is iterated. `sampling.steps` are its most tokens.

        When the context is full the oldest turns are dropped and the rest is computed again. Raises
        XenonError, and changes nothing, for a text that is empty, that cannot be encoded, or that does not
        fit in the context.
        """
        self._check_idle()
        if not text:
            raise XenonError("nothing was said", code=ErrorCode.BAD_VALUE)
        sampling = sampling or Sampling()
        self._guest.prepare_to_stop()
        turn = Turn(text)
        dropped, tokens = self._fitted(turn, sampling.steps or self.context)
        del self.turns[:dropped]
        self.turns.append(turn)
        self._settle(tokens)
        room = self.context - len(tokens) - len(self._closing)
        most = min(sampling.steps or room, room)
        limit = Reason.CONTEXT if most == room and sampling.steps != room else Reason.MOST_TOKENS
        stop = (*sampling.stop, *self._stops)[:MOST_STOPS]
        self._guest.generate(replace(self._seeded(sampling), stop=stop), most, self._ends)
        self._answering = True
        return Answer(self._guest, partial(self._finish, turn), dropped, limit)

    def stop(self) -> None:
        """Let the answer end before its next token; the conversation goes on."""
        self._guest.stop()

    def clear(self) -> None:
        """Forget all turns; the system message stays. The same seed then gives the same answers again."""
        self._check_idle()
        self.turns.clear()
        self._seed = None
        self._settle(self._opening)

    def close(self) -> None:
        """Stop the console."""
        self._guest.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self, turn: Turn, text: str, ending: Ending | None) -> None:
        """Put the answer into the conversation; no ending: it broke off, and the conversation has ended."""
        self._answering = False
        turn.text = text
        if ending is None:
            return
        turn.answer = ending.tokens
        self._tokens += ending.tokens
        self._settle([*self._tokens, *self._closing])
        self.totals.count(ending)

    def _check_idle(self) -> None:
        if self._answering:
            raise XenonError("an answer is not at its end", "iterate it, or close it")

    def _seeded(self, sampling: Sampling) -> Sampling:
        """The random numbers go on as long as the seed stays the same; without one they begin anywhere."""
        if self._seed is not None and (sampling.seed or self._seed) == self._seed:
            return replace(sampling, seed=None)
        self._seed = sampling.seed or secrets.randbelow(2**31 - 1) + 1
        return replace(sampling, seed=self._seed)

    def _fitted(self, turn: Turn, most: int) -> tuple[int, list[int]]:
        """How many of the oldest turns must go for one more, and the tokens that remain with it."""
        wanted = len(self._closing) + min(most, self.context // _ANSWERS_SHARE)
        for dropped in range(len(self.turns) + 1):
            tokens = self._written([*self.turns[dropped:], turn])
            if len(tokens) + wanted <= self.context:
                return dropped, tokens
        opening = len(self._opening)
        self._check_room("the message", len(tokens) - opening, self.context - opening)
        return len(self.turns), tokens

    def _check_room(self, what: str, needed: int, room: int) -> None:
        """Raises XenonError unless so many tokens fit with a token of an answer and what closes it."""
        room -= len(self._closing) + 1
        if needed > room:
            raise XenonError(
                f"{what} is {needed} tokens with its template, and the context of {self.session.model.path}, "
                f"{self.context} tokens, has room for {max(room, 0)}",
                "shorten it",
            )

    def _written(self, turns: Sequence[Turn]) -> list[int]:
        """The tokens of a conversation up to where the last turn's answer begins."""
        tokens = list(self._opening)
        for index, turn in enumerate(turns):
            first = index == 0
            if first not in turn.asked:
                turn.asked[first] = self._writer.encode(self.template.turn(turn.user, self.system, first))
            tokens += turn.asked[first]
            if turn is not turns[-1]:
                tokens += [*turn.answer, *self._closing]
        return tokens

    def _settle(self, tokens: Sequence[int]) -> None:
        """Let the model have these tokens; those at the beginning that it has already stay."""
        same = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._tokens, tokens, strict=False))
        )
        if same < len(self._tokens):
            self._guest.go_back(same)
        if same < len(tokens):
            self._guest.add(tokens[same:])
        self._tokens = list(tokens)
