"""The host's library of the port: where it is built and kept, its functions, and what a call is given.

The structures are those of src/platform_host.h and src/kernels.h.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llama2c import build
from xenon.host import folders
from xenon.host.files import is_users, others_may_write
from xenon.host.memory import anonymous

Buffer = bytes | bytearray | memoryview | mmap.mmap
Writer = Callable[[int, bytes], None]


class _File(ctypes.Structure):
    """Host_File in src/platform_host.h."""

    _fields_ = (("path", ctypes.c_char_p), ("bytes", ctypes.c_void_p), ("size", ctypes.c_uint64))


_WRITE = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64)
_NANOSECONDS = ctypes.CFUNCTYPE(ctypes.c_uint64)


class Host(ctypes.Structure):
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


class KernelTable(ctypes.Structure):
    """Kernels in src/kernels.h."""

    _fields_ = (
        ("rmsnorm", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 3, _INT, ctypes.c_float)),
        ("rope", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 3, *(_INT,) * 2)),
        ("divide", ctypes.CFUNCTYPE(None, _FLOATS, ctypes.c_float, _INT)),
        ("softmax", ctypes.CFUNCTYPE(None, _FLOATS, _INT)),
        ("attend", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 5, *(_INT,) * 2)),
        ("swiglu", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 2, _INT)),
        ("add", ctypes.CFUNCTYPE(None, *(_FLOATS,) * 2, _INT)),
        ("argmax", ctypes.CFUNCTYPE(_INT, _FLOATS, _INT)),
    )


class HostMachine:
    """A disc, a memory and a terminal for one call. The object keeps alive what the C side points to."""

    def __init__(self, files: Mapping[bytes, Buffer], memory_bytes: int, write: Writer) -> None:
        self._write = write
        self.error: BaseException | None = None
        self._held = [page_aligned(data) for data in files.values()]
        table = (_File * max(len(files), 1))()
        for row, path, (_, address, size) in zip(table, files, self._held, strict=False):
            row.path, row.bytes, row.size = path, address, size
        memory = anonymous(max(memory_bytes, mmap.PAGESIZE))
        self._memory = memory
        self.host = Host(
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


def open_library(path: Path) -> ctypes.CDLL:
    """Load a library of `build_reference`, and say what its functions take and return."""
    library = ctypes.CDLL(os.fspath(path))
    host, floats = ctypes.POINTER(Host), ctypes.POINTER(ctypes.c_float)
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
    library.reference_kernels.restype = ctypes.POINTER(KernelTable)
    library.reference_maths.argtypes = (ctypes.c_char_p, *(ctypes.c_void_p,) * 3, ctypes.c_int64)
    return library


@contextmanager
def library_in(folder: Path | None) -> Iterator[Path]:
    """The library, compiled into `folder` unless it is there already, to be opened within the block. None
    stands for the user's cache; where others may write to that, it is compiled for this block alone.

    Raises build.BuildError when the compiler is missing or refuses.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise build.BuildError("the C compiler ziglang is missing: pip install 'xenon-llm[test]'")
    place = Path(_fingerprint(), build.reference_name())
    if folder is not None:
        yield _built(folder / place)
        return
    cache = _cache()
    if cache is not None and _make_private(cache, cache / place.parent):
        target = _built(cache / place)
        if _is_users_alone(target):
            yield target
            return
    with tempfile.TemporaryDirectory() as own:
        yield _built(Path(own) / place)


def _address(buffer: Any) -> int:
    """The address of a buffer's first byte; the buffer may be read-only."""
    import numpy as np

    return int(np.frombuffer(buffer, np.uint8).ctypes.data)


def page_aligned(data: Buffer) -> tuple[Buffer, int, int]:
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
