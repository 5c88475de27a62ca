"""What several writers, links, permissions, changing inputs and kill -9 may do to the file that appears."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import WHOLE
from systems import LINKS, RIGHTS

import loader
from loader import ByteOrder, LoaderCode, LoaderError
from loader.new_file import NewFile

Maker = Callable[..., Any]
TRIES = int(os.environ.get("KILL_TRIES", "10" if WHOLE else "4"))
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(loader.__file__).parents[1])}


@pytest.fixture
def source(maker: Maker, tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(maker("v0").data)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("links", [True, False])
def test_of_writers_at_the_same_time_exactly_one_wins(
    links: bool, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", _no_links)
    started = threading.Barrier(4)
    results: list[LoaderCode | None] = []

    def convert() -> None:
        def wait(done: int, total: int) -> None:
            if done == total:  # all have passed the check that nothing is there
                started.wait()

        try:
            loader.convert(source, None, ByteOrder.BIG, progress=wait)
        except LoaderError as error:
            results.append(error.code)
        else:
            results.append(None)

    threads = [threading.Thread(target=convert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [None, *[LoaderCode.TARGET_EXISTS] * 3]
    assert names(source.parent) == ["model.be.bin", "model.bin"]
    assert loader.open(source.with_name("model.be.bin")).byte_order is ByteOrder.BIG


def _no_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@RIGHTS
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_replaced_file_keeps_its_permissions(mode: int, source: Path) -> None:
    target = source.with_name("model.be.bin")
    target.write_text("old")
    target.chmod(mode)
    loader.convert(source, None, ByteOrder.BIG, force=True)
    assert target.stat().st_mode & 0o777 == mode
    assert loader.open(target).byte_order is ByteOrder.BIG


@LINKS
@pytest.mark.parametrize("force", [False, True])
def test_a_link_that_leads_nowhere_is_refused(force: bool, source: Path) -> None:
    link = source.with_name("model.be.bin")
    link.symlink_to("nowhere")
    with pytest.raises(LoaderError, match="is a link to nowhere, which does not exist") as caught:
        loader.convert(source, None, ByteOrder.BIG, force=force)
    assert caught.value.code is LoaderCode.TARGET_REFUSED
    assert link.is_symlink()
    assert names(source.parent) == ["model.be.bin", "model.bin"]


@LINKS
def test_a_link_to_a_file_is_written_through(source: Path) -> None:
    folder = source.with_name("elsewhere")
    folder.mkdir()
    (folder / "file").write_text("old")
    link = source.with_name("model.be.bin")
    link.symlink_to(folder / "file")
    loader.convert(source, None, ByteOrder.BIG, force=True)
    assert link.is_symlink()
    assert loader.open(folder / "file").byte_order is ByteOrder.BIG
    assert names(folder) == ["file"]


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x08")
    os.utime(path, ns=(0, 0))  # later or earlier: another time


def _truncate(path: Path) -> None:
    os.truncate(path, 100)


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _exchange(path: Path) -> None:
    path.with_name("new").write_bytes(path.read_bytes())
    path.with_name("new").replace(path)


@pytest.mark.parametrize("change", [_overwrite, _truncate, _append, _exchange])
def test_an_input_that_changes_while_it_is_read_is_an_error(
    change: Callable[[Path], None], source: Path
) -> None:
    conversion = loader.plan(loader.open_any(source), ByteOrder.BIG)
    with pytest.raises(LoaderError, match=r"model\.bin: (changed while it was read|became shorter)"):
        loader.write([conversion], progress=lambda done, total: change(source))
    assert names(source.parent) == ["model.bin"]


def test_a_model_that_becomes_shorter_is_an_error_for_its_arrays(source: Path) -> None:
    model = loader.open(source)
    os.truncate(source, 100)
    with pytest.raises(LoaderError, match="became shorter"):
        model.array("w3")


def test_leftovers_of_dead_writers_are_removed_and_those_of_living_ones_are_not(source: Path) -> None:
    folder = source.parent
    (folder / ".xenon-1-0123456789abcdef.part").write_text("of one that was killed")
    (folder / ".xenon-notes.part").write_text("not ours")
    with NewFile(folder / "other", replace=False):
        alive = [name for name in names(folder) if name.startswith(f".xenon-{os.getpid()}-")]
        assert len(alive) == 1
        loader.convert(source, None, ByteOrder.BIG)
        assert names(folder) == sorted([*alive, ".xenon-notes.part", "model.be.bin", "model.bin"])
    assert names(folder) == [".xenon-notes.part", "model.be.bin", "model.bin"]


WRITER = """
import sys, loader
first, second, target = sys.argv[1:]
loader.convert(first, target, loader.ByteOrder.BIG, force=True)
print("ready", flush=True)
while True:
    for source in (second, first):
        loader.convert(source, target, loader.ByteOrder.BIG, force=True)
"""


def test_kill_leaves_the_old_file_or_the_new_one_and_the_next_writer_removes_the_rest(
    maker: Maker, tmp_path: Path
) -> None:
    sources, target = [tmp_path / "0.bin", tmp_path / "1.bin"], tmp_path / "out"
    whole = set()
    for path, shared in zip(sources, (True, False), strict=True):
        path.write_bytes(maker("v0", shared=shared).data)
        loader.convert(path, target, ByteOrder.BIG, force=True)
        whole.add(target.read_bytes())
    command = [sys.executable, "-B", "-c", WRITER, *map(str, sources), str(target)]
    for _ in range(TRIES):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(random.uniform(0, 0.01))
            writer.kill()
        assert target.read_bytes() in whole
    loader.convert(sources[0], target, ByteOrder.BIG, force=True)
    assert names(tmp_path) == ["0.bin", "1.bin", "out"]


FIRST_WRITER = """
import sys, loader
source, folder = sys.argv[1:]
print("ready", flush=True)
for number in range(1 << 20):
    loader.convert(source, f"{folder}/{number}", loader.ByteOrder.BIG)
"""


def test_kill_leaves_a_new_file_absent_or_whole(maker: Maker, tmp_path: Path) -> None:
    source, folder = tmp_path / "model.bin", tmp_path / "out"
    source.write_bytes(maker("v0").data)
    loader.convert(source, tmp_path / "whole", ByteOrder.BIG)
    whole = (tmp_path / "whole").read_bytes()
    command = [sys.executable, "-B", "-c", FIRST_WRITER, str(source), str(folder)]
    for _ in range(TRIES):
        folder.mkdir()
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(random.uniform(0, 0.02))
            writer.kill()
        made = [name for name in names(folder) if name.isdecimal()]
        assert sorted(map(int, made)) == list(range(len(made)))
        assert {(folder / name).read_bytes() for name in made} <= {whole}
        loader.convert(source, folder / "next", ByteOrder.BIG)
        assert names(folder) == sorted([*made, "next"])
        shutil.rmtree(folder)
