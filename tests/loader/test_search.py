"""The tokenizer of a model is found by its number of pieces, and always the same one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems import LINKS

import loader
from loader import LoaderError

Maker = Callable[..., Any]


@pytest.fixture
def model(maker: Maker, tmp_path: Path) -> loader.Model:
    (tmp_path / "model.bin").write_bytes(maker("v0").data)
    return loader.open(tmp_path / "model.bin")


def add(maker: Maker, folder: Path, name: str, order: str = "little", count: int = 20) -> None:
    (folder / name).write_bytes(maker("tokenizer", order, pieces=[b"x"] * count).data)


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        (["zebra.bin"], "zebra.bin"),
        (["a.bin", "tok20.bin"], "tok20.bin"),
        (["tok20.bin", "tokenizer.bin"], "tokenizer.bin"),
        (["tok21.bin", "tok20.bin", "apple.bin"], "tok20.bin"),
        (["b.bin", "a.bin"], "a.bin"),
    ],
)
def test_the_better_name_is_chosen(
    present: list[str], chosen: str, model: loader.Model, maker: Maker, tmp_path: Path
) -> None:
    for name in present:
        add(maker, tmp_path, name)
    assert loader.find_tokenizer(model).path.name == chosen


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_models_own_byte_order_is_preferred(order: str, maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(maker("v0", order).data)
    add(maker, tmp_path, "tokenizer.bin", "little")
    add(maker, tmp_path, "tokenizer.be.bin", "big")
    assert loader.find_tokenizer(loader.open(tmp_path / "model.bin")).byte_order.value == order


def test_a_wrong_piece_count_does_not_fit_whatever_the_name(
    model: loader.Model, maker: Maker, tmp_path: Path
) -> None:
    add(maker, tmp_path, "tokenizer.bin", count=19)
    add(maker, tmp_path, "other.bin", count=20)
    assert loader.find_tokenizer(model).path.name == "other.bin"


def test_none_that_fits_names_every_file_and_why(model: loader.Model, maker: Maker, tmp_path: Path) -> None:
    add(maker, tmp_path, "tok32.bin", count=32)
    (tmp_path / "other.bin").write_bytes(maker("v1").data)
    (tmp_path / "notes.bin").write_text("Once upon a time")
    (tmp_path / "notes.txt").write_text("Once upon a time")
    (tmp_path / "folder.bin").mkdir()
    with pytest.raises(LoaderError) as caught:
        loader.find_tokenizer(model)
    message = caught.value.message
    assert "model.bin: no tokenizer with 20 pieces in " in message
    assert "tok32.bin: 32 pieces" in message
    assert "other.bin: is a model" in message
    assert "notes.bin: is a text file" in message
    assert "notes.txt" not in message and "folder.bin" not in message
    assert caught.value.code is loader.LoaderCode.NO_TOKENIZER


def test_an_empty_folder_says_what_was_looked_for(model: loader.Model) -> None:
    with pytest.raises(LoaderError, match=r"no file whose name ends in \.bin"):
        loader.find_tokenizer(model)


def test_a_crowded_folder_does_not_flood_the_message(model: loader.Model, tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number:03}.bin").write_bytes(b"")
    with pytest.raises(LoaderError, match="and 80 more"):
        loader.find_tokenizer(model)


def test_a_model_named_without_a_folder_is_searched_for_where_we_are(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.bin").write_bytes(maker("v0").data)
    add(maker, tmp_path, "tokenizer.bin")
    monkeypatch.chdir(tmp_path)
    assert loader.find_tokenizer(loader.open("model.bin")).path == Path("tokenizer.bin")


@LINKS
def test_a_broken_link_is_named_and_passed_over(model: loader.Model, tmp_path: Path) -> None:
    (tmp_path / "broken.bin").symlink_to(tmp_path / "nothing")
    with pytest.raises(LoaderError, match=r"broken\.bin: no such file"):
        loader.find_tokenizer(model)
