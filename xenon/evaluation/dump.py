"""Every tensor of a forward pass, in a folder of .npy files (docs/verify.md), and the first that differs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import loader
from xenon.errors import XenonError, reason
from xenon.evaluation.engines import Evaluator, Question
from xenon.evaluation.windows import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ABOUT: Final = "dump.json"
_FORMAT: Final = "xenon-llm tensors 1"
_MOST_ABOUT: Final = 1 << 24  # bytes
_MOST_POSITIONS: Final = 1 << 20
_NAME_BYTES, _HEAD_BYTES = 16, 32  # llama2c/src/forward_dump.h
_NO_LAYER = -1


@dataclass(frozen=True, slots=True)
class Tensors:
    """The tensors of a pass by their names, in the order in which they are computed.

    Each has the shape (positions, items); `att` (positions, n_heads, positions), with zeros for positions
    that are still to come.
    """

    tokens: tuple[int, ...]
    arrays: dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two passes part: the first tensor, and in it the first item that differs."""

    name: str
    position: int
    index: tuple[int, ...]
    value: float
    expected: float
    ulps: int

    def __str__(self) -> str:
        place = ", ".join(map(str, self.index))
        return (
            f"{self.name} at position {self.position}, index {place}: {self.value:.9g}, "
            f"expected {self.expected:.9g}, {self.ulps:,} ulp apart"
        )


def tensors_of(evaluator: Evaluator, tokens: Sequence[int], n_heads: int) -> Tensors:
    """Every tensor of a pass over these tokens. Raises XenonError."""
    import numpy as np

    data = bytearray()
    evaluator.run([Window(tuple(tokens), 1)], Question.TENSORS, data.extend)
    order = ">" if evaluator.byte_order is loader.ByteOrder.BIG else "<"
    rows: dict[str, list[NDArray[np.float32]]] = {}
    for name, place, count in _records(data, order):
        items = np.frombuffer(data, f"{order}f4", count, place).astype(np.float32)
        rows.setdefault(name, []).append(items)
    arrays = {
        name: _attention(part, n_heads) if name.endswith(".att") else np.stack(part)
        for name, part in rows.items()
    }
    return Tensors(tuple(tokens), arrays)


def _records(data: bytearray, order: str) -> Iterator[tuple[str, int, int]]:
    """(name, offset of the items, their number) of each record."""
    head, offset = struct.Struct(f"{order}{_NAME_BYTES}siiq"), 0
    while offset < len(data):
        name, layer, _position, count = head.unpack_from(data, offset)
        text = name.rstrip(b"\0").decode()
        yield text if layer == _NO_LAYER else f"l{layer:02}.{text}", offset + _HEAD_BYTES, count
        offset += _HEAD_BYTES + 4 * count


def _attention(rows: list[NDArray[np.float32]], n_heads: int) -> NDArray[np.float32]:
    """The weights (n_heads, position + 1) of each position as one array, zeros for what is to come."""
    import numpy as np

    weights = np.zeros((len(rows), n_heads, len(rows)), np.float32)
    for position, row in enumerate(rows):
        weights[position, :, : position + 1] = row.reshape(n_heads, position + 1)
    return weights


def write_dumps(folder: Path, dumps: dict[str, Tensors]) -> None:
    """Write each dump to its folder in a new folder, which appears whole or not at all. Raises XenonError."""
    import numpy as np

    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise XenonError(f"{folder}: exists already, and is no empty folder", "name another folder")
        made = Path(tempfile.mkdtemp(prefix=".xenon-dump-", dir=folder.absolute().parent))
        try:
            for part, tensors in dumps.items():
                (made / part).mkdir()
                about = {"format": _FORMAT, "tokens": tensors.tokens, "order": list(tensors.arrays)}
                (made / part / ABOUT).write_bytes(json.dumps(about, indent=1).encode() + b"\n")
                for name, array in tensors.arrays.items():
                    np.save(made / part / f"{name}.npy", array.astype("<f4"), allow_pickle=False)
            made.chmod(0o755)
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()  # Windows renames nothing to a name that is taken
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise XenonError(f"{error.filename or folder}: {reason(error)}", "name another folder") from error


def dumped_tokens(folder: Path, vocab_size: int, seq_len: int) -> tuple[int, ...]:
    """The tokens of a dump. Raises XenonError for a folder that says none, or none of the model."""
    path = folder / ABOUT
    try:
        with path.open("rb") as file:
            about: Any = json.loads(file.read(_MOST_ABOUT))
        tokens = about["tokens"]
        if about["format"] != _FORMAT or not isinstance(tokens, list):
            raise ValueError
        if not all(isinstance(token, int) and not isinstance(token, bool) for token in tokens):
            raise ValueError
    except OSError as error:
        raise XenonError(f"{path}: {reason(error)}", "a dump's folder has this file") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise XenonError(f"{path}: expected format {_FORMAT!r} and a list of tokens") from error
    if not 1 <= len(tokens) <= min(seq_len, _MOST_POSITIONS):
        raise XenonError(f"{path}: {len(tokens)} tokens, expected 1 to {seq_len}, the context")
    if bad := [token for token in tokens if not 0 <= token < vocab_size]:
        raise XenonError(f"{path}: token {bad[0]}, expected 0 to {vocab_size - 1}")
    return tuple(tokens)


def read_dump(folder: Path, expected: Tensors) -> Tensors:
    """The tensors of a dump that have the names of `expected`; others are not looked at, and some may be
    missing. Raises XenonError for a file that is not what it should be, and for a folder without any."""
    arrays = {}
    for name, like in expected.arrays.items():
        path = folder / f"{name}.npy"
        if os.path.lexists(path):
            arrays[name] = _read_array(path, like.shape)
    if not arrays:
        names = ", ".join(list(expected.arrays)[:4])
        raise XenonError(f"{folder}: no tensor of the model", f"its files are called {names} and so on, .npy")
    return Tensors(expected.tokens, arrays)


def _read_array(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A .npy file of this shape and floats. Raises XenonError."""
    import numpy as np

    try:
        if not path.is_file():
            raise XenonError(f"{path}: is not a regular file")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, RecursionError, MemoryError) as error:
        what = reason(error) if isinstance(error, OSError) and error.strerror else "no .npy file"
        raise XenonError(f"{path}: {what}") from error
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise XenonError(f"{path}: shape {getattr(array, 'shape', None)}, expected {shape}")
    if array.dtype.kind != "f":
        raise XenonError(f"{path}: items of type {array.dtype}, expected float32")
    with np.errstate(over="ignore"):
        return np.array(array, np.float32)


def ulps_between(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many floats lie between each two, 0 for the same and for two that are no numbers; one that is no
    number and one that is are further apart than any two numbers."""
    import numpy as np

    def steps(x: NDArray[np.float32]) -> NDArray[np.int64]:
        bits = np.ascontiguousarray(x).view(np.int32).astype(np.int64)
        return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)

    distance = np.abs(steps(a) - steps(b))
    not_a, not_b = np.isnan(a), np.isnan(b)
    result: NDArray[np.int64] = np.where(not_a | not_b, np.where(not_a & not_b, 0, 1 << 32), distance)
    return result


def first_difference(tensors: Tensors, expected: Tensors, most_ulps: int = 0) -> Difference | None:
    """The first item, in the order of computing, that differs; None if none does.

    Items may be `most_ulps` floats apart, or as many units in the last place of the largest item that the
    expected tensor has at the position: sums in another order are no nearer around zero. Only tensors that
    both have are compared.
    """
    import numpy as np

    names = [name for name in expected.arrays if name in tensors.arrays]
    for position in range(len(expected.tokens)):
        for name in names:
            row, wanted = tensors.arrays[name][position], expected.arrays[name][position]
            differs = _differs(row, wanted, most_ulps)
            if differs.any():
                index = tuple(int(number) for number in np.argwhere(differs)[0])
                value, other = np.float32(row[index]), np.float32(wanted[index])
                apart = int(ulps_between(np.array([value]), np.array([other]))[0])
                return Difference(name, position, index, float(value), float(other), apart)
    return None


def _differs(row: NDArray[np.float32], wanted: NDArray[np.float32], most_ulps: int) -> NDArray[np.bool_]:
    """Which items of a tensor at a position differ."""
    import numpy as np

    apart = ulps_between(row, wanted) > most_ulps
    if most_ulps and apart.any():
        numbers = np.abs(wanted[np.isfinite(wanted)])
        step = float(np.spacing(numbers.max())) if numbers.size else 0.0
        with np.errstate(invalid="ignore"):
            near = np.abs(row.astype(np.float64) - wanted.astype(np.float64)) <= most_ulps * step
        apart &= ~near
    return apart
