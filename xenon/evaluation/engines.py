"""What runs windows of tokens: the console, and the same C on this computer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

import loader
from llama2c.build import BuildError
from llama2c.reference import Reference
from xenon.errors import XenonError
from xenon.evaluation.windows import Window, as_file
from xenon.recompiler.cpu_kind import default_kind
from xenon.stories.guest import guest_error, story_arguments
from xenon.stories.session import Session
from xenon.stories.settings import Activations, Engine, KeyValueType, Matmul, Sampling

if TYPE_CHECKING:
    import numpy as np

Sink = Callable[[bytes], None]
_MODEL, _TOKENIZER, _TOKENS = "model", "tokenizer", "tokens"
_STDOUT = 1


class Question(Enum):
    """What is wanted of the tokens; the values are the guest's options."""

    SCORES = ()
    LOGITS = ("-l",)
    TENSORS = ("-y",)


@dataclass(frozen=True, slots=True)
class _ReferenceEnd:
    """The last event of a run."""

    error: BaseException | None


class Evaluator(Protocol):
    """Something that runs windows. `byte_order` is that of the floats that it writes."""

    @property
    def name(self) -> str: ...
    @property
    def byte_order(self) -> loader.ByteOrder: ...
    def run(self, windows: Sequence[Window], question: Question, sink: Sink) -> None:
        """Give what is written to `sink`, piece by piece. Raises XenonError."""


@dataclass(frozen=True, slots=True)
class ConsoleEvaluator:
    """The guest in the emulated console."""

    session: Session
    timeout: float | None = None
    byte_order = loader.ByteOrder.BIG

    @property
    def name(self) -> str:
        decision = self.session.decision
        if decision.engine is Engine.GPU:
            return "console, gpu"
        cpu = decision.machine.cpu or default_kind()
        return f"console, {cpu.value}, {decision.matmul.value}"

    def run(self, windows: Sequence[Window], question: Question, sink: Sink) -> None:
        for data in self.session.evaluate(as_file(windows), question.value, self.timeout):
            sink(data)


class ReferenceEvaluator:
    """The guest's sources, compiled for this computer. Raises XenonError without the compiler."""

    byte_order = loader.ByteOrder(sys.byteorder)

    def __init__(
        self,
        model: loader.Model,
        tokenizer: loader.Tokenizer,
        matmul: Matmul,
        context: int | None = None,
        kv: KeyValueType = KeyValueType.F32,
        activations: Activations = Activations.F32,
    ) -> None:
        try:
            self._reference = Reference.build()
        except BuildError as error:
            message, _, hint = str(error).partition(": ")
            raise XenonError(message, hint) from error
        self.matmul = matmul
        self._context = context or model.config.seq_len
        self._numbers = ["-v", kv.value, "-q", activations.value]
        self._files = {_MODEL: _bytes_of(model), _TOKENIZER: _bytes_of(tokenizer)}

    @property
    def name(self) -> str:
        return f"host, {self.matmul.value}"

    def run(self, windows: Sequence[Window], question: Question, sink: Sink) -> None:
        sampling = Sampling(temperature=0.0, seed=1, steps=1)
        words = story_arguments((_MODEL, _TOKENIZER), b"", sampling, self.matmul, self._context)
        words += [*self._numbers, "-u", _TOKENS, *question.value]
        files = self._files | {_TOKENS: as_file(windows)}
        events: SimpleQueue[bytes | _ReferenceEnd] = SimpleQueue()

        def work() -> None:
            try:
                status, _, messages = self._reference.run(
                    files, words, lambda stream, data: events.put(data) if stream == _STDOUT else None
                )
                events.put(
                    _ReferenceEnd(
                        None if status == 0 else XenonError(f"{self.name}: {guest_error(messages)}")
                    )
                )
            except BaseException as error:
                events.put(_ReferenceEnd(error))

        # C code sees no Ctrl-C: it has a thread of its own, which goes on alone until the process ends.
        threading.Thread(target=work, name="reference", daemon=True).start()
        while not isinstance(event := events.get(), _ReferenceEnd):
            sink(event)
        if event.error is not None:
            raise event.error

    def encode(self, text: bytes) -> list[int]:
        """The tokens of a text, special ones as plain text. Raises XenonError."""
        from llama2c.reference import ReferenceFailedError

        try:
            return self._reference.encode(self._files[_TOKENIZER], 0, text)
        except ReferenceFailedError as error:
            raise XenonError(guest_error(str(error).encode())) from error


def logits_of(
    evaluator: Evaluator, windows: Sequence[Window], vocab_size: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The logits (positions, vocab_size) of all that is asked about. Raises XenonError."""
    import numpy as np

    data = bytearray()
    evaluator.run(windows, Question.LOGITS, data.extend)
    order = ">" if evaluator.byte_order is loader.ByteOrder.BIG else "<"
    return np.frombuffer(bytes(data), f"{order}f4").astype(np.float32).reshape(-1, vocab_size)


def _bytes_of(source: loader.Model | loader.Tokenizer) -> memoryview:
    """A file in the byte order of this computer."""
    image = source.image(loader.ByteOrder(sys.byteorder))
    data = memoryview(bytearray(image.size))
    image.read_into(0, data)
    return data
