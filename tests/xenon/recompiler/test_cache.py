"""The cache on disk: safe against damage and foreign files, bounded, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xenon.recompiler.cache import CodeCache, Usage, cache_folder


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


def test_clear_leaves_foreign_files(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path)
    cache.put("unit_1", b"code")
    (tmp_path / "mine.txt").write_text("mine")
    assert cache.clear().files == 1
    assert cache.usage() == Usage(0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_an_empty_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = CodeCache(tmp_path / "file" / "code")
    cache.put("unit_1", b"code")
    assert cache.get("unit_1") is None
    assert cache.usage() == Usage(0, 0)


def test_the_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/xenon-llm/code")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "xenon-llm" / "code"
