"""What all tests share: the real models where they are, the guest, its host reference, and made-up models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Made, shared_file, write_model

import llama2c
import loader
from llama2c.reference import Reference


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
