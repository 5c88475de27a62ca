"""The port on this machine: the shared library of `build.build_reference`, called through ctypes.

The library is the guest's sources compiled for the host; src/reference.c has its functions. Tests compare
both byte orders bit for bit, and benchmarks compare native with emulated runs. Files must be in the host's
byte order.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import mmap
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama2c import build
from xenon.host import folders
from xenon.host.files import is_users, others_may_write
from xenon.host.memory import anonymous

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview | mmap.mmap
Writer = Callable[[int, bytes], None]

MEMORY_BYTES = 1 << 30  # address space; the host commits what is touched
_MODEL = b"model"
_FP32 = 0  # the tensor type's code in src/fp32.c


class _File(ctypes.Structure):
    """Host_File in src/platform_host.h."""

    _fields_ = (("path", ctypes.c_char_p), ("bytes", ctypes.c_void_p), ("size", ctypes.c_uint64))


_WRITE = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64)
_NANOSECONDS = ctypes.CFUNCTYPE(ctypes.c_uint64)


class _Host(ctypes.Structure):
    """Host in src/platform_host.h."""

    _fields_ = (
        ("files", ctypes.POINTER(_File)),
        ("file_count", ctypes.c_int64),
        ("memory", ctypes.c_void_p),
        ("memory_size", ctypes.c_uint64),
        ("write", _WRITE),
        ("nanoseconds", _NANOSECONDS),
    )


_FLOATS, _INT = ctypes.c_void_p, ctypes.c_int


class _Kernels(ctypes.Structure):
    """Kernels in src/kernels.h."""

    _fields_ = (
        ("rmsnorm", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 3, _INT, ctypes.c_float)),
        ("rope", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 3, *(_INT,) * 2)),
        ("divide", ctypes.CFUNCTYPE(None, _FLOATS, ctypes.c_float, _INT)),
        ("softmax", ctypes.CFUNCTYPE(None, _FLOATS, _INT)),
        ("attend", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 5, *(_INT,) * 3)),
        ("swiglu", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 2, _INT)),
        ("add", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 2, _INT)),
        ("argmax", ctypes.CFUNCTYPE(_INT, _FLOATS, _INT)),
    )


class ReferenceFailedError(RuntimeError):
    """The reference refused a model; the message is its own."""


class _Machine:
    """A disc, a memory and a terminal for one call. The object keeps alive what the C side points to."""

    def __init__(self, files: Mapping[bytes, Buffer], memory_bytes: int, write: Writer) -> None:
        self._write = write
        self.error: BaseException | None = None
        self._held = [_page_aligned(data) for data in files.values()]
        table = (_File * max(len(files), 1))()
        for row, path, (_, address, size) in zip(table, files, self._held, strict=False):
            row.path, row.bytes, row.size = path, address, size
        memory = anonymous(max(memory_bytes, mmap.PAGESIZE))
        self._memory = memory
        self.host = _Host(
            table,
            len(files),
            _address(memory),
            len(memory),
            _WRITE(self._written),
            _NANOSECONDS(time.perf_counter_ns),
        )

    def _written(self, stream: int, address: int, size: int) -> None:
        if self.error is not None:
            return
        try:
            self._write(stream, ctypes.string_at(address, size))
        except BaseException as error:  # cannot pass through C; `check` raises it again
            self.error = error

    def check(self) -> None:
        """Raise the exception that the writer raised during the call."""
        if self.error is not None:
            raise self.error


class Reference:
    """The port's code on this machine. It runs one program or model at a time: the library has global state.

    reference = Reference.build()
    status, story, messages = reference.run({"m": model, "t": tokenizer}, ["m", "-z", "t", "-i", "Once"])
    """

    def __init__(self, library: str | os.PathLike[str], memory_bytes: int = MEMORY_BYTES) -> None:
        """Load a library of `build_reference`; each run or model may use `memory_bytes`."""
        self.path = Path(library)
        self.memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._loaded: _Machine | None = None
        self._tokens = 0
        library = ctypes.CDLL(os.fspath(self.path))
        host, floats = ctypes.POINTER(_Host), ctypes.POINTER(ctypes.c_float)
        library.reference_main.argtypes = (host, ctypes.c_int, ctypes.POINTER(ctypes.c_char_p))
        library.reference_load.argtypes = (host, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
        library.reference_vocab_size.argtypes = ()
        library.reference_tokenizer.argtypes = (host, ctypes.c_char_p, ctypes.c_int, ctypes.c_int64)
        library.reference_encode.argtypes = (
            *(ctypes.c_char_p, ctypes.c_int64, ctypes.c_int),
            ctypes.POINTER(ctypes.POINTER(ctypes.c_int)),
        )
        library.reference_encode.restype = ctypes.c_int64
        library.reference_decode.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p))
        library.reference_decode.restype = ctypes.c_int64
        library.reference_batch.argtypes = ()
        library.reference_forward.argtypes = (ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int)
        library.reference_forward.restype = None
        library.reference_classify.argtypes = (ctypes.c_int,)
        library.reference_classify.restype = floats
        library.reference_matmul.argtypes = (
            *(ctypes.c_uint32, *(ctypes.c_void_p,) * 3),
            *(ctypes.c_int,) * 4,
        )
        library.reference_matmul_int8.argtypes = (
            *(ctypes.c_void_p,) * 3,
            *(ctypes.c_int,) * 5,
            *(ctypes.c_void_p,) * 2,
        )
        library.reference_matmul_int8.restype = None
        library.reference_narrow.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
        library.reference_narrow.restype = None
        library.reference_kernels.argtypes = (ctypes.c_int,)
        library.reference_kernels.restype = ctypes.POINTER(_Kernels)
        library.reference_maths.argtypes = (ctypes.c_char_p, *(ctypes.c_void_p,) * 3, ctypes.c_int64)
        self._library = library

    @classmethod
    def build(
        cls, folder: str | os.PathLike[str] | None = None, memory_bytes: int = MEMORY_BYTES
    ) -> Reference:
        """Compile the library into `folder`, unless it is there already. The default is the user's cache;
        where others may write to that, the library is compiled for this process alone.

        Raises build.BuildError when the compiler is missing or refuses.
        """
        if importlib.util.find_spec("ziglang") is None:
            raise build.BuildError("the C compiler ziglang is missing: pip install 'xenon-llm[test]'")
        place = Path(_fingerprint(), build.reference_name())
        if folder is not None:
            return cls(_built(Path(folder) / place), memory_bytes)
        cache = _cache()
        if cache is not None and _make_private(cache, cache / place.parent):
            target = _built(cache / place)
            if _is_users_alone(target):
                return cls(target, memory_bytes)
        with tempfile.TemporaryDirectory() as own:
            return cls(_built(Path(own) / place), memory_bytes)

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

        machine = _Machine(
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
        machine = _Machine({_MODEL: model}, self.memory_bytes, lambda _, data: messages.extend(data))
        with self._lock:
            self._loaded = None
            kv_bytes = 2 if half_cache else 4
            if not self._library.reference_load(ctypes.byref(machine.host), _MODEL, vmx, kv_bytes):
                raise ReferenceFailedError(_said(messages) or "no memory is free")
            self._loaded = machine

    @property
    def batch(self) -> int:
        """The most tokens of a `forward`."""
        return int(self._library.reference_batch())

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
        machine = _Machine({_MODEL: data}, self.memory_bytes, lambda _, written: messages.extend(written))
        with self._lock:
            self._tokens = self._library.reference_tokenizer(
                ctypes.byref(machine.host), _MODEL, vocab_size, room
            )
            if not self._tokens:
                raise ReferenceFailedError(_said(messages))
            yield messages

    def matmul(
        self, w: NDArray[np.float32], x: NDArray[np.float32], vmx: bool = False
    ) -> NDArray[np.float32]:
        """w (d, n) times x (n) by the port's kernel, the rows laid out as they are: (d); or times each row of
        x (positions, n): (positions, d).

        The vector kernel runs only if both arrays are aligned to 16 bytes and n is a multiple of 4.
        """
        import numpy as np

        if w.ndim != 2 or x.ndim not in (1, 2) or x.shape[-1] != w.shape[1] or not x.size:
            raise ValueError(f"shapes {w.shape} and {x.shape}, expected (d, n) and (n,) or (positions, n)")
        for array in (w, x):
            if array.dtype != np.float32 or not array.flags.c_contiguous:
                raise ValueError("expected contiguous float32 arrays")
        d, n = w.shape
        out = np.empty((*x.shape[:-1], d), np.float32)
        self._library.reference_matmul(
            _FP32, out.ctypes.data, x.ctypes.data, w.ctypes.data, n, d, x.size // n, vmx
        )
        return out

    def product(
        self, code: int, w: bytes, x: NDArray[np.float32], rows: int, vmx: bool = False
    ) -> NDArray[np.float32]:
        """w (rows, n), planes of the type with ggml's number `code` as in a console's file, times each row of
        x (positions, n): (positions, rows). Raises KeyError for another type."""
        import numpy as np

        held, address, _ = _page_aligned(w)
        copy, place, _ = _page_aligned(x.astype(np.float32).tobytes())
        positions, n = x.shape
        out = np.empty((positions, rows), np.float32)
        known = self._library.reference_matmul(code, out.ctypes.data, place, address, n, rows, positions, vmx)
        del held, copy
        if not known:
            raise KeyError(code)
        return out

    def product_int8(
        self, w: NDArray[np.int8], scales: NDArray[np.float32], x: NDArray[np.float32], vmx: bool = False
    ) -> NDArray[np.float32]:
        """w (d, n) with scales (d, groups) times each row of x (positions, n), which becomes int8 in such
        groups: (positions, d). Raises ValueError for more positions than `batch`."""
        import numpy as np

        (d, n), groups, positions = w.shape, scales.shape[1], len(x)
        if positions > self.batch:
            raise ValueError(f"{positions} positions, expected at most {self.batch}")
        planes = w.astype(np.int8).tobytes() + scales.astype(np.float32).tobytes()
        parts = planes, x.astype(np.float32).tobytes(), bytes(4 * x.size), bytes(4 * groups * self.batch)
        held = [_page_aligned(part) for part in parts]
        weights, rows, room, own_scales = (address for _, address, _ in held)
        out = np.empty((positions, d), np.float32)
        shape = n, d, n // groups, positions, vmx
        self._library.reference_matmul_int8(out.ctypes.data, rows, weights, *shape, room, own_scales)
        return out

    def narrow(self, x: NDArray[np.float32]) -> NDArray[np.uint16]:
        """The bits of each x rounded to half precision."""
        import numpy as np

        x = np.ascontiguousarray(x, np.float32)
        out = np.empty(x.shape, np.uint16)
        self._library.reference_narrow(out.ctypes.data, x.ctypes.data, x.size)
        return out

    def kernel(self, name: str, *arguments: NDArray[np.float32] | float, vmx: bool = False) -> int | None:
        """Call a kernel of src/kernels.h on contiguous arrays, which it may change: what it returns.

        The vector kernel takes the scalar one's way where an array is not aligned to 16 bytes. Raises
        AttributeError for another name, ValueError for an array that is not contiguous float32.
        """
        import numpy as np

        values: list[float] = []
        for argument in arguments:
            if isinstance(argument, (int, float)):
                values.append(argument)
            elif argument.dtype != np.float32 or not argument.flags.c_contiguous:
                raise ValueError("expected contiguous float32 arrays")
            else:
                values.append(argument.ctypes.data)
        kernels = self._library.reference_kernels(vmx).contents
        result: int | None = getattr(kernels, name)(*values)
        return result

    def maths(
        self, name: str, x: NDArray[np.float32], y: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """expf, sinf, cosf, sqrtf, vector_exp, vector_exp2 or vector_reciprocal of every x, or powf of x
        and y, by the port's own maths.

        Raises KeyError for another name, ValueError for arrays that do not fit it.
        """
        import numpy as np

        if (y is None) is (name == "powf") or (y is not None and y.shape != x.shape):
            raise ValueError(f"{name}: powf takes two arrays of one shape, the others take one")
        x = np.ascontiguousarray(x, np.float32)
        second = None if y is None else np.ascontiguousarray(y, np.float32)
        out = np.empty_like(x)
        known = self._library.reference_maths(
            name.encode(),
            x.ctypes.data,
            None if second is None else second.ctypes.data,
            out.ctypes.data,
            x.size,
        )
        if not known:
            raise KeyError(name)
        return out


def _said(messages: bytearray) -> str:
    return messages.decode("utf-8", "replace").strip().removeprefix("error: ")


def _address(buffer: Any) -> int:
    """The address of a buffer's first byte; the buffer may be read-only."""
    import numpy as np

    return int(np.frombuffer(buffer, np.uint8).ctypes.data)


def _page_aligned(data: Buffer) -> tuple[Buffer, int, int]:
    """(owner, address, size) of the bytes at the start of a page: themselves, or a copy."""
    size = memoryview(data).nbytes
    if size and _address(data) % mmap.PAGESIZE == 0:
        return data, _address(data), size
    copy = mmap.mmap(-1, max(size, 1))
    copy[:size] = data if isinstance(data, bytes) else memoryview(data).cast("B")
    return copy, _address(copy), size


def _cache() -> Path | None:
    """None for a user without a home folder."""
    base = folders.user_cache()
    return None if base is None else base / "xenon-llm"


def _make_private(*folders: Path) -> bool:
    """Make the folders that are not there; whether nobody but the user may write to any of them."""
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return all(_is_users_alone(folder) for folder in folders)


def _is_users_alone(path: Path) -> bool:
    """Whether it belongs to the user, and nobody else may write to it: what a library holds is executed."""
    status = path.stat()
    return is_users(status) and not others_may_write(status)


def _built(target: Path) -> Path:
    """The library, compiled if it is not there."""
    if not target.is_file():
        build.build_reference(target)
        target.chmod(0o700)
    return target


def _fingerprint() -> str:
    """A name that differs for other sources, flags or compilers, for a library of exactly this code."""
    from importlib.metadata import version

    digest = hashlib.sha256(" ".join((*build.COMMON, *build.HOST, version("ziglang"))).encode())
    for source in sorted(build.SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return f"reference-{digest.hexdigest()[:16]}"
