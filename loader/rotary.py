"""The two orders of the rows of Q and K: RoPE turns pairs (2i, 2i + 1) in llama2.c and GGUF, and halves
(i, i + head_size / 2) in Hugging Face's files.

Source: llama.cpp `convert_hf_to_gguf.py` (`permute`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def pairs_of_halves(rows: Array, n_heads: int) -> Array:
    """Rows of halves in the order of pairs; `rows` is (n_heads * head_size, anything)."""
    return rows.reshape(n_heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def halves_of_pairs(rows: Array, n_heads: int) -> Array:
    """Rows of pairs in the order of halves: undoes `pairs_of_halves`."""
    return rows.reshape(n_heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
