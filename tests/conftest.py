"""What all tests share: the real models where they are, the guest, its host reference, and made-up models."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Made, shared_file, write_model

import llama2c
import loader
from llama2c.reference import Reference


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled code of the tests goes to a folder that goes away, not into the user's; zig's C libraries,
    which take it a minute to build, stay where they are."""
    with pytest.MonkeyPatch.context() as patch:
        if "ZIG_GLOBAL_CACHE_DIR" not in os.environ:
            caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            patch.setenv("ZIG_GLOBAL_CACHE_DIR", str(caches / "zig"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def stories260K() -> loader.Model:
    return loader.open(shared_file("models/stories260K.bin"))


@pytest.fixture(scope="session")
def tok512() -> loader.Tokenizer:
    return loader.open_tokenizer(shared_file("models/tok512.bin"))


@pytest.fixture(scope="session")
def tokenizer32000() -> loader.Tokenizer:
    return loader.open_tokenizer(shared_file("models/tokenizer32000.bin"))


@pytest.fixture(scope="session")
def golden() -> list[dict[str, Any]]:
    """Twelve stories that llama2.c tells: prompt, temperature, topp, seed, steps and text."""
    cases: list[dict[str, Any]] = json.loads(shared_file("golden/stories260K.json").read_text())["cases"]
    return cases


@pytest.fixture(scope="session")
def guest() -> Path:
    return llama2c.guest_program()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference.build(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """Calls support.write_model in a folder of its own."""
    return lambda **shape: write_model(tmp_path_factory.mktemp("made"), **shape)
