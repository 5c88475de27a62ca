"""An image is readable at any offset and length, and reads no more of the source than that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import loader
from loader import ByteOrder, Format
from loader.source import Source


@pytest.fixture(scope="session")
def images(maker: Callable[..., Any], folder: Path) -> list[tuple[loader.Image, bytes]]:
    """Every kind of image, with the bytes it should have."""
    made = []
    for kind in ("v0", "v1", "v2", "tokenizer"):
        path = folder / f"image-{kind}"
        path.write_bytes(maker(kind).data)
        opened = loader.open_any(path)
        made += [(opened.image(order), maker(kind, order.value).data) for order in ByteOrder]
    lifted = loader.open(folder / "image-v0").image(ByteOrder.BIG, Format.V1)
    return [*made, (lifted, maker("v1", "big").data)]


@given(data=st.data())
def test_any_range_equals_that_slice_of_the_whole(
    data: st.DataObject, images: list[tuple[loader.Image, bytes]]
) -> None:
    image, expected = data.draw(st.sampled_from(images))
    begin = data.draw(st.integers(0, len(expected)))
    end = data.draw(st.integers(begin, len(expected)))
    buffer = bytearray(b"\xaa" * (end - begin + 2))
    image.read_into(begin, memoryview(buffer)[1:-1])
    assert bytes(buffer) == b"\xaa" + expected[begin:end] + b"\xaa"


def test_every_short_range_around_every_boundary(images: list[tuple[loader.Image, bytes]]) -> None:
    for image, expected in images:
        for begin in range(min(300, len(expected))):
            for length in range(min(10, len(expected) - begin)):
                buffer = bytearray(length)
                image.read_into(begin, memoryview(buffer))
                assert bytes(buffer) == expected[begin : begin + length]


def test_a_range_outside_the_image_is_refused(images: list[tuple[loader.Image, bytes]]) -> None:
    for image, expected in images:
        assert image.size == len(expected)
        for begin in (-1, image.size):
            with pytest.raises(ValueError, match="of an image of"):
                image.read_into(begin, memoryview(bytearray(1)))


def test_a_small_range_of_a_large_file_reads_little(
    maker: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(maker("v0").data)
    image = loader.open(tmp_path / "x").image(ByteOrder.BIG, Format.V1)
    read: list[int] = []
    original = Source.read_into

    def counting(self: Source, offset: int, buffer: memoryview) -> None:
        read.append(len(buffer))
        original(self, offset, buffer)

    monkeypatch.setattr(Source, "read_into", counting)
    image.read_into(1001, memoryview(bytearray(10)))
    assert sum(read) <= 10 + 2 * 4
