"""A program for XeLL, built from C."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
from xell_files import Stick, as_elf32, write_stick


class Build(Protocol):
    def __call__(self, source: str, how: str, *options: str) -> Path: ...


LOW = "-Wl,--image-base=0x10000"


@pytest.fixture(scope="session")
def elf64(build: Build) -> Path:
    """tests/xenon/programs/xell.c as a linker writes it."""
    return build("xell", "freestanding", LOW)


@pytest.fixture(scope="session")
def elf32(elf64: Path) -> bytes:
    """The same in the container that XeLL takes."""
    return as_elf32(elf64.read_bytes())


@pytest.fixture
def stick(tmp_path: Path, elf32: bytes) -> Stick:
    """stick(task): a folder whose program does the task."""

    def make(task: str, initrd: bytes | None = None) -> Path:
        return write_stick(tmp_path, elf32, task, initrd)

    return make
