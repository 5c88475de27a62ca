"""The shader core: the program that is loaded, and draws, each of which is one execution of it."""

from __future__ import annotations

from xenon.hardware.gpu.cache import ReadCache
from xenon.hardware.gpu.errors import PacketError
from xenon.hardware.gpu.operands import Binder
from xenon.hardware.gpu.programs import HEADER_WORDS, SHAPES, Run, ShaderProgram, program_named
from xenon.hardware.gpu.registers import FETCH_CONSTANTS, LOOP_CONSTANTS

_POINT_LIST = 1
_AUTO_INDEX = 2
_MOST_BOUND = 16_384

DRAW_POINTS = _POINT_LIST | _AUTO_INDEX << 6 | 1 << 16
"""The draw initiator that runs a program: one auto-indexed point."""


class Shader:
    """Runs the loaded program on the current constants. A program that was run before with the same shapes
    and fetch constants is found ready."""

    def __init__(self, registers: list[int], cache: ReadCache) -> None:
        self._registers = registers
        self._cache = cache
        self._program: ShaderProgram | None = None
        self._named: dict[bytes, ShaderProgram] = {}
        self._bound: dict[tuple[object, ...], Run] = {}
        self.draws = 0
        """Executions so far, what EVENT_WRITE_SHD can write in place of a value."""

    def load(self, header: bytes) -> None:
        """Make the program that this header names the current one. Raises PacketError."""
        if len(header) != HEADER_WORDS * 4:
            raise PacketError(f"program of {len(header) // 4} dwords, a program header has {HEADER_WORDS}")
        if header not in self._named:
            self._named[header] = program_named(header)
        self._program = self._named[header]

    def draw(self, initiator: int) -> None:
        """Run the current program once. Raises PacketError."""
        program, registers = self._program, self._registers
        if initiator & 0xFF != _POINT_LIST | _AUTO_INDEX << 6:
            raise PacketError(f"draw initiator 0x{initiator:08x}: only auto-indexed points are simulated")
        if program is None:
            raise PacketError("no program is loaded")
        fetches = registers[FETCH_CONSTANTS : FETCH_CONSTANTS + 2 * program.fetches]
        shapes = registers[LOOP_CONSTANTS : LOOP_CONSTANTS + SHAPES]
        key = program.name, *fetches, *shapes
        try:
            run = self._bound.get(key)
            if run is None:
                binder = Binder(registers, self._cache)
                run = program.bind(binder)
                binder.check_modes()
                if len(self._bound) >= _MOST_BOUND:
                    self._bound.clear()
                self._bound[key] = run
            run(registers)
        except PacketError as error:
            raise PacketError(f"program {program.name}: {error}") from None
        self.draws += 1
