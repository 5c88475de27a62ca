"""Facts about the guest that a host needs: the record of a run's figures, and the hot functions."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import NamedTuple, Self

FIGURES_DESCRIPTOR = 3  # the descriptor that xenon's sessions and benchmarks name with `-r`
_RECORD = struct.Struct(">4sI6Q")  # src/figures.h
_MAGIC, _VERSION = b"l2cf", 2

# The functions that a story executes most, in that order; the last ones matter at its start and its end.
HOT_FUNCTIONS = (
    *("rows_vmx", "batch_vmx", "attend_vmx", "scores_8", "values_8", "scores_48", "values_48"),
    *("scores_64", "values_64", "scores_32", "values_32", "scores_16", "values_16", "scores_4", "values_4"),
    *("swiglu_vmx", "rmsnorm_vmx", "rope_vmx", "add_vmx", "softmax_vmx", "argmax_vmx"),
    *("divide_vmx", "rows_scalar", "batch_scalar", "expf", "attend_scalar", "softmax_scalar"),
    *("swiglu_scalar", "rmsnorm_scalar", "rope_scalar", "add_scalar", "argmax_scalar", "divide_scalar"),
    *("memset", "rmsnorm", "rope", "swiglu", "add", "memcpy", "attend_heads", "parallel_for"),
    *("share_products", "matmul", "forward", "multiply", "store_rows", "share_attention"),
    *("take_row", "classify", "embed"),
    *("copy_row", "forward_cpu", "rope_turn_to", "sine_series", "cosine_series", "sine", "reduce", "cosf"),
    *("sinf", "take_chunks", "help", "dismiss", "await_job", "run_worker", "start_workers", "wake_worker"),
    *(
        "platform_threads_at_once",
        "platform_run_thread_task",
        "platform_wait",
        "platform_wake",
    ),
    *("generate", "inference_pass", "inference_logits", "logits_of", "classify_cpu", "inference_pick"),
    *("sample_topp", "sampler_sample", "sampler_pick", "random_float", "sampler_accept", "print_token"),
    *("printer_print", "llama2c_prints", "pieces_decode", "put_text", "put_out", "tokenizer_ends", "ends"),
    *("platform_write", "platform_nanoseconds", "system_call"),
    *("by_probability", "stable_sort", "merge", "by_bytes", "compare", "read_pieces", "read_int"),
    *("pieces_longest", "pieces_sort", "tokenizer_encode", "bytes_of", "platform_read"),
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
    *("white_space", "contraction", "print_whole_characters", "utf8_unfinished", "byte_pairs_is_control"),
    *("byte_pairs_ends", "put_held"),
)
"""Beside HOT_FUNCTIONS, those of a run with a tokenizer of byte-level BPE."""
XELL_FUNCTIONS = (
    *(name for name in HOT_FUNCTIONS if name != "system_call"),
    *(
        "screen_write",
        "put_character",
        "put_glyph",
        "draw_glyph",
        "glyph_of",
        "pixel_index",
        "next_line",
        "scroll",
    ),
    *("move_word", "fill", "write_back", "utf8_unfinished", "utf8_character"),
)
"""The hot functions of the guest on bare metal, which writes on the screen by itself."""
XELL_DEVICE_FUNCTIONS = ("show", "uart_write", "send_byte", "send", "receive", "await_status")
"""Functions of the guest on bare metal that do little else than use devices."""
C64_FUNCTIONS = (
    *("processor_run", "bus_write_slow", "bus_read_slow", "bus_rom_visible", "bus_map", "reu_write"),
    *("reu_transfer", "memcpy", "machine_run", "show", "run"),
)
"""The hot functions of the Commodore 64 (llama2c/c64)."""
_KERNEL_NAMES = ("rows_vmx", "batch_vmx", "rows_scalar", "batch_scalar", "row")
TYPE_FUNCTIONS = {
    label: tuple(f"{label}_{name}" for name in _KERNEL_NAMES)
    for label in ("f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "int8")
}
"""Beside HOT_FUNCTIONS, those of a run with matrices of a tensor type other than fp32, by its name."""
_MADE_READY = {
    **dict.fromkeys(("q4_1", "q5_0", "q8_0"), ("rows_vmx", "batch_vmx", "row")),
    **dict.fromkeys(("f16", "int8"), ("rows_vmx", "row")),
}
HALF_CACHE_FUNCTIONS = ("halves_widen", "halves_narrow", "widen_rows")
"""Beside HOT_FUNCTIONS, those of a run that keeps keys and values in half precision."""
INT8_PRODUCT_FUNCTIONS = ("int8_products_vmx", "int8_products_scalar", "quantise_groups", "matmul_int8")
"""Beside HOT_FUNCTIONS, those of a run whose activations are int8."""
_PARTS_OF_HEADS = ("scores_", "values_")  # of attend_vmx
# Functions that a run with the other kernels has no use for, unless vectors do not fit its shapes.
_UNUSED = {
    "vmx": {"expf"} | {name for name in HOT_FUNCTIONS if name.endswith("_scalar")},
    "scalar": {name for name in HOT_FUNCTIONS if name.endswith("_vmx") or name.startswith(_PARTS_OF_HEADS)},
}


def hot_functions(
    kernel: str,
    byte_pairs: bool = False,
    types: Collection[str] = (),
    half_cache: bool = False,
    int8_activations: bool = False,
) -> tuple[str, ...]:
    """The hot functions of a run with `-k kernel`, "vmx" or "scalar". Raises KeyError for another name.

    `byte_pairs` says that the tokenizer is one of byte-level BPE. `types` are the names of the matrices'
    tensor types, fp32's may be missing; `half_cache` says that keys and values are halves,
    `int8_activations` that matrices are multiplied by int8.
    """
    own = [name for label, functions in TYPE_FUNCTIONS.items() if label in types for name in functions]
    if half_cache:
        own += HALF_CACHE_FUNCTIONS
    if int8_activations:
        own += INT8_PRODUCT_FUNCTIONS
    names = (*own, *HOT_FUNCTIONS, *(BYTE_PAIR_FUNCTIONS if byte_pairs else ()))
    unused = _UNUSED[kernel]
    other = "_scalar" if kernel == "vmx" else "_vmx"
    return tuple(name for name in names if name not in unused and not name.endswith(other))


def functions_to_prepare() -> tuple[str, ...]:
    """The hot functions that are compiled when the package is built: those of runs with any tokenizer, and
    the vector kernels of the tensor types that people's models have. The other kernels take LLVM minutes."""
    of_types = (f"{label}_{name}" for label, names in _MADE_READY.items() for name in names)
    return (*HOT_FUNCTIONS, *BYTE_PAIR_FUNCTIONS, *HALF_CACHE_FUNCTIONS, *of_types)


class Figures(NamedTuple):
    """What a run of the guest measured: the record that `-r DESCRIPTOR` writes when the story is told.

    `prompt_tokens`, BOS among them, are those that were read, in passes of several; `first_tokens` are those
    of the first pass, whose time pays for what is touched for the first time. `tokens` are the steps after
    the prompt. Without a prompt they are llama2.c's, and so is their time.
    """

    prompt_tokens: int
    prompt_nanoseconds: int
    first_tokens: int
    first_nanoseconds: int
    tokens: int
    nanoseconds: int

    @classmethod
    def parse(cls, record: bytes) -> Self:
        """Read a whole record. Raises ValueError for anything else."""
        if len(record) != _RECORD.size:
            raise ValueError(f"figures: {len(record)} bytes, expected {_RECORD.size}")
        magic, version, *figures = _RECORD.unpack(record)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError(f"figures: {magic!r} version {version}, expected {_MAGIC!r} version {_VERSION}")
        return cls(*figures)

    @property
    def seconds(self) -> float:
        return self.nanoseconds / 1e9

    @property
    def prompt_seconds(self) -> float:
        return self.prompt_nanoseconds / 1e9

    @property
    def tokens_per_second(self) -> float:
        """Of the steps after the prompt; 0 for a run without any."""
        return self.tokens / self.seconds if self.nanoseconds else 0.0

    @property
    def warm_tokens_per_second(self) -> float:
        """Of the prompt and the steps after it, without the first pass unless there is no other."""
        tokens = self.prompt_tokens + self.tokens - self.first_tokens
        nanoseconds = self.prompt_nanoseconds + self.nanoseconds - self.first_nanoseconds
        if not tokens:
            tokens, nanoseconds = self.prompt_tokens, self.prompt_nanoseconds
        return tokens * 1e9 / nanoseconds if nanoseconds else 0.0
