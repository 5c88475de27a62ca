"""What Xenos and its programs take at most, for whoever decides what computes a model."""

from __future__ import annotations

MOST_FETCH_WORDS = (1 << 24) - 1
"""Of an array: what a fetch constant can say."""
MOST_TABLE_PIECES = 8
"""Fetch constants of an embedding table."""
MOST_SCORES = 1 << 24
"""Attention scores of one position, heads times positions: what bounds its work and memory on the host."""
