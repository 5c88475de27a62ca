"""What the workers of one test run share: a folder, and files in it that only one of them builds."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import WHOLE

from llama2c import build
from llama2c.reference import MEMORY_BYTES, Reference
from xenon.host.files import lock

_PATIENCE = 0.05  # seconds between two looks at a lock


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
    with path.with_name(f"{path.name}.lock").open("w") as file:
        _wait_for_lock(file.fileno())  # let go when the process ends, however it ends
        if not path.exists():
            unfinished = path.with_name(f"{path.name}.unfinished")
            build(unfinished)
            unfinished.replace(path)
    return path


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Other processes wait for this one at the same block with the same folder."""
    with (folder / "lock").open("w") as file:
        _wait_for_lock(file.fileno())
        yield


def _wait_for_lock(descriptor: int) -> None:
    while True:
        try:
            return lock(descriptor)
        except BlockingIOError:
            time.sleep(_PATIENCE)


def need_compiler() -> None:
    """Skips where nothing can be compiled."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("no compiler: pip install ziglang")


def build_program(target: Path, main: Path, parts: Sequence[str]) -> Path:
    """A program for the console with only these parts of the port (names of `llama2c.build.PORT`)."""
    need_compiler()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PORT", [part for part in build.PORT if part in parts])
        return build.build_guest(target, main)


@contextmanager
def building_from_nothing() -> Iterator[None]:
    """What is built inside is compiled whole, whatever zig has in its cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "zig_cache", lambda work: f"{work}/cache")
        yield


@contextmanager
def building_quickly() -> Iterator[None]:
    """What is built inside is built without C's optimiser, in a third of the time, and computes the same
    bits; in the long form it is optimised as always."""
    with pytest.MonkeyPatch.context() as patch:
        if not WHOLE:
            patch.setattr(build, "COMMON", ["-O0" if word == "-O3" else word for word in build.COMMON])
        yield


def built_reference(
    factory: pytest.TempPathFactory, name: str, memory_bytes: int = MEMORY_BYTES
) -> Reference:
    """The reference in a folder of its own: one library has one memory in a process. One worker builds it,
    into the cache that commands of the tests see as well; the others copy."""
    need_compiler()
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
    need_compiler()
    path = build_once(
        run_folder(factory) / "reference.path",
        lambda unfinished: unfinished.write_text(str(Reference.build().path)),
    )
    return Path(path.read_text())
