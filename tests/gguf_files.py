"""Small GGUF files, written without the loader: one of a Llama model, and whatever is to be wrong with it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# The number of each value type, and its code in struct.
NUMBERS = {
    **{"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i")},
    **{"f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")},
}
STRING, ARRAY = 8, 9
# ggml's types: number, items and bytes of a block, (offset, width) of what swaps.
BLOCKS: dict[str, tuple[int, int, int, tuple[tuple[int, int], ...]]] = {
    "F32": (0, 1, 4, ((0, 4),)),
    "F16": (1, 1, 2, ((0, 2),)),
    "BF16": (30, 1, 2, ((0, 2),)),
    "Q4_0": (2, 32, 18, ((0, 2),)),
    "Q4_1": (3, 32, 20, ((0, 2), (2, 2))),
    "Q5_0": (6, 32, 22, ((0, 2), (2, 4))),
    "Q5_1": (7, 32, 24, ((0, 2), (2, 2), (4, 4))),
    "Q8_0": (8, 32, 34, ((0, 2),)),
    "Q4_K": (12, 256, 144, ((0, 2), (2, 2))),
    "Q5_K": (13, 256, 176, ((0, 2), (2, 2))),
    "Q6_K": (14, 256, 210, ((208, 2),)),
}
# Where the halves of a block stand that scale it: random bits there would make NaNs.
SCALES = {"Q6_K": (208,), **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2))}


def swapped(data: bytes, name: str) -> bytes:
    """Whole blocks with every number reversed that has an order, one by one."""
    result = bytearray(data)
    _, _, size, swaps = BLOCKS[name]
    for block in range(0, len(data), size):
        for offset, width in swaps:
            place = slice(block + offset, block + offset + width)
            result[place] = result[place][::-1]
    return bytes(result)


def random_blocks(name: str, items: int, seed: int = 0) -> bytes:
    """Little-endian blocks of random bits with small scales; a float type has small numbers."""
    rng = np.random.default_rng(seed)
    if name in ("F32", "F16", "BF16"):
        values = rng.standard_normal(items).astype("<f4") * np.float32(0.05)
        if name == "BF16":
            return (values.view("<u4") >> 16).astype("<u2").tobytes()
        return values.astype("<f4" if name == "F32" else "<f2").tobytes()
    _, per_block, size, _ = BLOCKS[name]
    blocks = rng.integers(0, 256, (items // per_block, size), np.uint8)
    for offset in SCALES.get(name, (0,)):
        scales = (rng.standard_normal(len(blocks)) * 0.01).astype("<f2")
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.tobytes()


@dataclass
class TensorRow:
    """A row of the tensor table as it is to be written; `data` is little-endian."""

    name: bytes
    ne: tuple[int, ...]
    type: int
    data: bytes
    kind: str = ""
    offset: int | None = None  # None: behind the tensor before
    n_dims: int | None = None


@dataclass
class GgufFile:
    """A GGUF file as it is to be written."""

    values: list[tuple[bytes, str, Any]] = field(default_factory=list)
    tensors: list[TensorRow] = field(default_factory=list)
    version: int = 3
    alignment: int = 32
    magic: bytes = b"GGUF"
    counts: tuple[int | None, int | None] = (None, None)

    def set(self, key: str, type: str, value: Any) -> None:
        """Replace a value, or add it."""
        name = key.encode()
        self.values = [row for row in self.values if row[0] != name] + [(name, type, value)]

    def remove(self, key: str) -> None:
        self.values = [row for row in self.values if row[0] != key.encode()]

    def tensor(self, name: str) -> TensorRow:
        return next(row for row in self.tensors if row.name == name.encode())

    def add(self, name: str, kind: str, ne: tuple[int, ...], data: bytes | None = None) -> None:
        """A tensor with ne[0] items in a row."""
        if data is None:
            data = random_blocks(kind, int(np.prod(ne)), len(self.tensors))
        self.tensors.append(TensorRow(name.encode(), ne, BLOCKS[kind][0], data, kind))

    def data(self, order: str = "little") -> bytes:
        """The file in a byte order."""
        mark = "<" if order == "little" else ">"
        counts = [
            number if given is None else given
            for given, number in zip(self.counts, (len(self.tensors), len(self.values)), strict=True)
        ]
        head = self.magic + struct.pack(f"{mark}I2Q", self.version, *counts)
        for key, type, value in self.values:
            head += struct.pack(f"{mark}Q", len(key)) + key + _typed(mark, type, value)
        body = b""
        for row in self.tensors:
            place = len(body) if row.offset is None else row.offset
            n_dims = len(row.ne) if row.n_dims is None else row.n_dims
            head += struct.pack(f"{mark}Q", len(row.name)) + row.name + struct.pack(f"{mark}I", n_dims)
            head += struct.pack(f"{mark}{len(row.ne)}QIQ", *row.ne, row.type, place)
            blocks = swapped(row.data, row.kind) if order == "big" and row.kind else row.data
            body += blocks + bytes(-len(blocks) % self.alignment)
        return head + bytes(-len(head) % self.alignment) + body


def _typed(mark: str, type: str, value: Any) -> bytes:
    """A value behind its type, which is `u32`, `text`, `[u32]`, `[text]`, or a number to be wrong."""
    if type == "text":
        return struct.pack(f"{mark}IQ", STRING, len(value)) + bytes(value)
    if type.startswith("["):
        inner = type[1:-1]
        number = STRING if inner == "text" else NUMBERS[inner][0]
        head = struct.pack(f"{mark}IIQ", ARRAY, number, len(value))
        if inner == "text":
            return head + b"".join(struct.pack(f"{mark}Q", len(text)) + text for text in value)
        return head + struct.pack(f"{mark}{len(value)}{NUMBERS[inner][1]}", *value)
    if type in NUMBERS:
        number, code = NUMBERS[type]
        return struct.pack(f"{mark}I{code}", number, value)
    return struct.pack(f"{mark}I", int(type)) + bytes(value)


DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, CONTEXT = 64, 96, 2, 4, 2, 40, 128


def llama(matrices: str = "Q4_1", embedding: str = "Q8_0", shared: bool = True) -> GgufFile:
    """A model of a few kilobytes with a byte-level vocabulary."""
    file = GgufFile()
    for key, type, value in (
        ("general.architecture", "text", b"llama"),
        ("general.name", "text", "Ein Modéll".encode()),
        ("llama.block_count", "u32", LAYERS),
        ("llama.context_length", "u32", CONTEXT),
        ("llama.embedding_length", "u32", DIM),
        ("llama.feed_forward_length", "u32", HIDDEN),
        ("llama.attention.head_count", "u32", HEADS),
        ("llama.attention.head_count_kv", "u32", KV_HEADS),
        ("llama.rope.freq_base", "f32", 100000.0),
        ("llama.attention.layer_norm_rms_epsilon", "f32", 1e-6),
        ("llama.vocab_size", "u32", VOCAB),
        ("llama.rope.dimension_count", "u32", DIM // HEADS),
        ("tokenizer.ggml.model", "text", b"gpt2"),
        ("tokenizer.ggml.pre", "text", b"smollm"),
        ("tokenizer.ggml.tokens", "[text]", [b"<|im_end|>", *(b"t%d" % n for n in range(1, VOCAB))]),
        ("tokenizer.ggml.token_type", "[i32]", [3] + [1] * (VOCAB - 1)),
        ("tokenizer.ggml.bos_token_id", "u32", 5),
        ("tokenizer.ggml.eos_token_id", "u32", 2),
        ("tokenizer.chat_template", "text", b"<|im_start|>{{ role }}"),
        ("test.eight", "u64", 1 << 40),
        ("test.half", "i16", -2),
        ("test.doubles", "[f64]", [1.5, -2.5]),
        ("test.shorts", "[u16]", [1, 2, 3]),
        ("test.flags", "[bool]", [True, False]),
        ("test.bytes", "[u8]", [1, 2, 3]),
    ):
        file.set(key, type, value)
    kv = DIM // HEADS * KV_HEADS
    file.add("token_embd.weight", embedding, (DIM, VOCAB))
    for layer in range(LAYERS):
        shapes = {
            **{"attn_q": (DIM, DIM), "attn_k": (DIM, kv), "attn_v": (DIM, kv), "attn_output": (DIM, DIM)},
            **{"ffn_gate": (DIM, HIDDEN), "ffn_down": (HIDDEN, DIM), "ffn_up": (DIM, HIDDEN)},
        }
        file.add(f"blk.{layer}.attn_norm.weight", "F32", (DIM,))
        for name, ne in shapes.items():
            file.add(f"blk.{layer}.{name}.weight", matrices, ne)
        file.add(f"blk.{layer}.ffn_norm.weight", "F32", (DIM,))
    file.add("output_norm.weight", "F32", (DIM,))
    if not shared:
        file.add("output.weight", embedding, (DIM, VOCAB))
    return file
