"""A GPU on RAM of its own, driven as a CPU would: registers by offset, packets through the ring."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from xenon.hardware.bus import AccessAgain, DeviceError
from xenon.hardware.gpu import Gpu
from xenon.hardware.gpu.endian import Endian, copy_words, read_word
from xenon.hardware.gpu.packets import Opcode, type_3
from xenon.hardware.gpu.programs import HEADER_WORDS, program_header
from xenon.hardware.gpu.registers import Register
from xenon.hardware.gpu.shader import DRAW_POINTS
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.pages import Pages

RING = 0x0010_0000
RING_QUADWORDS_LOG2 = 9
RING_WORDS = 2 << RING_QUADWORDS_LOG2
PROGRAM_AT = 0x0011_0000
FREE = 0x0020_0000
BIG_ENDIAN = Endian.SWAP_8_IN_32 << 16
LOOP, FETCH, FLOAT = 3, 1, 0


@dataclass
class Driver:
    """Drives a GPU; `failures` is what it told while no CPU was waiting."""

    memory: UnifiedMemory = field(default_factory=UnifiedMemory)
    failures: list[DeviceError] = field(default_factory=list)
    wait_seconds: float = 0.2

    def __post_init__(self) -> None:
        self.pages = Pages(self.memory)
        self.gpu = Gpu(self.pages, self._fail, self.wait_seconds)
        self.position = 0
        self.start()

    def _fail(self, error: DeviceError) -> bool:
        self.failures.append(error)
        return True

    def start(self, base: int = RING, control: int = BIG_ENDIAN | RING_QUADWORDS_LOG2) -> None:
        self.write(Register.CP_RB_BASE, base)
        self.write(Register.CP_RB_CNTL, control | 1 << 31)
        self.position = 0

    def write(self, register: int, value: int) -> None:
        """Write a register as a CPU does."""
        try:
            self.gpu.write(4 * register, value)
        except AccessAgain as again:
            again.at_rest()
            self.write(register, value)

    def read(self, register: int) -> int:
        return self.gpu.read(4 * register)

    def put(self, address: int, words: Sequence[int]) -> None:
        """Big-endian dwords, as a CPU stores them."""
        self.memory.write(address, struct.pack(f">{len(words)}I", *words))

    def word(self, address: int, mode: Endian = Endian.SWAP_8_IN_32) -> int:
        return read_word(self.memory.read(address, 4), mode)

    def submit(self, *words: int) -> None:
        """Put dwords into the ring behind what is there, and start the GPU."""
        for word in words:
            self.put(RING + 4 * self.position, [word])
            self.position = (self.position + 1) % RING_WORDS
        self.write(Register.CP_RB_WPTR, self.position)

    def packet(self, opcode: int, *payload: int) -> None:
        self.submit(type_3(opcode, len(payload)), *payload)

    def store(self, address: int, values: NDArray[np.float32], mode: Endian = Endian.SWAP_8_IN_32) -> None:
        """Floats in memory, in an endian mode."""
        words = np.ascontiguousarray(values, np.float32).view(np.uint32).reshape(-1)
        target = np.empty_like(words)
        copy_words(target, words, mode)
        self.memory.write(address, target.tobytes())

    def load(self, address: int, count: int, mode: Endian = Endian.SWAP_8_IN_32) -> NDArray[np.float32]:
        source = np.frombuffer(self.memory.read(address, 4 * count), np.uint32)
        target = np.empty_like(source)
        copy_words(target, source, mode)
        return target.view(np.float32)

    def fetch(self, address: int, words: int, mode: Endian = Endian.SWAP_8_IN_32) -> tuple[int, int]:
        """The two dwords of a fetch constant."""
        return address | 3, words << 2 | mode

    def load_program(self, name: str) -> None:
        self.memory.write(PROGRAM_AT, program_header(name))
        self.packet(Opcode.IM_LOAD, PROGRAM_AT, HEADER_WORDS)

    def set(self, kind: int, first: int, *values: int) -> None:
        self.packet(Opcode.SET_CONSTANT, kind << 16 | first, *values)

    def set_float(self, index: int, value: float) -> None:
        self.set(FLOAT, 4 * index, *struct.unpack("<I", struct.pack("<f", value)))

    def draw(self, name: str, fetches: Sequence[tuple[int, int]], shapes: Sequence[int]) -> None:
        """Run a program once."""
        self.load_program(name)
        self.set(FETCH, 0, *(word for constant in fetches for word in constant))
        self.set(LOOP, 0, *shapes)
        self.packet(Opcode.DRAW_INDX_2, DRAW_POINTS)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.gpu.stop()


@pytest.fixture(scope="session")
def make_driver() -> type[Driver]:
    """For tests that need a GPU of their own for each example."""
    return Driver
