"""The forward pass of Llama 2 in numpy and double precision, every tensor under its name in a dump.

Written from the paper's formulas, not from the port: whatever the two have in common is right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import loader

Doubles = NDArray[np.float64]


def forward(model: loader.Model, tokens: Sequence[int]) -> dict[str, Doubles]:
    """Every tensor (positions, items) of a model in fp32; `att` (positions, n_heads, positions)."""
    weights = {tensor.name: model.array(tensor.name).astype(np.float64) for tensor in model.tensors}
    config, positions = model.config, len(tokens)
    n_heads, size = config.n_heads, config.head_size
    out: dict[str, Doubles] = {}
    x = weights["token_embedding_table"][list(tokens)]
    out["embedding"] = x
    for layer in range(config.n_layers):

        def keep(name: str, value: Doubles, layer: int = layer) -> Doubles:
            out[f"l{layer:02}.{name}"] = value.reshape(positions, -1) if value.ndim < 3 else value
            return value

        def matrix(name: str, layer: int = layer) -> Doubles:
            return np.asarray(weights[name][layer].T)

        normed = keep("att_norm", norm(x, weights["rms_att_weight"][layer]))
        q = keep("q", normed @ matrix("wq")).reshape(positions, n_heads, size)
        k = keep("k", normed @ matrix("wk")).reshape(positions, config.n_kv_heads, size)
        v = keep("v", normed @ matrix("wv")).reshape(positions, config.n_kv_heads, size)
        q, k = rotated(q), rotated(k)
        out[f"l{layer:02}.q_rope"] = q.reshape(positions, -1)
        out[f"l{layer:02}.k_rope"] = k.reshape(positions, -1)
        repeats = n_heads // config.n_kv_heads
        k, v = np.repeat(k, repeats, axis=1), np.repeat(v, repeats, axis=1)
        scores = np.einsum("phs,ths->pht", q, k) / np.sqrt(size)
        later = np.triu(np.ones((positions, positions), bool), 1)
        att = keep("att", softmax(np.where(later[:, None], -np.inf, scores)))
        heads = np.einsum("pht,ths->phs", att, v).reshape(positions, -1)
        x = keep("x_att", x + keep("xb2", keep("xb", heads) @ matrix("wo")))
        normed = keep("ffn_norm", norm(x, weights["rms_ffn_weight"][layer]))
        hb, hb2 = keep("hb", normed @ matrix("w1")), keep("hb2", normed @ matrix("w3"))
        gated = keep("swiglu", hb / (1 + np.exp(-hb)) * hb2)
        x = keep("x", x + keep("ffn", gated @ matrix("w2")))
    out["final_norm"] = norm(x, weights["rms_final_weight"])
    classifier = weights["token_embedding_table" if config.shared_classifier else "wcls"]
    out["logits"] = out["final_norm"] @ classifier.T
    return out


def log_likelihoods(logits: Doubles, tokens: Sequence[int]) -> Doubles:
    """ln p of each token after the first, by the logits before it."""
    return np.log(softmax(logits[:-1]))[np.arange(len(tokens) - 1), list(tokens[1:])]


def norm(x: Doubles, weight: Doubles) -> Doubles:
    return np.asarray(x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5) * weight)


def softmax(x: Doubles) -> Doubles:
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))


def rotated(x: Doubles) -> Doubles:
    """Each neighbouring pair of x (positions, heads, size) as a complex number, turned by its angle."""
    positions, _, size = x.shape
    frequencies = 10000.0 ** (-np.arange(0, size, 2) / size)
    turns = np.exp(1j * np.arange(positions)[:, None] * frequencies)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turns[:, None]
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)
