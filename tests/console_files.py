"""Reads a console's checkpoint as docs/formats.md describes it, with numpy and nothing of the loader's."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
CLASSES = ("token_embedding_table", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "wcls")


def up(size: int, to: int) -> int:
    return (size + to - 1) // to * to


class ConsoleFile:
    """A console's file in memory: `tensors` has every tensor as float32, a matrix by its class and layer."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.header = data[:256]
        self.mark = "<" if data[:4] == struct.pack("<I", 0x616B3432) else ">"
        words = struct.unpack(f"{self.mark}64I", data[:256])
        assert words[0] == 0x616B3432 and words[1] == 256 and words[11] == 0x78656E31
        dim, hidden, layers, heads, kv_heads, vocabulary, self.context = words[2:9]
        self.theta, self.epsilon = struct.unpack_from(f"{self.mark}2f", data, 48)
        self.codes = dict(zip(CLASSES, words[21:30], strict=True))
        kv = dim // heads * kv_heads
        shapes = {
            "token_embedding_table": (1, vocabulary, dim),
            **{"wq": (layers, dim, dim), "wk": (layers, kv, dim), "wv": (layers, kv, dim)},
            **{"wo": (layers, dim, dim), "w1": (layers, hidden, dim), "w2": (layers, dim, hidden)},
            **{"w3": (layers, hidden, dim), "wcls": (1, vocabulary, dim)},
        }
        if data[36]:
            del shapes["wcls"]
        self._offset = 256
        self.tensors: dict[tuple[str, int], Array] = {}
        for name, count in (("rms_att_weight", layers), ("rms_ffn_weight", layers), ("rms_final_weight", 1)):
            self.tensors[name, 0] = self._plane(f"{self.mark}f4", 1, count * dim).reshape(count, dim)
        for name, (count, rows, items) in shapes.items():
            for layer in range(count):
                self.tensors[name, layer] = self._matrix(self.codes[name], rows, items)
        assert self._offset == len(data)

    def _plane(self, code: str, rows: int, numbers: int) -> Array:
        """(rows, numbers), each row filled up to 16 bytes in the file, the plane to 128."""
        width = np.dtype(code).itemsize * numbers
        filled = up(width, 16) if rows > 1 else width
        raw = np.frombuffer(self._data, np.uint8, rows * filled, self._offset).reshape(rows, filled)
        start = self._offset + rows * filled
        self._offset = up(start, 128)
        assert not any(self._data[start : self._offset]) and not raw[:, width:].any()
        return np.ascontiguousarray(raw[:, :width]).view(code)

    def _matrix(self, code: int, rows: int, items: int) -> Array:
        half, blocks = f"{self.mark}f2", items // 32
        if code in (0, 1):
            return self._plane(f"{self.mark}f{4 // (code + 1)}", rows, items).astype(np.float32)
        if code == 30:
            upper = self._plane(f"{self.mark}u2", rows, items).astype(np.uint32)
            return (upper << np.uint32(16)).view(np.float32)
        pairs = code in (3, 7)
        scales = self._plane(half, rows, blocks * (2 if pairs else 1)).astype(np.float32)
        d = (scales[:, 0::2] if pairs else scales)[:, :, None]
        if code == 8:
            q = self._plane("i1", rows, items).reshape(rows, blocks, 32)
            return (d * q.astype(np.float32)).reshape(rows, items)
        high = (
            self._plane(f"{self.mark}u4", rows, blocks) if code in (6, 7) else np.zeros((rows, blocks), "u4")
        )
        nibbles = self._plane("u1", rows, items // 2).reshape(rows, blocks, 16)
        q = np.empty((rows, blocks, 32), np.float32)
        for j in range(32):
            low = nibbles[:, :, j] & 15 if j < 16 else nibbles[:, :, j - 16] >> 4
            q[:, :, j] = low + 16 * (high.astype(np.uint32) >> np.uint32(j) & np.uint32(1))
        if pairs:
            return (d * q + scales[:, 1::2][:, :, None]).reshape(rows, items)
        return (d * (q - np.float32({2: 8, 6: 16}[code]))).reshape(rows, items)
