"""Whether the dimensions of a model can be, with an error that calls each as its file does."""

from __future__ import annotations

from pathlib import Path

from loader.errors import LoaderError
from loader.header import LIMITS, SMALLEST_VOCABULARY
from loader.layout import Config


def check_config(path: Path, config: Config, names: dict[str, str]) -> None:
    """Raises LoaderError for the first dimension that cannot be; `names` are the file's for the fields."""
    for field, limit in LIMITS.items():
        value = getattr(config, field)
        least = SMALLEST_VOCABULARY if field == "vocab_size" else 1
        if not least <= value <= limit:
            raise LoaderError(f"{path}: {names[field]} {value}, expected {least} to {limit}")
    if config.dim % config.n_heads or config.head_size % 2:
        raise LoaderError(
            f"{path}: {names['n_heads']} {config.n_heads}, expected a divisor of {names['dim']} {config.dim}"
            " into heads of even size"
        )
    if config.n_heads % config.n_kv_heads:
        raise LoaderError(
            f"{path}: {names['n_kv_heads']} {config.n_kv_heads},"
            f" expected a divisor of {names['n_heads']} {config.n_heads}"
        )
