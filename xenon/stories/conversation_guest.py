"""The guest in a conversation: requests and records (llama2c/src/records.h), and a console that runs on."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from xenon.console import Console
from xenon.errors import XenonError
from xenon.stories.guest import (
    STACK_BYTES,
    conversation_arguments,
    guest_error,
    guest_program,
)
from xenon.stories.runnable import RunnableModel
from xenon.stories.settings import Sampling

_STDOUT = 1
_VERSION = 1
_FRAME = struct.Struct(">2I")
_END = struct.Struct(">3I3Q")
_OPTIONS = struct.Struct(">2I4fQ2I")


class _Request(IntEnum):
    NOTHING = 1
    ENCODE = 2
    ADD = 3
    GO_BACK = 4
    LOGITS = 5
    GENERATE = 6


class _Record(IntEnum):
    READY = 1
    TOKENS = 2
    POSITION = 3
    LOGITS = 4
    TEXT = 5
    END = 6
    REFUSED = 7


class _EncodeFlag(IntFlag):
    SPECIAL = 1
    GOES_ON = 2


class _GenerateFlag(IntFlag):
    IGNORE_END = 1
    STORY = 2


class Reason(IntEnum):
    """Why an answer ended: an end token, a stop string, its most tokens, a stop that was asked for, or no
    room in the context."""

    END_TOKEN = 1
    STOP_STRING = 2
    MOST_TOKENS = 3
    STOPPED = 4
    CONTEXT = 5


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended, and what it took: its tokens; the tokens that were read before it, in which time;
    the time of its own."""

    reason: Reason
    tokens: tuple[int, ...]
    read_tokens: int
    read_seconds: float
    seconds: float


class ConversationGuest:
    """A console that runs the guest for a conversation, from here until `close`.

    One thread makes requests; `stop` may come from any thread, and from a handler of signals. The methods
    raise what `Console.run` raises, and XenonError where the guest refuses a request or has ended.
    """

    def __init__(self, runnable: RunnableModel) -> None:
        self._runnable = runnable
        self._received = bytearray()
        self._messages = b""
        self._lock = threading.RLock()
        self._generating = False
        self._stop_wanted = False
        self._stop_sent = threading.Lock()  # held once it is
        source, self._sink = os.pipe()
        self._stdin = os.fdopen(source, "rb", buffering=0)
        try:
            self._console = self._boot(runnable)
            self._outputs = self._console.run()
            version, *numbers = _words(self._expect(_Record.READY))
            assert version == _VERSION
        except BaseException:
            self._close_pipe()
            raise
        self.context, self.vocab_size, self.most_request_bytes = numbers

    def _boot(self, runnable: RunnableModel) -> Console:
        console = runnable.console(self._stdin)
        arguments = conversation_arguments(runnable.decision)
        console.boot(guest_program(), arguments, stack_bytes=STACK_BYTES, hot=runnable.hot_functions())
        return console

    @property
    def has_ended(self) -> bool:
        """Whether the console does not run any more."""
        return self._sink < 0

    @property
    def console(self) -> Console:
        """The console, to look at."""
        return self._console

    @property
    def memory_used(self) -> int:
        """Bytes of the console's memory."""
        return self._console.memory.high_water

    def encode(self, text: bytes, special: bool = False, goes_on: bool = False) -> tuple[int, ...]:
        """The tokens of a text. `special` says whether special tokens in it count as such, `goes_on` that no
        begin token stands before it."""
        most = self.most_request_bytes - 4
        if len(text) > most:
            raise XenonError(f"a text of {len(text)} bytes, expected at most {most}", "shorten it")
        flags = special * _EncodeFlag.SPECIAL | goes_on * _EncodeFlag.GOES_ON
        self._send(_Request.ENCODE, struct.pack(">I", flags) + text)
        return _words(self._expect(_Record.TOKENS))

    def add(self, tokens: Sequence[int]) -> int:
        """Put tokens behind those that are there; how many there are then."""
        most = self.most_request_bytes // 4
        count = self.nothing() if not tokens else 0
        for start in range(0, len(tokens), most):
            part = tokens[start : start + most]
            self._send(_Request.ADD, struct.pack(f">{len(part)}I", *part))
            (count,) = _words(self._expect(_Record.POSITION))
        return count

    def go_back(self, count: int) -> None:
        """Keep so many tokens, from the first on."""
        self._send(_Request.GO_BACK, struct.pack(">I", count))
        self._expect(_Record.POSITION)

    def nothing(self) -> int:
        """How many tokens there are."""
        self._send(_Request.NOTHING)
        return _words(self._expect(_Record.POSITION))[0]

    def logits(self) -> tuple[float, ...]:
        """The logits after the last token, (vocab_size)."""
        self._send(_Request.LOGITS)
        data = self._expect(_Record.LOGITS)
        return struct.unpack(f">{len(data) // 4}f", data)

    def prepare_to_stop(self) -> None:
        """From now on `stop` means the next `generate`."""
        with self._lock:
            self._stop_wanted = False
            self._stop_sent = threading.Lock()

    def generate(self, sampling: Sampling, most: int, ends: Sequence[int] = (), story: bool = False) -> None:
        """Begin to generate at most `most` tokens, which `receive_text` yields; `ends` are end tokens beside
        the tokenizer's. A seed of None lets the random numbers go on. A `story` begins with the text of the
        tokens that are there, and prints a last token that the context has no room for."""
        flags = sampling.ignore_eos * _GenerateFlag.IGNORE_END | story * _GenerateFlag.STORY
        options = _options(sampling, most, flags, ends)
        with self._lock:
            self._send(_Request.GENERATE, options)
            self._generating = True
            if self._stop_wanted:
                self._send_stop()

    def receive_text(self) -> bytes | Ending:
        """The next stretch of text of what is being generated, or its end."""
        kind, data = self._receive()
        if kind is _Record.TEXT:
            return data
        with self._lock:
            self._generating = False
            stopped = self._stop_sent.locked()
        self._check(kind, data, _Record.END)
        if stopped:
            self._expect(_Record.POSITION)
        reason, _, _, read_tokens, read_nanoseconds, nanoseconds = _END.unpack_from(data)
        tokens = _words(data[_END.size :])
        return Ending(Reason(reason), tokens, read_tokens, read_nanoseconds / 1e9, nanoseconds / 1e9)

    def stop(self) -> None:
        """Let the answer end before its next token. The one that is being generated, or the next one after
        `prepare_to_stop`."""
        with self._lock:
            self._stop_wanted = True
            if self._generating:
                self._send_stop()

    def close(self) -> None:
        """Stop the console."""
        self._outputs.close()
        self._close_pipe()

    def _close_pipe(self) -> None:
        with self._lock:
            self._generating = False
            if self._sink >= 0:
                os.close(self._sink)
                self._stdin.close()
            self._sink = -1

    def _send_stop(self) -> None:
        if self._stop_sent.acquire(blocking=False):
            self._send(_Request.NOTHING)

    def _send(self, kind: _Request, data: bytes = b"") -> None:
        """Write a request. The pipe holds it whole, so that this does not wait."""
        if self._sink < 0:
            raise XenonError("the conversation has ended")
        frame = _FRAME.pack(kind, len(data)) + data
        while frame:
            frame = frame[os.write(self._sink, frame) :]

    def _expect(self, wanted: _Record) -> bytes:
        kind, data = self._receive()
        self._check(kind, data, wanted)
        return data

    def _check(self, kind: _Record, data: bytes, wanted: _Record) -> None:
        if kind is _Record.REFUSED:
            messages, self._messages = self._messages, b""
            raise XenonError(guest_error(messages) if messages else data.decode("utf-8", "replace"))
        assert kind is wanted, (kind, wanted)

    def _receive(self) -> tuple[_Record, bytes]:
        """The next record."""
        received = self._received
        while len(received) < _FRAME.size or len(received) < _FRAME.size + _FRAME.unpack_from(received)[1]:
            try:
                output = next(self._outputs)
            except BaseException as end:
                self._close_pipe()
                if isinstance(end, StopIteration):
                    raise self._runnable.guest_error(self._messages) from None
                raise
            if output.fd == _STDOUT:
                received += output.data
            else:
                self._messages += output.data
        kind, size = _FRAME.unpack_from(received)
        data = bytes(received[_FRAME.size : _FRAME.size + size])
        del received[: _FRAME.size + size]
        return _Record(kind), data


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 4}I", data)


def _options(sampling: Sampling, most: int, flags: int, ends: Sequence[int]) -> bytes:
    """What a request to generate holds."""
    options = _OPTIONS.pack(
        *(most, flags, sampling.temperature, sampling.top_p, sampling.min_p),
        *(sampling.repeat_penalty, sampling.seed or 0, len(ends), len(sampling.stop)),
    )
    strings = [text.encode("utf-8", "surrogateescape") for text in sampling.stop]
    packed = b"".join(struct.pack(">I", len(string)) + string for string in strings)
    return options + struct.pack(f">{len(ends)}I", *ends) + packed
