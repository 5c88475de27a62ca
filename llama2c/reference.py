"""The port on this machine: the shared library of `build.build_reference`, called through ctypes.

The library is the guest's sources compiled for the host; src/reference.c has its functions. Tests compare
both byte orders bit for bit, and benchmarks compare native with emulated runs. Files must be in the host's
byte order.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llama2c.reference_kernels import ReferenceKernels
from llama2c.reference_library import Buffer, HostMachine, Writer, library_in, open_library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEMORY_BYTES = 1 << 30  # address space; the host commits what is touched
_MODEL = b"model"


class ReferenceFailedError(RuntimeError):
    """The reference refused a model; the message is its own."""


class Reference(ReferenceKernels):
    """The port's code on this machine. It runs one program or model at a time: the library has global state.

    reference = Reference.build()
    status, story, messages = reference.run({"m": model, "t": tokenizer}, ["m", "-z", "t", "-i", "Once"])
    """

    def __init__(self, library: str | os.PathLike[str], memory_bytes: int = MEMORY_BYTES) -> None:
        """Load a library of `build_reference`; each run or model may use `memory_bytes`."""
        self.path = Path(library)
        super().__init__(open_library(self.path))
        self.memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._loaded: HostMachine | None = None
        self._tokens = 0

    @classmethod
    def build(
        cls, folder: str | os.PathLike[str] | None = None, memory_bytes: int = MEMORY_BYTES
    ) -> Reference:
        """Compile the library into `folder`, unless it is there already. The default is the user's cache;
        where others may write to that, the library is compiled for this process alone.

        Raises build.BuildError when the compiler is missing or refuses.
        """
        with library_in(None if folder is None else Path(folder)) as library:
            return cls(library, memory_bytes)

    def run(
        self,
        files: Mapping[str, Buffer],
        arguments: Sequence[str | bytes],
        write: Writer | None = None,
    ) -> tuple[int, bytes, bytes]:
        """Run the whole program on a disc with these files: exit status, standard output, standard error.

        `arguments` come after the program's name. `write(descriptor, data)` gets each piece as it is written,
        the record of `-r DESCRIPTOR` too. An exception of `write` is raised here after the program has ended.
        """
        written = defaultdict[int, bytearray](bytearray)

        def collect(stream: int, data: bytes) -> None:
            written[stream] += data
            if write is not None:
                write(stream, data)

        machine = HostMachine(
            {os.fsencode(path): data for path, data in files.items()}, self.memory_bytes, collect
        )
        words = [b"llama2", *(os.fsencode(word) for word in arguments)]
        vector = (ctypes.c_char_p * (len(words) + 1))(*words, None)
        with self._lock:
            status = self._library.reference_main(ctypes.byref(machine.host), len(words), vector)
        machine.check()
        return status, bytes(written[1]), bytes(written[2])

    def load(self, model: Buffer, vmx: bool = False, half_cache: bool = False) -> None:
        """Load a checkpoint in the host's byte order for `forward`.

        `half_cache` keeps keys and values in half precision. Raises ReferenceFailedError.
        """
        messages = bytearray()
        machine = HostMachine({_MODEL: model}, self.memory_bytes, lambda _, data: messages.extend(data))
        with self._lock:
            self._loaded = None
            kv_bytes = 2 if half_cache else 4
            if not self._library.reference_load(ctypes.byref(machine.host), _MODEL, vmx, kv_bytes):
                raise ReferenceFailedError(_said(messages) or "no memory is free")
            self._loaded = machine

    def forward(self, tokens: Sequence[int], pos: int) -> NDArray[np.float32]:
        """The logits (tokens, vocab_size) after each of the tokens, from `pos` on, a copy; earlier positions
        must have gone before.

        The C code checks no token and no position: keep them below the model's vocab_size and seq_len.
        Raises ValueError for more tokens than `batch`, or none.
        """
        import numpy as np

        if self._loaded is None:
            raise ReferenceFailedError("no model is loaded: call load first")
        if not 1 <= len(tokens) <= self.batch:
            raise ValueError(f"{len(tokens)} tokens, expected 1 to {self.batch}")
        with self._lock:
            self._library.reference_forward((ctypes.c_int * len(tokens))(*tokens), len(tokens), pos)
            shape = (self._library.reference_vocab_size(),)
            return np.stack(
                [
                    np.ctypeslib.as_array(self._library.reference_classify(number), shape).copy()
                    for number in range(len(tokens))
                ]
            )

    def encode(self, tokenizer: Buffer, vocab_size: int, text: bytes, special: bool = False) -> list[int]:
        """A text's tokens; the tokenizer is a file in the host's byte order, of any kind.

        llama2.c's kind puts BOS before them. `vocab_size` 0 stands for all tokens of the file. `special` says
        whether control tokens that the text contains count as such. Raises ReferenceFailedError.
        """
        tokens = ctypes.POINTER(ctypes.c_int)()
        with self._tokenizer(tokenizer, vocab_size, len(text)) as messages:
            count = self._library.reference_encode(text, len(text), special, ctypes.byref(tokens))
            if count < 0:
                raise ReferenceFailedError(_said(messages))
            return tokens[:count]

    def decode(self, tokenizer: Buffer, tokens: Sequence[int]) -> bytes:
        """The bytes that the tokens, of the file in the host's byte order, stand for one after the other.

        Raises ReferenceFailedError, ValueError for a token that the file does not have.
        """
        text = bytearray()
        place = ctypes.c_void_p()
        with self._tokenizer(tokenizer, 0, 0):
            if not all(0 <= token < self._tokens for token in tokens):
                raise ValueError(f"tokens {min(tokens)} to {max(tokens)}, expected 0 to {self._tokens - 1}")
            for before, token in zip((-1, *tokens), tokens, strict=False):
                size = self._library.reference_decode(before, token, ctypes.byref(place))
                text += ctypes.string_at(place, size)
        return bytes(text)

    @contextmanager
    def _tokenizer(self, data: Buffer, vocab_size: int, room: int) -> Iterator[bytearray]:
        """A tokenizer that is loaded, with room for texts of so many bytes; yields its messages.

        Raises ReferenceFailedError.
        """
        messages = bytearray()
        machine = HostMachine({_MODEL: data}, self.memory_bytes, lambda _, written: messages.extend(written))
        with self._lock:
            self._tokens = self._library.reference_tokenizer(
                ctypes.byref(machine.host), _MODEL, vocab_size, room
            )
            if not self._tokens:
                raise ReferenceFailedError(_said(messages))
            yield messages


def _said(messages: bytearray) -> str:
    return messages.decode("utf-8", "replace").strip().removeprefix("error: ")
