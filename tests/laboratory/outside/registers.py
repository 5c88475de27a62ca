"""The bus: accesses of every size at every address, in the windows of devices and around them."""

from __future__ import annotations

import random
from pathlib import Path

from laboratory.outside.mutations import edge
from xenon.hardware.bus import AccessAgain, Bus, DeviceError
from xenon.hardware.gpu import GPU_REGISTERS, Gpu
from xenon.hardware.gpu.registers import Register
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.pages import Pages

MEMORY_BYTES = 700 << 20
"""What a trial may take at most: all of RAM, and some more."""

ACCESSES = 500
_SIZES = (4, 4, 4, 4, 1, 2, 8, 16, 3, 0, 128)
_REGISTERS = tuple(Register)


def trial(rng: random.Random, _folder: Path) -> int:
    """A GPU on a bus, and five hundred accesses."""
    bus = Bus()
    gpu = Gpu(Pages(UnifiedMemory()), lambda error: True, 0.002)
    bus.attach(GPU_REGISTERS, gpu)
    for _ in range(ACCESSES):
        address, size = _address(rng), rng.choice(_SIZES)
        try:
            if rng.random() < 0.5:
                value = bus.read(address, size)
                assert 0 <= value < 1 << 32, f"0x{address:x} gave {value}"
            else:
                bus.write(address, size, edge(rng, rng.choice((4, 4, 8))))
        except DeviceError as error:
            assert error.what
        except AccessAgain as again:
            again.at_rest()
    gpu.stop()
    return ACCESSES


def _address(rng: random.Random) -> int:
    window = GPU_REGISTERS
    match rng.randrange(6):
        case 0:
            return edge(rng, 8)
        case 1:
            return rng.choice((window.start, window.end)) + rng.randrange(-9, 10)
        case 2:
            return window.start + rng.randrange(window.size)
        case 3:
            return window.start + 4 * rng.randrange(window.size // 4)
        case _:
            return window.start + 4 * rng.choice(_REGISTERS)
