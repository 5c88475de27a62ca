"""Which context of a model fits in the console, before there is a file to predict a run of."""

from __future__ import annotations

from loader import Config
from xenon.hardware.memory_map import RAM_BYTES, SYSTEM

OTHER_BYTES = 8 << 20
"""For the program, its stack, the tokenizer and the activations."""


def context_that_fits(config: Config, file_bytes: int) -> int:
    """The most positions whose keys and values, in fp32, fit beside a file of that size; 0 if none does."""
    left = RAM_BYTES - SYSTEM.size - OTHER_BYTES - file_bytes
    position = 2 * config.n_layers * config.kv_dim * 4
    return min(max(left, 0) // position, config.seq_len)
