"""Texts cut into windows: every token counts once, as the manual says."""

from __future__ import annotations

import struct

import pytest

from xenon.errors import XenonError
from xenon.evaluation.windows import Chunking, Window, as_file, windows_of

TEXT = list(range(100, 120))


def asked(windows: list[Window]) -> list[int]:
    return [token for window in windows for token in window.tokens[window.first :]]


def test_one_window_leaves_out_the_first_token() -> None:
    assert windows_of(TEXT, Chunking(100), None) == [Window(tuple(TEXT), 1)]


def test_disjoint_windows_leave_out_the_first_token_of_each() -> None:
    windows = windows_of(TEXT, Chunking(8), None)
    assert [window.tokens[0] for window in windows] == [100, 108, 116]
    assert asked(windows) == [token for token in TEXT if (token - 100) % 8]


@pytest.mark.parametrize("chunk", [2, 3, 8, 21, 50])
def test_with_a_beginning_all_tokens_count_once(chunk: int) -> None:
    windows = windows_of(TEXT, Chunking(chunk), 1)
    assert all(window.tokens[0] == 1 and len(window.tokens) <= chunk for window in windows)
    assert asked(windows) == TEXT


@pytest.mark.parametrize("begin", [None, 1])
@pytest.mark.parametrize(("chunk", "stride"), [(8, 1), (8, 4), (8, 7), (19, 5), (50, 3)])
def test_overlapping_windows_count_each_token_once(chunk: int, stride: int, begin: int | None) -> None:
    windows = windows_of(TEXT, Chunking(chunk, stride), begin)
    assert asked(windows) == (TEXT if begin else TEXT[1:])
    assert all(len(window.tokens) <= chunk for window in windows)


def test_halves_are_those_of_llama_cpp() -> None:
    windows = windows_of(TEXT, Chunking(8, half=True), None)
    assert [window.tokens for window in windows] == [tuple(TEXT[:8]), tuple(TEXT[8:16])]
    assert asked(windows) == [*TEXT[5:8], *TEXT[13:16]]
    windows = windows_of(TEXT, Chunking(8, half=True), 1)
    assert [window.tokens for window in windows] == [(1, *TEXT[:7]), (1, *TEXT[8:15])]


def test_too_little_text_has_no_window() -> None:
    assert windows_of([5], Chunking(8), None) == []
    assert windows_of([], Chunking(8), 1) == []
    assert windows_of(TEXT[:7], Chunking(8, half=True), None) == []
    assert asked(windows_of([5], Chunking(8), 1)) == [5]


@pytest.mark.parametrize("numbers", [(1,), (8, 0), (8, 9), (8, 4, True)])
def test_numbers_that_cannot_be_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(XenonError):
        Chunking(*numbers)  # type: ignore[arg-type]


def test_the_file_is_big_endian_words() -> None:
    data = as_file([Window((7, 8, 9), 2), Window((1,), 1)])
    assert struct.unpack(">8I", data) == (3, 2, 7, 8, 9, 1, 1, 1)
