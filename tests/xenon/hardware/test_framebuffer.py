"""The display's registers, and the way of pixels through tiles."""

from __future__ import annotations

import numpy as np
import pytest

from xenon.hardware.bus import DeviceError
from xenon.hardware.display import SCREENS, Display, Screen
from xenon.hardware.framebuffer import picture, word_indices
from xenon.hardware.memory import UnifiedMemory


@pytest.mark.parametrize("name", SCREENS)
def test_the_registers_say_what_is_shown(name: str) -> None:
    display = Display(SCREENS[name])
    width, height = map(int, name.split("x"))
    assert [display.read(offset) for offset in (0x110, 0x134, 0x138)] == [0x1E00_0000, width, height]
    assert display.read(0x120) % 32 == 0 and width <= display.read(0x120) < width + 32


def test_other_registers_and_all_writes_are_errors() -> None:
    display = Display(Screen())
    with pytest.raises(DeviceError, match="display: read at 0x200ec806200"):
        display.read(0x200)
    with pytest.raises(DeviceError, match="display: write at 0x200ec806110"):
        display.write(0x110, 0)


def test_a_word_stands_where_the_tiling_puts_it() -> None:
    words = word_indices(Screen(640, 480))
    places = {(0, 0): 0, (3, 0): 3, (0, 1): 4, (4, 0): 8, (28, 0): 56, (0, 2): 64, (0, 8): 256 + 32}
    places |= {(32, 0): 1024, (0, 32): 32 * 640, (31, 31): 959 + 32, (4, 8): 256 + 8 + 32}
    assert {place: int(words[place[1], place[0]]) for place in places} == places


@pytest.mark.parametrize("name", SCREENS)
def test_every_pixel_has_a_word_of_its_own_in_the_framebuffer(name: str) -> None:
    screen = SCREENS[name]
    words = word_indices(screen)
    assert words.shape == (screen.height, screen.width)
    assert words.max() < screen.pitch * screen.rows
    is_taken = np.zeros(screen.pitch * screen.rows, bool)
    is_taken[words] = True
    assert np.count_nonzero(is_taken) == words.size


def test_a_pixel_is_blue_green_red_and_nothing() -> None:
    memory, screen = UnifiedMemory(), Screen(640, 480)
    memory.write(screen.address + 4 * 4, bytes([10, 20, 30, 99]))  # (0, 1)
    shown = picture(memory, screen)
    assert shown[1, 0].tolist() == [30, 20, 10]
    assert shown.sum() == 60
