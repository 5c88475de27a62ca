"""The serial port of the southbridge (libxenon xenon_uart.c; xell-reloaded lv1/main.c).

The device is little-endian: to the CPU its numbers look swapped.

    +0x10  receive    a character that came, in the top byte
    +0x14  transmit   a character to send, in the top byte
    +0x18  status     0x01000000: a character is there; 0x02000000: one may be sent
    +0x1c  config     speed and format; XeLL has set 115200 8N1, 0xe6010000
"""

from __future__ import annotations

from collections.abc import Callable

from xenon.hardware.bus import DeviceError

RECEIVE, TRANSMIT, STATUS, CONFIG = 0x10, 0x14, 0x18, 0x1C
MAY_SEND = 0x0200_0000
SPEED_115200 = 0xE601_0000
_REGISTERS = {RECEIVE: "receive", TRANSMIT: "transmit", STATUS: "status", CONFIG: "config"}


class Uart:
    """The port with nobody typing at the other end. `send` gets each byte that the program transmits."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def serves(self, offset: int) -> bool:
        """Whether there is a register of this port at an offset."""
        return offset in _REGISTERS

    def read(self, offset: int) -> int:
        if offset == STATUS:
            return MAY_SEND
        if offset == CONFIG:
            return SPEED_115200
        return 0

    def write(self, offset: int, value: int) -> None:
        """Raises DeviceError for all but a character and the speed that is set already."""
        if offset == TRANSMIT:
            self._send(bytes([value >> 24]))
        elif offset != CONFIG or value != SPEED_115200:
            raise DeviceError(
                "UART",
                f"write of 0x{value:08x} to the register {_REGISTERS[offset]}",
                "XeLL has set 115200 8N1 already; only +0x14 is there to be written",
            )
