"""The page of the southbridge's registers that holds the UART and the SMC; its other devices have no model.

+0x010 to +0x01f   UART (uart.py)
+0x080 to +0x097   SMC (smc.py)
"""

from __future__ import annotations

from xenon.hardware.bus import DeviceError
from xenon.hardware.memory_map import PAGE_BYTES, Range
from xenon.hardware.smc import Smc
from xenon.hardware.uart import Uart

SOUTHBRIDGE_REGISTERS = Range("southbridge registers", 0x200_EA00_1000, PAGE_BYTES)


class Southbridge:
    """Routes the page to its two devices (see bus.py)."""

    def __init__(self, uart: Uart, smc: Smc) -> None:
        self._uart, self._smc = uart, smc

    def read(self, offset: int) -> int:
        return self._device(offset, "read").read(offset)

    def write(self, offset: int, value: int) -> None:
        self._device(offset, "write").write(offset, value)

    def stop(self) -> None:
        """Nothing here runs by itself."""

    def _device(self, offset: int, access: str) -> Uart | Smc:
        if self._uart.serves(offset):
            return self._uart
        if self._smc.serves(offset):
            return self._smc
        address = SOUTHBRIDGE_REGISTERS.start + offset
        raise DeviceError(
            "southbridge",
            f"{access} at 0x{address:x}: no model of this register",
            "UART and SMC are modelled",
        )
