"""What the guest allocates for the GPU besides the model: follows llama2c/src/forward_gpu.c and gpu.c."""

from __future__ import annotations

from collections.abc import Iterator

from loader import Config
from xenon.hardware.gpu.operands import MOST_FETCH_WORDS
from xenon.hardware.gpu.programs import HEADER_WORDS, PROGRAMS
from xenon.hardware.memory_map import CACHE_LINE_BYTES, align_up

_WORD = 4
_RING_BYTES = 2048


def gpu_requests(config: Config) -> Iterator[tuple[str, int]]:
    """(name as the guest gives it, bytes) in the order in which memory is asked for."""
    yield "gpu ring buffer", _RING_BYTES + CACHE_LINE_BYTES
    yield "gpu vectors", 2 * _lines(config.kv_dim) + _lines(config.vocab_size) + CACHE_LINE_BYTES
    pick = _lines(_draw(2, 1))
    yield "gpu command buffers", _lines(_forward(config)) + 2 * pick + _lines(len(PROGRAMS) * HEADER_WORDS)


def _lines(words: int) -> int:
    return align_up(words * _WORD, CACHE_LINE_BYTES)


def _draw(arrays: int, shapes: int) -> int:
    """Dwords that gpu_draw records: fetch constants, loop constants, the program, the draw."""
    return (2 + 2 * arrays) + (2 + shapes) + 3 + 2


def _matmul(n: int, d: int) -> int:
    """In as many draws as fetch constants need to describe the matrix."""
    return -(-d // (MOST_FETCH_WORDS // n)) * _draw(3, 2)


def _forward(config: Config) -> int:
    """Dwords of the command buffer for a token."""
    dim, hidden, kv_dim = config.dim, config.hidden_dim, config.kv_dim
    vectors = _draw(3, 1)
    layer = 2 * vectors + 2 * _matmul(dim, dim) + 2 * _matmul(dim, kv_dim)  # norms, wq and wo, wk and wv
    layer += 2 * _draw(2, 2) + 2 * _draw(2, 2) + _draw(4, 4)  # rope, into the caches, attention
    layer += 2 * _matmul(dim, hidden) + _matmul(hidden, dim) + 3 * vectors  # w1, w3, w2; swiglu and two sums
    pieces = -(-config.vocab_size // (MOST_FETCH_WORDS // dim))
    return 3 + _draw(1 + pieces, 3) + config.n_layers * layer + vectors + _matmul(dim, config.vocab_size)
