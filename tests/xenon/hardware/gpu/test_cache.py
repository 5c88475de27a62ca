"""The read cache: what a program sees that forgets to invalidate it, and what it sees that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenon.hardware.cpu import Protection
from xenon.hardware.gpu.endian import Endian, copy_words, swap_word, word_bytes
from xenon.hardware.gpu.packets import Opcode, type_0
from xenon.hardware.gpu.registers import Register
from xenon.hardware.memory_map import PAGE_BYTES

X, Y, OUT = 0x0020_0000, 0x0020_1000, 0x0020_2000


def add(driver: Any) -> list[float]:
    driver.draw("add", [driver.fetch(OUT, 2), driver.fetch(X, 2), driver.fetch(Y, 2)], [2])
    return driver.load(OUT, 2).tolist()  # type: ignore[no-any-return]


def cohere(driver: Any, base: int, size: int) -> None:
    driver.submit(type_0(Register.COHER_SIZE_HOST, 3), size, base, 1 << 31)


INVALIDATIONS: dict[str, Callable[[Any], object]] = {
    "registers": lambda driver: cohere(driver, X, 8),
    "event": lambda driver: driver.packet(Opcode.EVENT_WRITE, 22),
    "fence": lambda driver: driver.packet(Opcode.EVENT_WRITE_SHD, 20, OUT + 0x100, 1),
}


@pytest.mark.parametrize("how", INVALIDATIONS)
def test_what_a_cpu_writes_is_stale_until_the_program_invalidates(driver: Any, how: str) -> None:
    driver.store(X, [1, 2])
    driver.store(Y, [10, 20])
    assert add(driver) == [11, 22]
    driver.store(X, [100, 200])
    assert add(driver) == [11, 22]
    INVALIDATIONS[how](driver)
    assert add(driver) == [110, 220]
    assert driver.read(Register.COHER_STATUS_HOST) == 0


def test_invalidating_elsewhere_or_flushing_alone_leaves_it_stale(driver: Any) -> None:
    driver.store(X, [1, 2])
    assert add(driver) == [1, 2]
    driver.store(X, [5, 6])
    cohere(driver, X + 128, 4096)
    driver.packet(Opcode.EVENT_WRITE, 6)
    assert add(driver) == [1, 2]
    cohere(driver, X + 127, 1)
    assert add(driver) == [5, 6]


def test_invalidating_past_the_end_of_ram_is_no_error(driver: Any) -> None:
    cohere(driver, 0x1FFF_FFF0, 0xFFFF_FFFF)
    cohere(driver, 0xFFFF_FF00, 0xFFFF_FFFF)


def test_the_gpu_sees_its_own_writes(driver: Any) -> None:
    driver.store(X, [1, 2])
    driver.draw("add", [driver.fetch(X, 2), driver.fetch(X, 2), driver.fetch(X, 2)], [2])
    assert add(driver) == [2, 4]
    driver.packet(Opcode.MEM_WRITE, X | Endian.SWAP_8_IN_32, 0x3F80_0000)  # 1.0
    assert add(driver) == [1, 4]


@pytest.mark.parametrize("write", ["draw", "packet"])
def test_what_the_gpu_writes_over_code_is_reported(
    driver: Any, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[tuple[int, int]] = []
    monkeypatch.setattr(driver.pages, "written", lambda address, size: dropped.append((address, size)))
    driver.pages.map(OUT, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    if write == "draw":
        add(driver)
    else:
        driver.packet(Opcode.MEM_WRITE, OUT + 8 | Endian.SWAP_8_IN_32, 1)
    assert dropped == [(OUT, PAGE_BYTES)]
    assert driver.read(Register.CP_RB_RPTR) == driver.read(Register.CP_RB_WPTR)


def test_a_line_read_in_two_modes_is_right_in_both(driver: Any) -> None:
    driver.store(X, [1, 2])
    for mode in (*Endian, *Endian):
        driver.draw("add", [driver.fetch(OUT, 2), driver.fetch(X, 2, mode), driver.fetch(Y, 2)], [2])
        source = np.frombuffer(driver.memory.read(X, 8), np.uint32)
        expected = np.empty_like(source)
        copy_words(expected, source, mode)
        np.testing.assert_array_equal(driver.load(OUT, 2), expected.view(np.float32))


def test_host_memory_grows_only_with_what_was_read(driver: Any) -> None:
    assert driver.gpu.cache.words.nbytes == 512 << 20  # of addresses, not of memory
    add(driver)
    assert not driver.gpu.cache.words[: X // 4].any()


@given(st.integers(0, 0xFFFF_FFFF), st.sampled_from(Endian))
def test_a_swap_undoes_itself_and_arrays_swap_alike(value: int, mode: Endian) -> None:
    assert swap_word(swap_word(value, mode), mode) == value
    source = np.array([value, value ^ 0xFFFF_FFFF] * 3, np.uint32)
    target = np.empty_like(source)
    copy_words(target, source, mode)
    assert target.tolist() == [swap_word(int(word), mode) for word in source]
    assert word_bytes(value, mode) == swap_word(value, mode).to_bytes(4, "little")
