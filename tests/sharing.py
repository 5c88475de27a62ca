"""What the workers of one test run share: a folder, and files in it that only one of them builds."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from llama2c import build
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


def build_program(target: Path, main: Path, parts: Sequence[str]) -> Path:
    """A program for the console with only these parts of the port (names of `llama2c.build.PORT`)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PORT", [part for part in build.PORT if part in parts])
        return build.build_guest(target, main)


def built_reference(
    factory: pytest.TempPathFactory, name: str, memory_bytes: int = MEMORY_BYTES
) -> Reference:
    """The reference in a folder of its own: one library has one memory in a process. One worker builds it,
    into the cache that commands of the tests see as well; the others copy."""
    folder = run_folder(factory) / name

    def copy(done: Path) -> None:
        library = built_library(factory)
        target = folder / library.parent.name / library.name
        target.parent.mkdir(parents=True)
        shutil.copy(library, target)
        done.touch()

    build_once(folder.with_suffix(".copied"), copy)
    return Reference.build(folder, memory_bytes)


def built_library(factory: pytest.TempPathFactory) -> Path:
    """The reference's library in the cache of the run, where `Reference.build` finds it."""
    path = build_once(
        run_folder(factory) / "reference.path",
        lambda unfinished: unfinished.write_text(str(Reference.build().path)),
    )
    return Path(path.read_text())
