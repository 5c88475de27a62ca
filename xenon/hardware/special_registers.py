"""Special registers of the console's CPU that a program without an operating system reads.

Values as XeLL leaves them (libxenon startup_from_xell.S; CBE Public Registers 1.5).

    22    DEC     no model        268  TB      time base, read     318   LPCR   0x2: real mode as RMI says
    136   CTRL    read            269  TBU     its high half       1008  HID0   0
    152   CTRL    write: 0 puts   287  PVR     0x00710800          1009  HID1   0x9c30104000000000
                  the thread      312  RMOR    0                   1012  HID4   0x00003f0000000000
                  to sleep        313  HRMOR   0                   1017  HID6   0x0001803800000000
                                                                   1023  PIR    number of the thread
"""

from __future__ import annotations

import time
from collections.abc import Callable

from xenon.hardware.bus import DeviceError

TIME_BASE_HERTZ = 49_875_000  # 3.192 GHz / 64; the device tree says 50 MHz
PROCESSOR_VERSION = 0x0071_0800  # of a Slim

_CTRL_READ, _CTRL_WRITE, _TB, _TBU, _PIR = 136, 152, 268, 269, 1023
_CONSTANT = {
    _CTRL_READ: 1,
    287: PROCESSOR_VERSION,
    312: 0,
    313: 0,
    318: 0x2,
    1008: 0,
    1009: 0x9C30_1040_0000_0000 | 1 << 63 - 4 | 1 << 63 - 5 | 1 << 63 - 25,
    1012: 0x0000_3F00_0000_0000,
    1017: 0x0001_8038_0000_0000,
}
_NAMES = {
    18: "DSISR", 19: "DAR", 22: "DEC", 25: "SDR1", 26: "SRR0", 27: "SRR1", 136: "CTRL", 152: "CTRL",
    268: "TB", 269: "TBU", 284: "TBL", 285: "TBU", 286: "TB", 287: "PVR", 304: "HSPRG0", 305: "HSPRG1",
    310: "HDEC", 312: "RMOR", 313: "HRMOR", 314: "HSRR0", 315: "HSRR1", 318: "LPCR",
    946: "PPE_TLB_Index_Hint", 947: "PPE_TLB_Index", 948: "PPE_TLB_VPN", 949: "PPE_TLB_RPN",
    1008: "HID0", 1009: "HID1", 1012: "HID4", 1013: "DABR", 1017: "HID6", 1023: "PIR",
}  # fmt: skip


class ThreadSleeps(Exception):
    """The hardware thread has put itself to sleep for good."""


class SpecialRegisters:
    """What all hardware threads read there. `nanoseconds` is a clock that never goes back."""

    def __init__(self, nanoseconds: Callable[[], int] = time.monotonic_ns) -> None:
        self._nanoseconds = nanoseconds
        self._start = nanoseconds()

    def read(self, number: int, thread: int) -> int:
        """A register, for a hardware thread. Raises DeviceError for one without a model."""
        if number in (_TB, _TBU):
            ticks = (self._nanoseconds() - self._start) * TIME_BASE_HERTZ // 1_000_000_000
            return ticks if number == _TB else ticks >> 32
        if number == _PIR:
            return thread
        if number in _CONSTANT:
            return _CONSTANT[number]
        raise DeviceError(
            "CPU", f"read of the special register {special_register_name(number)}: it has no model"
        )

    def write(self, number: int, value: int) -> None:
        """Set a register: to what it holds, or CTRL to 0. Raises DeviceError and ThreadSleeps."""
        if number == _CTRL_WRITE and value == 0:
            raise ThreadSleeps
        if _CONSTANT.get(number) != value:
            register = special_register_name(number)
            raise DeviceError(
                "CPU",
                f"write of 0x{value:x} to the special register {register}: it has no model",
                "XeLL has set the processor up: leave its registers as they are",
            )


def special_register_name(number: int) -> str:
    """A special register's name and number, for messages."""
    return f"{_NAMES[number]} ({number})" if number in _NAMES else str(number)
