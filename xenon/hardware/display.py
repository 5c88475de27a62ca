"""The display controller's registers, as XeLL leaves them (libxenon xenos.c, console.c). They are only read.

Big-endian words; offsets from the page 0x200_ec806000 of the GPU's registers.

    +0x100  D1GRPH_ENABLE                    1
    +0x104  D1GRPH_CONTROL                   2: 32 bits a pixel
    +0x110  D1GRPH_PRIMARY_SURFACE_ADDRESS   physical address of the framebuffer
    +0x120  D1GRPH_PITCH                     pixels from one row to the next
    +0x134  D1GRPH_X_END                     width
    +0x138  D1GRPH_Y_END                     height
    +0x144  D1GRPH_UPDATE                    update lock, 0
    +0x584  D1MODE_VIEWPORT_SIZE             width << 16 | height
"""

from __future__ import annotations

from dataclasses import dataclass

from xenon.hardware.bus import DeviceError
from xenon.hardware.memory_map import PAGE_BYTES, SYSTEM, Range, align_up

DISPLAY_REGISTERS = Range("display registers", 0x200_EC80_6000, PAGE_BYTES)
TILE = 32
"""Pixels: width and height of a tile; the framebuffer has whole tiles."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What is shown: `width` x `height` pixels from a framebuffer at a physical address."""

    width: int = 1280
    height: int = 720
    address: int = SYSTEM.start

    @property
    def pitch(self) -> int:
        """Pixels from one row of the framebuffer to the next."""
        return align_up(self.width, TILE)

    @property
    def rows(self) -> int:
        """Rows of the framebuffer."""
        return align_up(self.height, TILE)


SCREENS = {
    f"{width}x{height}": Screen(width, height)
    for width, height in (
        (640, 480), (640, 576), (1024, 768), (1280, 720), (1280, 768), (1280, 1024), (1376, 768), (1440, 900),
    )
}  # fmt: skip
"""The sizes that XeLL sets, by name."""


class Display:
    """The registers of one screen (see bus.py)."""

    def __init__(self, screen: Screen) -> None:
        self._registers = {
            0x100: 1,
            0x104: 2,
            0x110: screen.address,
            0x120: screen.pitch,
            0x134: screen.width,
            0x138: screen.height,
            0x144: 0,
            0x584: screen.width << 16 | screen.height,
        }

    def read(self, offset: int) -> int:
        if offset not in self._registers:
            raise self._error("read", offset, "a program finds the framebuffer at +0x110, +0x134 and +0x138")
        return self._registers[offset]

    def write(self, offset: int, value: int) -> None:
        raise self._error("write", offset, "XeLL has set the video mode; this console has no other")

    def stop(self) -> None:
        """Nothing here runs by itself."""

    @staticmethod
    def _error(access: str, offset: int, hint: str) -> DeviceError:
        address = DISPLAY_REGISTERS.start + offset
        return DeviceError("display", f"{access} at 0x{address:x}: no model of this", hint)
