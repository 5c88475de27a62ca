"""PM4 rings: packets with hostile payloads, damaged rings, and the registers that start them."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from guards import behind, page_table

from laboratory.outside.mutations import damaged, edge
from xenon.hardware.bus import AccessAgain, DeviceError
from xenon.hardware.cpu import Protection
from xenon.hardware.gpu import Gpu
from xenon.hardware.gpu.packets import NOT_SIMULATED, Opcode, type_0, type_3
from xenon.hardware.gpu.programs import HEADER_WORDS, PROGRAMS, program_header
from xenon.hardware.gpu.registers import REGISTER_COUNT, Register
from xenon.hardware.gpu.shader import DRAW_POINTS
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.pages import Pages
from xenon.recompiler.recompiler import Recompiler

MEMORY_BYTES = 1200 << 20
"""What a trial may take at most: all of RAM, and the operands of a draw on the host."""

RINGS = 4
_RING, _PROGRAM, _FREE = 0x10_0000, 0x11_0000, 0x20_0000
_RING_LOG2 = 9
_BIG_ENDIAN = 2 << 16
_WAIT_SECONDS = 0.002
_MOST_RESTS = 8
_NAMES = sorted(PROGRAMS)
_OPCODES = tuple(Opcode)
_LENGTHS = {
    Opcode.REG_RMW: 3, Opcode.IM_LOAD: 2, Opcode.LOAD_ALU_CONSTANT: 3, Opcode.DRAW_INDX_2: 1,
    Opcode.INDIRECT_BUFFER: 2, Opcode.INDIRECT_BUFFER_PFD: 2, Opcode.WAIT_REG_MEM: 5, Opcode.REG_TO_MEM: 2,
    Opcode.COND_WRITE: 6, Opcode.EVENT_WRITE_SHD: 3,
}  # fmt: skip


def trial(rng: random.Random, _folder: Path) -> int:
    """Four rings, each for a GPU of its own, over the same RAM."""
    memory = UnifiedMemory()
    memory.write(_FREE, rng.randbytes(4096))
    pages = Pages(memory)
    Recompiler(pages)  # keeps a table of what pages allow behind RAM; hears of code that is overwritten
    pages.map(_FREE, 16 * PAGE_BYTES, Protection.READ | Protection.WRITE | Protection.EXECUTE)
    table = page_table(pages)
    for _ in range(RINGS):
        _run(rng, pages)
        assert behind(memory) == table, "bytes behind RAM have changed"
    return RINGS


def _run(rng: random.Random, pages: Pages) -> None:
    memory = pages.memory
    gpu = Gpu(pages, lambda error: True, _WAIT_SECONDS)
    data = b"".join(struct.pack(f">{len(words)}I", *words) for words in _packets(rng))
    if rng.random() < 0.3:
        data = damaged(rng, data, len(data))
    for index, name in enumerate(_NAMES):
        memory.write(_PROGRAM + 64 * index, program_header(name))
    if rng.random() < 0.5:
        words = _packet(rng, 8)
        memory.write(_FREE, struct.pack(f">{len(words)}I", *words))
    data = data[: (8 << _RING_LOG2) - 4]
    memory.write(_RING, data)
    control = _BIG_ENDIAN | _RING_LOG2 if rng.random() < 0.9 else edge(rng, 4)
    setup = [
        (Register.CP_RB_BASE, _RING if rng.random() < 0.9 else edge(rng, 4)),
        (Register.CP_RB_CNTL, control | 1 << 31),
        *((rng.randrange(0x4000), edge(rng, 4)) for _ in range(rng.randrange(4))),
        (Register.CP_RB_WPTR, len(data) // 4 if rng.random() < 0.9 else edge(rng, 4)),
    ]
    try:
        for register, value in setup:
            _write(gpu, 4 * register, value)
    except DeviceError as error:
        assert error.what
    finally:
        gpu.stop()


def _write(gpu: Gpu, offset: int, value: int) -> None:
    """Write a register as a CPU does: once more after it has rested."""
    for _ in range(_MOST_RESTS):
        try:
            return gpu.write(offset, value)
        except AccessAgain as again:
            again.at_rest()
    raise AssertionError(f"after {_MOST_RESTS} rests the GPU wants the CPU to rest")


def _packets(rng: random.Random) -> Iterator[list[int]]:
    """Up to six packets, or draws with what they need."""
    for _ in range(rng.randrange(1, 7)):
        yield _draw(rng) if rng.random() < 0.4 else _packet(rng)


def _packet(rng: random.Random, most: int = 64) -> list[int]:
    kind = rng.random()
    if kind < 0.15:
        count = rng.randrange(1, most)
        register = rng.choice((rng.randrange(REGISTER_COUNT), rng.randrange(0x8000)))
        return [type_0(register, count, rng.random() < 0.5), *(_word(rng) for _ in range(count))]
    if kind < 0.25:
        opcode: int = rng.choice((*NOT_SIMULATED, rng.randrange(128)))
        count = rng.randrange(1, 9)
    else:
        opcode = rng.choice(_OPCODES)
        count = _LENGTHS.get(Opcode(opcode), rng.randrange(1, 9))
        count = rng.randrange(1, 9) if rng.random() < 0.1 else count
    return [type_3(opcode, count), *(_word(rng) for _ in range(count))]


def _draw(rng: random.Random) -> list[int]:
    """Shapes and fetch constants that a program may accept, few of them hostile, and the draw."""
    hostile = rng.random() < 0.5
    shapes = [rng.choice((1, 2, 2, 4, 4, 8)) for _ in range(8)]
    if hostile:
        shapes[rng.randrange(8)] = rng.choice((0, 64, 4096, 1 << 16, edge(rng, 4)))
    fetches: list[int] = []
    for _ in range(9):
        wild = rng.random() < 0.1 and hostile
        address = rng.choice((RAM_BYTES - 4, edge(rng, 4))) if wild else _FREE + 4096 * rng.randrange(8)
        words = (
            rng.choice((0, 1, edge(rng, 4)))
            if rng.random() < 0.1 and hostile
            else rng.choice((4096, 1 << 20))
        )
        fetches += [address & ~3 | 3, words << 2 & 0xFFFF_FFFC | rng.choice((2, 2, 2, 2, 2, 2, 0, 1, 3))]
    numbers = [rng.choice((0, 0, 1, edge(rng, 4) if hostile else 0)) for _ in range(2)]
    program = _PROGRAM + 64 * rng.randrange(len(_NAMES))
    load = [type_3(Opcode.IM_LOAD, 2), program, HEADER_WORDS]
    floats = [rng.choice((0x3F800000, 0x3F800000, rng.getrandbits(32))) for _ in range(8)]
    constants = [*_set(0, 0, floats), *_set(1, 0, fetches), *_set(3, 0, shapes), *_set(3, 30, numbers)]
    return [*constants, *load, type_3(Opcode.DRAW_INDX_2, 1), DRAW_POINTS]


def _set(group: int, first: int, values: Sequence[int]) -> list[int]:
    return [type_3(Opcode.SET_CONSTANT, len(values) + 1), group << 16 | first, *values]


def _word(rng: random.Random) -> int:
    """A register, an address, a number near a limit, or noise."""
    match rng.randrange(5):
        case 0:
            return int(rng.choice((*Register, rng.randrange(REGISTER_COUNT + 2))))
        case 1:
            place: int = rng.choice((_FREE, _FREE, _RING, RAM_BYTES, RAM_BYTES - 4, 0))
            return place + rng.choice((0, 0, 1, 2, 3, 4, 4096))
        case 2:
            return rng.randrange(32)
        case 3:
            return edge(rng, 4)
        case _:
            return rng.getrandbits(32)
