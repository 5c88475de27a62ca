"""The bundled model in torch: Llama 2 as in llama2.c, shaped like stories260K; and a sampler."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of the model, in the order of the v0 header."""

    dim: int = 64
    hidden_dim: int = 172
    n_layers: int = 5
    n_heads: int = 8
    n_kv_heads: int = 4
    vocab_size: int = 512
    seq_len: int = 512

    @property
    def head_size(self) -> int:
        """Numbers per head."""
        return self.dim // self.n_heads


class RMSNorm(nn.Module):
    """x / rms(x) * weight, eps 1e-5."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def rope_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """cos and sin, each (seq_len, head_size / 2), theta 10000."""
    pairs = torch.arange(0, shape.head_size, 2).float() / shape.head_size
    angles = torch.outer(torch.arange(shape.seq_len).float(), 1.0 / 10000.0**pairs)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the interleaved pairs of x (batch, time, heads, head_size)."""
    real, imag = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    return torch.stack((real * cos - imag * sin, real * sin + imag * cos), -1).flatten(-2)


def attention(q: Tensor, k: Tensor, v: Tensor, block: int = 64) -> Tensor:
    """Causal attention, by blocks of queries: quick with small heads. Queries that share a key go together.

    q (batch, heads, time, head_size); k, v (batch, kv_heads, time, head_size); the result is like q.
    """
    batch, kv_heads, time, size = k.shape
    q = (q * size**-0.5).unflatten(1, (kv_heads, -1)).flatten(0, 1)  # (batch * kv_heads, group, time, size)
    k, v = k.transpose(-1, -2).flatten(0, 1).contiguous(), v.flatten(0, 1).contiguous()
    group, outputs = q.shape[1], []
    for begin in range(0, time, block):
        end = min(time, begin + block)
        future = torch.full((end - begin, end), float("-inf")).triu(1 + begin).repeat(group, 1)
        some = q[:, :, begin:end].flatten(1, 2)
        scores = torch.baddbmm(future.expand(batch * kv_heads, -1, -1), some, k[:, :, :end])
        outputs.append((scores.softmax(-1) @ v[:, :end]).unflatten(1, (group, -1)))
    return torch.cat(outputs, 2).view(batch, kv_heads * group, time, size)


class Layer(nn.Module):
    """Grouped-query attention and SwiGLU, each after an RMSNorm and with a residual connection."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_dim = shape.n_kv_heads * shape.head_size
        self.rms_att, self.rms_ffn = RMSNorm(shape.dim), RMSNorm(shape.dim)
        self.wq = nn.Linear(shape.dim, shape.dim, bias=False)
        self.wk = nn.Linear(shape.dim, kv_dim, bias=False)
        self.wv = nn.Linear(shape.dim, kv_dim, bias=False)
        self.wo = nn.Linear(shape.dim, shape.dim, bias=False)
        self.w1 = nn.Linear(shape.dim, shape.hidden_dim, bias=False)
        self.w2 = nn.Linear(shape.hidden_dim, shape.dim, bias=False)
        self.w3 = nn.Linear(shape.dim, shape.hidden_dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        h = self.rms_att(x)
        q, k, v = (w(h).unflatten(-1, (-1, self.shape.head_size)) for w in (self.wq, self.wk, self.wv))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        att = attention(*(t.transpose(1, 2) for t in (q, k, v)))
        x = x + self.wo(att.transpose(1, 2).flatten(-2))
        h = self.rms_ffn(x)
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))


class StoryModel(nn.Module):
    """Tokens (batch, time) in, logits (batch, time, vocab_size) out; the classifier is the embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tok_embeddings = nn.Embedding(shape.vocab_size, shape.dim)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.n_layers))
        self.rms_final = RMSNorm(shape.dim)
        cos, sin = rope_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("wo.weight", "w2.weight"))  # these add to the residual stream
                nn.init.normal_(parameter, std=0.02 if name.startswith("tok") else (0.05 if deep else 0.12))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tok_embeddings(tokens)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.linear(self.rms_final(x), self.tok_embeddings.weight)

    def loss(self, rows: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean cross entropy, in nats a token, of rows (batch, time + 1), weighted by `weights`."""
        logits = self(rows[:, :-1]).flatten(0, 1)
        if weights is None:
            return F.cross_entropy(logits, rows[:, 1:].flatten())
        losses = F.cross_entropy(logits, rows[:, 1:].flatten(), reduction="none")
        return (losses * weights.flatten()).sum() / weights.sum()


@torch.no_grad()
def sample(
    model: StoryModel, prompt: list[int], seed: int, temperature: float, top_p: float, steps: int = 256
) -> list[int]:
    """The tokens after `prompt` (which starts with BOS), until BOS (1) comes or `steps` are done."""
    generator = torch.Generator().manual_seed(seed)
    tokens = list(prompt)
    while len(tokens) < min(steps, model.shape.seq_len):
        logits = model(torch.tensor([tokens]))[0, -1]
        if temperature == 0:
            choice = int(logits.argmax())
        else:
            probabilities, order = (logits / temperature).softmax(-1).sort(descending=True)
            keep = probabilities.cumsum(-1) - probabilities < top_p
            choice = int(order[torch.multinomial(probabilities * keep, 1, generator=generator)])
        if choice == 1:
            break
        tokens.append(choice)
    return tokens[len(prompt) :]
