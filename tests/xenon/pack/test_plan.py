"""What goes where: layouts by size, the memory picture, and what cannot fit."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import loader
from loader.synthetic import Shape
from xenon.errors import XenonError
from xenon.pack.archive import ArchiveEntry, FilePiece, pack_archive, read_archive
from xenon.pack.limits import IMAGE_END, INITRD_BYTES
from xenon.pack.plan import ELF_NAME, INITRD_NAME, KBOOT_NAME, Layout, Tale, plan
from xenon.xell.kboot import parse_kboot


@pytest.fixture(scope="module")
def tale(joe260K: loader.Model, joe_tokenizer: loader.Tokenizer) -> Tale:
    return Tale(joe260K, joe_tokenizer, b"Once")


@pytest.fixture(scope="module")
def large(written_shape: Callable[[Shape], tuple[Path, Path]]) -> Tale:
    """A model of stories15M's shape: 60.8 MB."""
    model, tokenizer = written_shape(Shape.STORIES_15M)
    return Tale(loader.open(model), loader.open_tokenizer(tokenizer))


def test_an_archive_reads_back() -> None:
    pieces = [
        FilePiece.whole("a", b"12345"),
        FilePiece("b", b"x" * 5000, 10, 9000),
        FilePiece.whole("c", b""),
    ]
    data = memoryview(pack_archive(pieces))
    entries = read_archive("x", data)
    assert entries == [
        ArchiveEntry("a", 4096, 5, 0, 5),
        ArchiveEntry("b", 8192, 5000, 10, 9000),
        ArchiveEntry("c", 16384, 0, 0, 0),
    ]
    assert data[8192 : 8192 + 5000] == b"x" * 5000


@pytest.mark.parametrize("place", [0, 8, 16, 64, 72])
def test_a_damaged_archive_is_named(place: int) -> None:
    data = bytearray(pack_archive([FilePiece.whole("a", b"12345")]))
    data[place : place + 8] = b"\xff" * 8
    with pytest.raises(XenonError, match=r"^x: "):
        read_archive("x", memoryview(data))


def test_a_small_model_is_one_file_and_the_same_one_each_time(tale: Tale) -> None:
    stick = plan(tale)
    assert list(stick.files) == [ELF_NAME]
    assert plan(tale).files == stick.files


def test_kboot_conf_is_what_xell_reads(tale: Tale) -> None:
    stick = plan(tale, Layout.INITRD)
    (entry,) = parse_kboot(KBOOT_NAME, stick.files[KBOOT_NAME])
    assert entry.program == f"uda0:/{ELF_NAME}".encode()
    assert entry.initrd == f"uda0:/{INITRD_NAME}".encode()
    other = plan(replace(tale, prompt=b"Another"), Layout.INITRD)
    assert other.files[ELF_NAME] == stick.files[ELF_NAME]  # any prompt, one program


def test_areas_of_memory_do_not_touch(tale: Tale) -> None:
    for layout in (Layout.ONE, Layout.INITRD):
        memory = plan(tale, layout).memory
        assert all(area.end <= after.start for area, after in itertools.pairwise(memory))
        assert {"program", "stack", "weights", "key cache", "loader", "device tree"} <= {
            area.purpose for area in memory
        }


def test_fifteen_million_parameters_are_cut_in_two(large: Tale) -> None:
    stick = plan(large)
    assert stick.layout is Layout.SPLIT
    assert len(stick.files[ELF_NAME]) < IMAGE_END
    assert len(stick.files[ELF_NAME]) <= len(stick.files[INITRD_NAME]) <= INITRD_BYTES
    assert sum(map(len, stick.files.values())) > large.model.image(loader.ByteOrder.BIG).size


def test_a_layout_without_room_names_the_numbers(large: Tale) -> None:
    for layout in (Layout.ONE, Layout.INITRD):
        with pytest.raises(
            XenonError, match=rf"[\d,]+ bytes of files, the layout {layout} has room"
        ) as caught:
            plan(large, layout)
        assert caught.value.hint == "the layout split has room for them"


def test_a_model_that_never_fits_is_refused_with_what_would(
    written_shape: Callable[[Shape], tuple[Path, Path]],
) -> None:
    model, tokenizer = written_shape(Shape.STORIES_42M)
    tale = Tale(loader.open(model), loader.open_tokenizer(tokenizer))
    with pytest.raises(
        XenonError, match=r"[\d,]+ bytes, XeLL loads a model of at most 6\d,\d{3},\d{3}$"
    ) as caught:
        plan(tale)
    assert re.fullmatch(
        r"with its matrices converted to q8_0 it takes about [\d,]+ bytes, which fit", caught.value.hint
    )


def test_a_context_that_is_too_long_is_refused(tale: Tale) -> None:
    with pytest.raises(XenonError, match="a context of 4096, expected at most"):
        plan(replace(tale, context=4096))
