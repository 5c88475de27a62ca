"""The protocol of a conversation, spoken with the guest: every request, and those that are none."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from support import WHOLE, Made, sample

import llama2c
import loader
from llama2c.allocations import most_request_bytes
from xenon.console import Console, CpuKind, MachineSettings
from xenon.stories.conversation_guest import ConversationGuest, Ending, Reason
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Sampling, Setup

NOTHING, ENCODE, ADD, GO_BACK, LOGITS, GENERATE = range(1, 7)
READY, TOKENS, POSITION, LOGITS_OF, TEXT, END, REFUSED = range(1, 8)
MOST = most_request_bytes()
Record = tuple[int, bytes]


def request(kind: int, data: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">2I", kind, len(data) if size is None else size) + data


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def options(
    most: int = 1, flags: int = 0, sampling: Sequence[float] = (0, 0.9, 0, 1), counts: Sequence[int] = (0, 0)
) -> bytes:
    return struct.pack(">2I4fQ2I", most, flags, *sampling, 1, *counts)


@pytest.fixture(scope="module")
def serve(make_model: Callable[..., Made]) -> Callable[[bytes], tuple[int | None, list[Record], str]]:
    """The guest's exit status for these bytes of input, its records and its messages."""
    made = make_model()
    opened = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    images = [file.image(loader.ByteOrder.BIG) for file in opened]

    def run(data: bytes) -> tuple[int | None, list[Record], str]:
        console = Console(MachineSettings(cpu=CpuKind.UNICORN, threads=1), stdin=io.BytesIO(data))
        for name, image in zip("mt", images, strict=True):
            console.disc.add(name, image)
        console.boot(llama2c.guest_program(), ["m", "-d", "-z", "t", "-k", "scalar"])
        output = {1: b"", 2: b""}
        for piece in console.run(timeout=60):
            output[piece.fd] += piece.data
        return console.exit_status, list(records(output[1])), output[2].decode()

    return run


def records(data: bytes) -> Iterator[Record]:
    while data:
        kind, size = struct.unpack_from(">2I", data)
        assert len(data) >= 8 + size
        yield kind, data[8 : 8 + size]
        data = data[8 + size :]


Serve = Callable[[bytes], tuple[int | None, list[Record], str]]


def test_an_empty_input_is_an_empty_conversation(serve: Serve) -> None:
    assert serve(b"") == (0, [(READY, words(1, 32, 272, MOST))], "")


def test_texts_become_tokens_which_are_added_and_taken_back(serve: Serve) -> None:
    text = words(0) + b"ab"
    status, answers, messages = serve(
        request(ENCODE, text)
        + request(ENCODE, words(2) + b"ab")
        + request(ADD, words(1, 5, 6))
        + request(GO_BACK, words(2))
        + request(NOTHING)
        + request(LOGITS)
    )
    assert (status, messages) == (0, "")
    encoded, goes_on = (struct.unpack(f">{len(data) // 4}I", data) for _, data in answers[1:3])
    assert encoded[0] == 1 and encoded[1:] == goes_on  # BOS
    assert answers[3:6] == [(POSITION, words(3)), (POSITION, words(2)), (POSITION, words(2))]
    kind, logits = answers[6]
    assert kind == LOGITS_OF and np.isfinite(np.frombuffer(logits, ">f4")).all() and len(logits) == 4 * 272


def test_input_that_waits_ends_an_answer_before_its_first_token(serve: Serve) -> None:
    """This input always waits, as a file does."""
    _, answers, _ = serve(request(ADD, words(1)) + request(GENERATE, options()) + request(NOTHING))
    assert [kind for kind, _ in answers] == [READY, POSITION, END, POSITION]
    assert struct.unpack_from(">3I", answers[2][1]) == (4, 0xFFFFFFFF, 1)


WRONG = {
    "unknown kind": request(7),
    "kind 0": request(0, b"abc"),
    "highest kind": request(0xFFFFFFFF),
    "text without flags": request(ENCODE, b"abc"),
    "unknown flag": request(ENCODE, words(4) + b"abc"),
    "part of a token": request(ADD, words(1) + b"\0"),
    "token of no vocabulary": request(ADD, words(1, 272)),
    "highest token": request(ADD, words(0xFFFFFFFF)),
    "more tokens than the context": request(ADD, words(*[1] * 33)),
    "back without a position": request(GO_BACK),
    "back to what is not there": request(GO_BACK, words(1)),
    "back to the highest": request(GO_BACK, words(0xFFFFFFFF)),
    "logits of nothing": request(LOGITS),
    "generate after nothing": request(GENERATE, options()),
}
WRONG_OPTIONS = {
    "none": b"",
    "cut": options()[:-1],
    "too long": options() + b"\0",
    "unknown flag": options(flags=4),
    "temperature": options(sampling=(-1, 0, 0, 1)),
    "temperature nan": options(sampling=(float("nan"), 0, 0, 1)),
    "temperature infinite": options(sampling=(float("inf"), 0, 0, 1)),
    "topp": options(sampling=(0, 1.5, 0, 1)),
    "min_p": options(sampling=(0, 0, 1.5, 1)),
    "min_p nan": options(sampling=(0, 0, float("nan"), 1)),
    "penalty 0": options(sampling=(0, 0, 0, 0)),
    "penalty nan": options(sampling=(0, 0, 0, float("nan"))),
    "17 end tokens": options(counts=(17, 0)) + words(*[1] * 17),
    "end tokens that are not there": options(counts=(1, 0)),
    "highest count of end tokens": options(counts=(0xFFFFFFFF, 0)),
    "a count that wraps": options(counts=(0x40000000, 0)),
    "17 strings": options(counts=(0, 17)) + (words(1) + b"a") * 17,
    "a string that is not there": options(counts=(0, 1)),
    "an empty string": options(counts=(0, 1)) + words(0),
    "a string past the end": options(counts=(0, 1)) + words(2) + b"a",
    "the highest length": options(counts=(0, 1)) + words(0xFFFFFFFF) + b"a",
    "a string of 129 bytes": options(counts=(0, 1)) + words(129) + b"a" * 129,
}


def test_requests_that_cannot_be_served_are_refused_and_change_nothing(serve: Serve) -> None:
    status, answers, messages = serve(b"".join(data + request(NOTHING) for data in WRONG.values()))
    assert (status, messages) == (0, "")
    assert [kind for kind, _ in answers[1:]] == [REFUSED, POSITION] * len(WRONG)
    assert {data for kind, data in answers if kind == POSITION} == {words(0)}
    assert all(data.decode().isprintable() and data for kind, data in answers if kind == REFUSED)


def test_options_that_cannot_be_are_refused(serve: Serve) -> None:
    data = b"".join(request(GENERATE, wrong) for wrong in WRONG_OPTIONS.values())
    status, answers, messages = serve(request(ADD, words(1)) + data)
    assert (status, messages) == (0, "")
    names = ["ready", "add", *WRONG_OPTIONS]
    assert {name: kind for name, (kind, _) in zip(names, answers, strict=True)} == {
        "ready": READY,
        "add": POSITION,
    } | dict.fromkeys(WRONG_OPTIONS, REFUSED)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (request(ADD, size=MOST + 1), f"a request of {MOST + 1} bytes, expected at most {MOST}"),
        (request(ADD, size=0xFFFFFFFF), f"a request of 4294967295 bytes, expected at most {MOST}"),
        (request(ADD, words(1))[:-1], "it ends within a request"),
        (request(NOTHING)[:-1], "it ends within a request"),
        (b"\0", "it ends within a request"),
    ],
)
def test_a_broken_frame_ends_the_guest_in_one_line(serve: Serve, data: bytes, message: str) -> None:
    status, answers, messages = serve(request(NOTHING) + data)
    assert status == 1
    assert messages == f"error: standard input: {message}\n"
    assert [kind for kind, _ in answers] == [READY, POSITION]


def test_the_longest_request_is_served(serve: Serve) -> None:
    status, answers, _ = serve(request(ENCODE, words(0) + b"q" * (MOST - 4)))
    assert status == 0
    assert (answers[1][0], len(answers[1][1])) == (TOKENS, 4 * (MOST - 4 + 2))  # BOS and a space before them


def test_random_requests_end_no_guest(serve: Serve) -> None:
    random_bytes = random.Random(11)
    data, count = b"", 300
    for _ in range(count):
        kind = random_bytes.randrange(9)
        sizes = [4 * random_bytes.randrange(12), random_bytes.randrange(60)]
        small = [random_bytes.randrange(3), random_bytes.randrange(300), 0xFFFFFFFF]
        payload = b"".join(words(random_bytes.choice(small)) for _ in range(15))[: random_bytes.choice(sizes)]
        if kind == GENERATE and random_bytes.random() < 0.5:
            payload = options() + payload
        data += request(kind, payload)
    status, answers, messages = serve(data)
    assert status == 0
    assert len([kind for kind, _ in answers if kind != TEXT]) == count + 1
    assert {kind for kind, _ in answers} >= {TOKENS, POSITION, LOGITS_OF, END, REFUSED}
    assert not messages or set(messages.splitlines()) == {messages.splitlines()[0]}


SETUPS = {"cpu": Setup(Engine.CPU, threads=1), "gpu": Setup(Engine.GPU)}  # as quick as they come


@pytest.fixture(params=sample(SETUPS, 1))
def guest(request: pytest.FixtureRequest) -> Iterator[ConversationGuest]:
    opened = ConversationGuest(Session(setup=SETUPS[request.param]))
    opened.add(opened.encode(b"Sleepy Joe"))
    yield opened
    opened.close()


def generate(guest: ConversationGuest, sampling: Sampling, most: int, start: int) -> tuple[bytes, Ending]:
    guest.go_back(start)
    guest.generate(sampling, most)
    text = b""
    while not isinstance(data := guest.receive_text(), Ending):
        text += data
    return text, data


def test_the_penalty_is_that_of_the_paper_over_64_tokens(guest: ConversationGuest) -> None:
    prompt = list(guest.encode(b"Sleepy Joe"))
    sampling = Sampling(temperature=0, repeat_penalty=2, ignore_eos=True)
    _, ending = generate(guest, sampling, 70, len(prompt))
    assert len(ending.tokens) == 70
    _, plain = generate(guest, Sampling(temperature=0, ignore_eos=True), 20, len(prompt))
    assert ending.tokens[:20] != plain.tokens
    tokens = list(prompt)
    guest.go_back(len(prompt))
    for token in ending.tokens:
        logits = np.array(guest.logits(), np.float32)
        recent = sorted(set(tokens[-64:]))
        logits[recent] = np.where(
            logits[recent] > 0, logits[recent] / np.float32(2), logits[recent] * np.float32(2)
        )
        assert int(np.argmax(logits)) == token
        tokens.append(token)
        guest.add([token])


def test_min_p_leaves_out_what_is_unlikely(guest: ConversationGuest) -> None:
    start = guest.nothing()
    _, greedy = generate(guest, Sampling(temperature=0), 30, start)
    for top_p in (0.0, 0.9, 1.0):  # with a nucleus and without
        sampling = Sampling(temperature=2, top_p=top_p, min_p=1, seed=3)
        assert generate(guest, sampling, 30, start)[1].tokens == greedy.tokens
    logits = np.array(guest.logits(), np.float64)
    guest.go_back(start)
    logits = np.array(guest.logits(), np.float64)
    odds = np.exp(logits - logits.max())
    likely = set(np.flatnonzero(odds >= 0.05).tolist())
    picked = {
        generate(guest, Sampling(1, 1, seed, min_p=0.05, ignore_eos=True), 1, start)[1].tokens[0]
        for seed in range(1, 40)
    }
    assert len(picked) > 1 and picked <= likely
    anything = (
        generate(guest, Sampling(1, 1, seed, ignore_eos=True), 1, start)[1].tokens[0] for seed in range(1, 60)
    )
    assert any(token not in likely for token in anything)


def test_generation_ends_before_the_first_stop_string(guest: ConversationGuest) -> None:
    start = guest.nothing()
    text, whole = generate(guest, Sampling(temperature=0, ignore_eos=True), 40, start)
    plain = text.decode()
    for place in range(0, len(plain) - 8, 3 if WHOLE else 9):
        stop = plain[place : place + 1 + place % 8]
        sampling = Sampling(temperature=0, ignore_eos=True, stop=(stop, "nowhere in it", stop + "#"))
        got, ending = generate(guest, sampling, 40, start)
        assert got.decode() == plain[: plain.index(stop)], stop
        assert ending.reason is Reason.STOP_STRING
        assert guest.nothing() == start + len(ending.tokens)
        assert whole.tokens[: len(ending.tokens)] == ending.tokens


def test_of_two_strings_the_one_that_ends_first_counts_and_the_longer_of_those(
    guest: ConversationGuest,
) -> None:
    start = guest.nothing()
    plain = generate(guest, Sampling(temperature=0, ignore_eos=True), 30, start)[0].decode()
    stops = (plain[10:12], plain[8:12], plain[9:20])
    text, _ = generate(guest, Sampling(temperature=0, ignore_eos=True, stop=stops), 30, start)
    assert text.decode() == plain[: plain.index(plain[8:12])]


def test_what_might_have_begun_a_stop_string_is_said_at_the_end(guest: ConversationGuest) -> None:
    start = guest.nothing()
    plain, _ = generate(guest, Sampling(temperature=0), 12, start)
    stop = plain.decode()[-3:] + "#"
    text, ending = generate(guest, Sampling(temperature=0, stop=(stop,)), 12, start)
    assert (text, ending.reason) == (plain, Reason.MOST_TOKENS)
