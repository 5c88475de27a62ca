"""The cache on disk: safe against damage and foreign files, bounded, and never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from systems import LIMITS, LINKS, NAMED_PIPES, RIGHTS

from xenon.notes import XenonWarning
from xenon.recompiler.cache import MOST_BYTES_OF_FILE, CodeCache, Usage, cache_folder


def test_what_is_put_comes_back(tmp_path: Path) -> None:
    CodeCache(tmp_path).put("unit_1", b"code")
    assert CodeCache(tmp_path).get("unit_1") == b"code"
    assert CodeCache(tmp_path).get("unit_2") is None


def test_damage_at_any_byte_and_truncation_at_any_length_are_noticed(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path)
    cache.put("unit_1", b"code")
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for index in range(len(whole)):
        path.write_bytes(whole[:index])
        assert cache.get("unit_1") is None
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        assert cache.get("unit_1") is None
    cache.put("unit_1", b"new")
    assert cache.get("unit_1") == b"new"


def test_the_least_used_go_when_there_is_too_much(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path, most_bytes=400)
    for number in range(3):
        cache.put(f"unit_{number}", bytes(100))
        os.utime(tmp_path / f"unit_{number}.code", (number, number))
    cache.put("unit_3", bytes(100))
    assert [cache.get(f"unit_{number}") is not None for number in range(4)] == [False, False, True, True]


@LINKS
def test_clear_leaves_foreign_files(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path)
    cache.put("unit_1", b"code")
    others = {"mine.txt", "Mine_1.code", ".new-mine", "mine.code"}
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / "unit_2.code").symlink_to(tmp_path / "mine.txt")
    (tmp_path / "unit_3.code").mkdir()
    assert cache.clear().files == 1
    assert cache.usage() == Usage(0, 0)
    assert {path.name for path in tmp_path.iterdir()} == others | {"unit_2.code", "unit_3.code"}


def test_a_folder_that_cannot_be_made_is_an_empty_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = CodeCache(tmp_path / "file" / "code")
    cache.put("unit_1", b"code")
    assert cache.get("unit_1") is None
    assert cache.usage() == Usage(0, 0)


def test_the_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Path.cwd() / "elsewhere"
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere))
    assert cache_folder() == elsewhere / "xenon-llm" / "code"
    monkeypatch.delenv("LOCALAPPDATA", raising=False)  # of Windows
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "xenon-llm" / "code"


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert cache_folder() is None
    cache = CodeCache()
    cache.put("unit_1", b"code")
    assert cache.get("unit_1") is None
    assert cache.usage() == cache.clear() == Usage(0, 0)


def test_a_file_under_another_key_is_refused(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path)
    cache.put("unit_1", b"code")
    shutil.copy(tmp_path / "unit_1.code", tmp_path / "unit_2.code")
    assert cache.get("unit_2") is None


@RIGHTS
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_to_is_left_alone(tmp_path: Path, mode: int) -> None:
    cache = CodeCache(tmp_path)
    cache.put("unit_1", b"code")
    tmp_path.chmod(mode)
    with pytest.warns(XenonWarning, match="others may write to it"):
        assert cache.get("unit_1") is None
    with pytest.warns(XenonWarning):
        cache.put("unit_2", b"code")
        assert cache.clear() == Usage(0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["unit_1.code"]


@RIGHTS
def test_a_file_that_others_may_write_to_is_left_alone(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path)
    cache.put("unit_1", b"code")
    (tmp_path / "unit_1.code").chmod(0o620)
    before = (tmp_path / "unit_1.code").read_bytes()
    with pytest.warns(XenonWarning, match=r"unit_1\.code: others may write to it"):
        assert cache.get("unit_1") is None
        cache.put("unit_1", b"other")
    assert (tmp_path / "unit_1.code").read_bytes() == before


@RIGHTS
def test_what_belongs_to_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CodeCache(tmp_path).put("unit_1", b"code")
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.warns(XenonWarning, match="belongs to another user"):
        assert CodeCache(tmp_path).get("unit_1") is None


@NAMED_PIPES
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "endless link", "too long"])
def test_what_is_no_file_of_the_cache_is_passed_by(tmp_path: Path, kind: str) -> None:
    cache = CodeCache(tmp_path / "code")
    cache.put("unit_2", b"code")
    place = tmp_path / "code" / "unit_1.code"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "too long":
        with place.open("wb") as file:
            file.truncate(1 << 40)
    else:
        place.symlink_to("/dev/zero" if kind == "endless link" else tmp_path / "code" / "unit_2.code")
    start = time.monotonic()
    if kind == "too long":
        assert cache.get("unit_1") is None
    else:
        with pytest.warns(XenonWarning, match="no regular file"):
            assert cache.get("unit_1") is None
            cache.put("unit_1", b"code")
        assert cache.get("unit_2") == b"code"
    assert time.monotonic() - start < 5


def test_what_is_too_long_is_not_kept(tmp_path: Path) -> None:
    CodeCache(tmp_path).put("unit_1", bytes(MOST_BYTES_OF_FILE))
    assert not list(tmp_path.iterdir())


@LIMITS
def test_a_full_disk_keeps_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from xenon.recompiler.cache import CodeCache\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "CodeCache(Path(sys.argv[1])).put('unit_1', bytes(1000))"
    )
    subprocess.run([sys.executable, "-B", "-c", script, str(tmp_path)], check=True, timeout=60)
    assert not list(tmp_path.iterdir())


@RIGHTS
def test_the_command_notes_what_it_leaves_alone(tmp_path: Path) -> None:
    folder = tmp_path / "xenon-llm" / "code"
    CodeCache(folder).put("unit_1", b"code")
    folder.chmod(0o777)
    command = [sys.executable, "-c", "from xenon.cli.start import main; main()", "cache", "--clear"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout) == (0, f"{folder}: 0 files, 0 bytes deleted\n")
    note = f"note: {folder}: others may write to it (chmod go-w), no compiled code is kept there\n"
    assert done.stderr == note
    assert len(list(folder.iterdir())) == 1
