"""Facts about the guest that a host needs: the record of a run's figures, and the hot functions."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

FIGURES_DESCRIPTOR = 3  # the descriptor that xenon's sessions and benchmarks name with `-r`
_RECORD = struct.Struct(">4sIQQQ")  # src/figures.h
_MAGIC, _VERSION = b"l2cf", 1

# The functions that a story executes most, in that order; the last ones matter at its start and its end.
HOT_FUNCTIONS = (
    *("rows_vmx", "rows_scalar", "expf", "attend_scalar", "softmax_scalar", "swiglu_scalar"),
    *("rmsnorm_scalar", "rope_scalar", "add_scalar", "memset", "rmsnorm", "rope", "swiglu", "add"),
    *("memcpy", "attend_heads", "parallel_for", "matmul", "forward", "multiply", "cache_row", "store_row"),
    *("share_attention", "embed", "copy_row", "forward_cpu", "rope_turn_to", "sine_series"),
    *("cosine_series", "sine", "reduce", "cosf", "sinf", "run_part", "run_task", "argmax_scalar"),
    *("sample_topp", "sampler_sample"),
    *("by_probability", "stable_sort", "merge", "by_bytes", "compare", "read_pieces", "tokenizer_encode"),
    *(
        "look_up_pair",
        "look_up",
        "memmove",
        "transformer_start",
        "powf",
        "tokenizer_decode",
        "strlen",
        "main",
    ),
)
BYTE_PAIR_FUNCTIONS = (
    *("tokenizer_load", "byte_pairs_read", "check_texts", "check_pairs", "is_sum", "check_lists"),
    *("byte_pairs_encode", "next_special", "special_at", "compare_byte", "encode_piece", "whole_piece"),
    *("merge_tokens", "weigh", "merge_at", "push", "pop", "merge_of", "split_next", "gpt2", "smollm"),
    *("llama3", "run_of", "matched", "character", "utf8_character", "char_class", "in_table"),
    *("white_space", "contraction", "printer_print"),
)
"""Beside HOT_FUNCTIONS, those of a run with a tokenizer of byte-level BPE."""
_ROWS = {"vmx": "rows_vmx", "scalar": "rows_scalar"}


def hot_functions(matmul: str, byte_pairs: bool = False) -> tuple[str, ...]:
    """The hot functions of a run with `-k matmul`, "vmx" or "scalar". Raises KeyError for another name.

    `byte_pairs` says that the tokenizer is one of byte-level BPE.
    """
    unused = set(_ROWS.values()) - {_ROWS[matmul]}
    names = (*HOT_FUNCTIONS, *BYTE_PAIR_FUNCTIONS) if byte_pairs else HOT_FUNCTIONS
    return tuple(name for name in names if name not in unused)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run of the guest measured: the record that `-r DESCRIPTOR` writes when the story is told.

    `tokens` are the steps after the first, `nanoseconds` their time; `prompt_tokens` includes BOS.
    """

    tokens: int
    prompt_tokens: int
    nanoseconds: int

    @classmethod
    def parse(cls, record: bytes) -> Self:
        """Read a whole record. Raises ValueError for anything else."""
        if len(record) != _RECORD.size:
            raise ValueError(f"figures: {len(record)} bytes, expected {_RECORD.size}")
        magic, version, tokens, prompt_tokens, nanoseconds = _RECORD.unpack(record)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError(f"figures: {magic!r} version {version}, expected {_MAGIC!r} version {_VERSION}")
        return cls(tokens, prompt_tokens, nanoseconds)

    @property
    def seconds(self) -> float:
        return self.nanoseconds / 1e9

    @property
    def tokens_per_second(self) -> float:
        """0 for a run of a single step, which is not timed."""
        return self.tokens / self.seconds if self.nanoseconds else 0.0
