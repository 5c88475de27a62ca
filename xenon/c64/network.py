"""What Llama2.c64 computes: the forward pass in its arithmetic and its order, for several positions at once.

Source: ytmytm/llama2.c64, `nnet64.c`. The shapes are llama2.c's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loader import Model
from xenon.c64.oscar64 import (
    Bits,
    add,
    bits_of,
    cosine,
    divide,
    exp,
    greater,
    multiply,
    negative,
    sine,
    square_root,
    subtract,
)

_EPSILON = 0.00001
_PART = 1 << 19  # products that are made at a time
Exp = type(exp)


def sums(products: Bits) -> Bits:
    """The sums over the last axis, one after the other from 0."""
    total = np.zeros(products.shape[:-1], np.int64)
    for index in range(products.shape[-1]):
        total = add(total, products[..., index])
    return total


def matmul(weights: Bits, x: Bits) -> Bits:
    """(positions, rows) of (rows, columns) and (positions, columns)."""
    step = max(1, _PART // weights.size)
    parts = [sums(multiply(weights, x[start : start + step, None, :])) for start in range(0, len(x), step)]
    return np.concatenate(parts)


def rmsnorm(x: Bits, weight: Bits) -> Bits:
    """Each row of x by its root mean square, and by the weights."""
    mean = divide(sums(multiply(x, x)), bits_of(float(x.shape[-1])))
    scale = divide(bits_of(1.0), square_root(add(mean, bits_of(_EPSILON))))
    return multiply(multiply(weight, scale[:, None]), x)


def swiglu(x: Bits, y: Bits) -> Bits:
    """x * sigmoid(x) * y."""
    one = bits_of(1.0)
    gate = divide(one, add(one, exp(negative(x))))
    return multiply(multiply(x, gate), y)


class Network:
    """A model whose keys and values are kept as in the RAM expansion: (layers, positions, kv_dim)."""

    def __init__(self, model: Model) -> None:
        """Reads all weights. Raises LoaderError."""
        self.config = config = model.config
        self._weights = {
            tensor.name: model.array(tensor.name).astype("<f4").view(np.uint32).astype(np.int64)
            for tensor in model.tensors
            if tensor.is_weight
        }
        shape = (config.n_layers, config.seq_len, config.kv_dim)
        self.keys, self.values = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.q = np.zeros(config.dim, np.int64)
        """Of the last layer at the last position."""
        self.wrapped: list[int] = []
        """Positions at which an exponential wrapped around."""
        self.position = 0

    def forward(self, tokens: Sequence[int]) -> Bits:
        """Logits (tokens, vocab_size) of the next positions."""
        config, weights, start = self.config, self._weights, self.position
        end = start + len(tokens)
        x = weights["token_embedding_table"][list(tokens)]
        positions = np.arange(start, end)
        for layer in range(config.n_layers):
            normed = rmsnorm(x, weights["rms_att_weight"][layer])
            q, key, value = (matmul(weights[name][layer], normed) for name in ("wq", "wk", "wv"))
            q = self._turned(q, positions)
            self.keys[layer, start:end] = self._turned(key, positions)
            self.values[layer, start:end] = value
            heads = self._attention(layer, q, positions)
            x = add(x, matmul(weights["wo"][layer], heads))
            normed = rmsnorm(x, weights["rms_ffn_weight"][layer])
            hidden = swiglu(matmul(weights["w1"][layer], normed), matmul(weights["w3"][layer], normed))
            x = add(x, matmul(weights["w2"][layer], hidden))
            self.q = q[-1]
        self.position = end
        return matmul(weights["token_embedding_table"], rmsnorm(x, weights["rms_final_weight"]))

    def _turned(self, vectors: Bits, positions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Bits:
        """RoPE: each pair of a head by an angle that is a tenth of the one before."""
        angle = bits_of(positions.astype(np.float32))
        angles = [angle]
        for _ in range(self.config.half_head - 1):
            angles.append(divide(angles[-1], bits_of(10.0)))
        turn = np.tile(np.stack(angles, axis=1), vectors.shape[1] // self.config.head_size)
        cos, sin = cosine(turn), sine(turn)
        left, right = vectors[:, 0::2], vectors[:, 1::2]
        made = np.empty_like(vectors)
        made[:, 0::2] = subtract(multiply(left, cos), multiply(right, sin))
        made[:, 1::2] = add(multiply(left, sin), multiply(right, cos))
        return made

    def _attention(self, layer: int, q: Bits, positions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Bits:
        """(positions, dim): each head's weighted sum of values."""
        config, count = self.config, int(positions[-1]) + 1
        shape = (count, config.n_kv_heads, config.head_size)
        groups = config.n_heads // config.n_kv_heads
        keys, values = (
            np.repeat(cache[layer, :count].reshape(shape), groups, axis=1).transpose(1, 0, 2)
            for cache in (self.keys, self.values)
        )
        heads = q.reshape(len(q), config.n_heads, 1, config.head_size)
        scores = divide(sums(multiply(heads, keys)), square_root(bits_of(float(config.head_size))))
        seen = np.arange(count) <= positions[:, None, None]  # (positions, 1, count)
        weights = self._softmax(scores, seen, positions)
        out = np.zeros((len(q), config.n_heads, config.head_size), np.int64)
        for t in range(count):
            added = add(out, multiply(weights[:, :, t, None], values[:, t]))
            out = np.where(seen[:, :, t, None], added, out)
        return out.reshape(len(q), config.dim)

    def _softmax(
        self,
        scores: Bits,
        seen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
        positions: np.ndarray[tuple[int], np.dtype[np.int64]],
    ) -> Bits:
        largest = scores[..., 0]
        for t in range(1, scores.shape[-1]):
            larger = greater(scores[..., t], largest) & seen[..., t]
            largest = np.where(larger, scores[..., t], largest)
        made = exp(np.where(seen, subtract(scores, largest[..., None]), 0))
        wrapped = (made >> 31 != 0) & seen
        self.wrapped += sorted(set(positions[wrapped.any(axis=(1, 2))].tolist()) - set(self.wrapped))
        total = np.zeros(scores.shape[:-1], np.int64)
        for t in range(scores.shape[-1]):
            total = np.where(seen[..., t], add(total, made[..., t]), total)
        return divide(made, total[..., None])


def likeliest(logits: Bits) -> list[int]:
    """The first of the largest logits of each row."""
    from xenon.c64.oscar64 import floats_of

    return [int(token) for token in floats_of(logits).argmax(axis=-1)]
