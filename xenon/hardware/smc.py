"""The system management controller: power, ring of light, clock, temperatures (libxenon xenon_smc.c).

It talks in messages of 16 bytes, four words in memory order. A status word is little-endian.

    +0x80  data to the controller      +0x84  its status: 0x04000000 ready; written 4 before, 0 behind
    +0x90  data from the controller    +0x94  its status: 0x04000000 an answer waits; written 4, then 0

    04            clock: bytes 1 to 5 are milliseconds since 2001-11-15 00:32:48 UTC, little-endian
    07            four temperatures, 8.8 fixed point, little-endian
    0f            AV pack
    82 01         power off
    82 04 30 00   restart
    88 n          fan
    99 o l        ring of light: l has green in the high four bits, red in the low ones
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Callable

from xenon.hardware.bus import DeviceError

SEND_DATA, SEND_STATUS, RECEIVE_DATA, RECEIVE_STATUS = 0x80, 0x84, 0x90, 0x94
READY = 0x0400_0000
CLOCK_START = 1_005_782_400
"""The Unix second that the clock counts from."""
_REGISTERS = (SEND_DATA, SEND_STATUS, RECEIVE_DATA, RECEIVE_STATUS)
_WORDS = 4
_CLOCK, _TEMPERATURES, _AV_PACK, _POWER, _FAN, _LIGHTS = 0x04, 0x07, 0x0F, 0x82, 0x88, 0x99
_POWER_OFF, _RESTART = 0x01, 0x04
_HDMI = 0x1F
_DEGREES = (50, 48, 52, 40)  # CPU, GPU, memory, board: those of a console that has been on for a while
_MOST_ANSWERS = 64


class Smc:
    """The controller. `unix_seconds` is the time of day; `power_off` is called when the program switches the
    console off or restarts it; what the ring of light shows is in `lights`."""

    def __init__(self, unix_seconds: Callable[[], float], power_off: Callable[[], None]) -> None:
        self.lights: int | None = None
        """Green in the high four bits, red in the low ones; None before the program has set them."""
        self._unix_seconds = unix_seconds
        self._power_off = power_off
        self._message: list[int] | None = None  # words so far; None: none has begun
        self._answers: deque[tuple[int, ...]] = deque(maxlen=_MOST_ANSWERS)
        self._answer: list[int] = []  # the words that are still to be read
        self._lock = threading.Lock()

    def serves(self, offset: int) -> bool:
        """Whether there is a register of the controller at an offset."""
        return offset in _REGISTERS

    def read(self, offset: int) -> int:
        with self._lock:
            if offset == SEND_STATUS:
                return READY
            if offset == RECEIVE_STATUS:
                return READY if self._answers else 0
            if offset == RECEIVE_DATA and self._answer:
                return self._answer.pop(0)
            return 0

    def write(self, offset: int, value: int) -> None:
        """Raises DeviceError for a message that the controller of this console does not know."""
        with self._lock:
            if offset == SEND_STATUS:
                message, self._message = self._message, [] if value == READY else None
                if value == 0 and message is not None:
                    self._serve(message)
            elif offset == SEND_DATA:
                if self._message is None:
                    raise DeviceError(
                        "SMC", "data without the start of a message", "write 0x04000000 to +0x84"
                    )
                self._message.append(value)
            elif offset == RECEIVE_STATUS:
                self._answer = list(self._answers.popleft()) if value == READY and self._answers else []

    def _serve(self, words: list[int]) -> None:
        if len(words) != _WORDS:
            raise DeviceError("SMC", f"a message of {len(words)} words, expected {_WORDS}")
        message = struct.pack(f">{_WORDS}I", *words)
        command, first = message[:2]
        if command == _POWER and first in (_POWER_OFF, _RESTART):
            self._power_off()
        elif command == _LIGHTS:
            self.lights = message[2]
        elif command == _CLOCK:
            milliseconds = max(0, int((self._unix_seconds() - CLOCK_START) * 1000))
            self._reply(bytes([_CLOCK]) + milliseconds.to_bytes(8, "little")[:5])
        elif command == _TEMPERATURES:
            self._reply(bytes([_TEMPERATURES]) + struct.pack("<4H", *(degrees << 8 for degrees in _DEGREES)))
        elif command == _AV_PACK:
            self._reply(bytes([_AV_PACK, _HDMI]))
        elif command != _FAN:
            raise DeviceError(
                "SMC", f"message {message.hex(' ')}", "there is no model of this message in the console"
            )

    def _reply(self, answer: bytes) -> None:
        self._answers.append(struct.unpack(f">{_WORDS}I", answer.ljust(4 * _WORDS, b"\0")))
