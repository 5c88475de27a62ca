"""What the workers of one test run share: a folder, and files in it that only one of them builds."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llama2c.reference import MEMORY_BYTES, Reference


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run see and that goes away as pytest's temporary folders do."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def build_once(path: Path, build: Callable[[Path], object]) -> Path:
    """The file `path`, by `build(unfinished)` unless it exists; other processes wait for the one that builds.

    An exception of `build` leaves no file, so that the next process tries again.
    """
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the process ends, however it ends
        if not path.exists():
            unfinished = path.with_name(f"{path.name}.unfinished")
            build(unfinished)
            unfinished.replace(path)
    return path


def built_reference(
    factory: pytest.TempPathFactory, name: str, memory_bytes: int = MEMORY_BYTES
) -> Reference:
    """The reference in a folder of its own, built by one worker: one library has one memory in a process."""
    folder = run_folder(factory) / name
    build_once(folder.with_suffix(".built"), lambda done: done.write_text(str(Reference.build(folder).path)))
    return Reference.build(folder, memory_bytes)
