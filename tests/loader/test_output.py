"""Output appears whole or not at all, never over an input, and never over another file unless forced."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from systems import DEVICES, LIMITS, LINKS, RIGHTS

import loader
from loader import ByteOrder, LoaderError

Maker = Callable[..., Any]


@pytest.fixture
def source(maker: Maker, tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(maker("v0").data)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_default_name_is_beside_the_input(source: Path) -> None:
    conversion = loader.convert(source, None, ByteOrder.BIG)
    assert conversion.target == source.with_name("model.be.bin")
    assert names(source.parent) == ["model.be.bin", "model.bin"]


@pytest.mark.parametrize(
    ("name", "order", "expected"),
    [
        ("stories15M.bin", ByteOrder.BIG, "stories15M.be.bin"),
        ("stories15M.be.bin", ByteOrder.LITTLE, "stories15M.le.bin"),
        ("stories15M.le.bin", ByteOrder.BIG, "stories15M.be.bin"),
        ("model", ByteOrder.BIG, "model.be"),
        ("a.b.bin", ByteOrder.BIG, "a.b.be.bin"),
    ],
)
def test_default_name_carries_the_byte_order_once(name: str, order: ByteOrder, expected: str) -> None:
    assert loader.default_target(Path("x") / name, order) == Path("x") / expected


def test_a_folder_as_target_takes_the_default_name(source: Path, tmp_path: Path) -> None:
    (tmp_path / "disc").mkdir()
    assert loader.convert(source, tmp_path / "disc", ByteOrder.BIG).target == tmp_path / "disc/model.be.bin"


def test_a_file_in_the_way_is_kept_unless_forced(source: Path) -> None:
    target = source.with_name("out.bin")
    target.write_text("precious")
    with pytest.raises(LoaderError, match=r"out\.bin: exists already") as caught:
        loader.convert(source, target, ByteOrder.BIG)
    assert caught.value.code is loader.LoaderCode.TARGET_EXISTS
    assert target.read_text() == "precious"
    loader.convert(source, target, ByteOrder.BIG, force=True)
    assert loader.open(target).byte_order is ByteOrder.BIG


@LINKS
@pytest.mark.parametrize("link", ["itself", "symlink", "hardlink", "dotted"])
def test_the_input_is_never_written_even_through_a_link(link: str, source: Path) -> None:
    target = source.with_name("link.bin")
    if link == "symlink":
        target.symlink_to(source)
    elif link == "hardlink":
        target.hardlink_to(source)
    else:
        target = source if link == "itself" else source.parent / "." / ".." / source.parent.name / source.name
    before = source.read_bytes()
    with pytest.raises(LoaderError, match="is the input itself"):
        loader.convert(source, target, ByteOrder.BIG, force=True)
    assert source.read_bytes() == before


@DEVICES
def test_a_device_is_never_replaced(source: Path) -> None:
    with pytest.raises(LoaderError, match="is no regular file"):
        loader.convert(source, "/dev/null", ByteOrder.BIG, force=True)


def test_a_folder_that_does_not_exist(source: Path) -> None:
    with pytest.raises(LoaderError, match="does not exist"):
        loader.convert(source, source.parent / "nowhere" / "x.bin", ByteOrder.BIG)


def test_a_folder_that_cannot_be_written_to(source: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("loader.output.os.access", lambda *_: False)  # root may write anywhere
    conversion = loader.plan(loader.open(source), ByteOrder.BIG)
    with pytest.raises(LoaderError, match="cannot be written to"):
        loader.check_outputs([conversion])


def test_a_name_that_is_too_long(source: Path) -> None:
    with pytest.raises(LoaderError, match="too long"):
        loader.convert(source, source.parent / ("x" * 300), ByteOrder.BIG)


def test_a_target_below_a_file(source: Path) -> None:
    with pytest.raises(LoaderError, match="x\\.bin: "):
        loader.convert(source, source / "x.bin", ByteOrder.BIG)


def test_an_input_already_in_that_order_is_refused_and_nothing_written(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "x.be.bin").write_bytes(maker("v0", "big").data)
    with pytest.raises(LoaderError, match=r"x\.be\.bin: already big-endian") as caught:
        loader.convert(tmp_path / "x.be.bin", None, ByteOrder.BIG)
    assert caught.value.code is loader.LoaderCode.ALREADY_CONVERTED
    assert caught.value.fields == {"other": "little"}
    assert names(tmp_path) == ["x.be.bin"]


def two_conversions(maker: Maker, folder: Path) -> list[loader.Conversion]:
    (folder / "model.bin").write_bytes(maker("v0").data)
    (folder / "tokenizer.bin").write_bytes(maker("tokenizer").data)
    return [
        loader.plan(loader.open_any(folder / name), ByteOrder.BIG) for name in ("model.bin", "tokenizer.bin")
    ]


def test_a_full_disc_half_way_leaves_nothing(maker: Maker, tmp_path: Path, monkeypatch: Any) -> None:
    conversions = two_conversions(maker, tmp_path)
    original, calls = os.write, 0

    def full(descriptor: int, data: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:  # the model is written, the tokenizer has no room
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(descriptor, data)

    monkeypatch.setattr("loader.output.os.write", full)
    with pytest.raises(LoaderError, match="no space left on device, nothing was written") as caught:
        loader.write(conversions)
    assert caught.value.message.startswith(str(tmp_path / "tokenizer.be.bin"))
    assert caught.value.hint
    assert names(tmp_path) == ["model.bin", "tokenizer.bin"]


@LIMITS
def test_a_real_limit_on_file_size_leaves_nothing(source: Path) -> None:
    script = (
        "import loader, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: loader.convert(sys.argv[1], None, loader.ByteOrder.BIG)\n"
        "except loader.LoaderError as error: print(error.message)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(loader.__file__).parents[1])}
    command = [sys.executable, "-B", "-c", script, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "file too large, nothing was written" in done.stdout, done
    assert names(source.parent) == ["model.bin"]


def test_a_short_write_is_continued(source: Path, maker: Maker, monkeypatch: Any) -> None:
    original = os.write
    monkeypatch.setattr("loader.output.os.write", lambda descriptor, data: original(descriptor, data[:7]))
    loader.convert(source, None, ByteOrder.BIG)
    assert source.with_name("model.be.bin").read_bytes() == maker("v0", "big").data


def test_ctrl_c_leaves_nothing(source: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loader.convert(source, None, ByteOrder.BIG, progress=interrupt)
    assert names(source.parent) == ["model.bin"]


@pytest.mark.parametrize("old", [False, True])
def test_both_outputs_appear_or_neither(old: bool, maker: Maker, tmp_path: Path, monkeypatch: Any) -> None:
    conversions = two_conversions(maker, tmp_path)
    if old:
        (tmp_path / "model.be.bin").write_text("as it was")
    before = names(tmp_path)
    original = Path.replace

    def fails_for_the_tokenizer(self: Path, target: Path) -> Path:
        if target.name == "tokenizer.be.bin":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", fails_for_the_tokenizer)
    with pytest.raises(LoaderError, match="operation not permitted"):
        loader.write(conversions, force=True)
    assert names(tmp_path) == before
    if old:
        assert (tmp_path / "model.be.bin").read_text() == "as it was"


def test_both_outputs_are_replaced_when_forced(maker: Maker, tmp_path: Path) -> None:
    conversions = two_conversions(maker, tmp_path)
    for name in ("model.be.bin", "tokenizer.be.bin"):
        (tmp_path / name).write_text("old")
    loader.write(conversions, force=True)
    assert names(tmp_path) == ["model.be.bin", "model.bin", "tokenizer.be.bin", "tokenizer.bin"]
    assert loader.open_tokenizer(tmp_path / "tokenizer.be.bin").byte_order is ByteOrder.BIG


def test_the_tokenizer_is_not_written_over_the_model(maker: Maker, tmp_path: Path) -> None:
    conversions = two_conversions(maker, tmp_path)
    tokenizer = loader.open_tokenizer(conversions[1].source.path)
    clash = loader.plan(tokenizer, ByteOrder.BIG, target=tmp_path / "model.be.bin")
    with pytest.raises(LoaderError, match="both outputs would have this name"):
        loader.write([conversions[0], clash])
    over_the_model = loader.plan(tokenizer, ByteOrder.BIG, target=tmp_path / "model.bin")
    with pytest.raises(LoaderError, match="is the input itself"):
        loader.write([conversions[0], over_the_model], force=True)


def test_progress_ends_at_the_size_of_the_output(source: Path) -> None:
    seen: list[tuple[int, int]] = []
    loader.convert(source, None, ByteOrder.BIG, progress=lambda done, total: seen.append((done, total)))
    size = source.stat().st_size
    assert seen[-1] == (size, size)


@RIGHTS
def test_output_has_the_permissions_that_any_new_file_has(source: Path) -> None:
    source.with_name("plain").write_bytes(b"")
    loader.convert(source, None, ByteOrder.BIG)
    assert source.with_name("model.be.bin").stat().st_mode == source.with_name("plain").stat().st_mode


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    dim, hidden, vocab = 256, 512, 65536
    floats = vocab * dim + dim + 4 * dim * dim + dim + 3 * dim * hidden + dim + 4 * dim
    with path.open("wb") as file:
        np.array([dim, hidden, 1, 1, 1, vocab, 4], "<i4").tofile(file)
        file.truncate(28 + 4 * floats)  # 69 MB, all of them holes
    tracemalloc.start()
    try:
        loader.convert(path, None, ByteOrder.BIG)
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
