"""What each PM4 packet does (xenia command_processor.cc, ExecutePacketType0 and ExecutePacketType3_*)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xenon.hardware.gpu.cache import ReadCache
from xenon.hardware.gpu.command_buffer import REGISTER_WRITE, Handler, words_of
from xenon.hardware.gpu.endian import Endian, read_word, word_bytes
from xenon.hardware.gpu.errors import PacketError
from xenon.hardware.gpu.packets import (
    CONDITION_MASK,
    CONDITIONS,
    EQUAL,
    INVALIDATING_EVENTS,
    NEVER,
    NOT_SIMULATED,
    POLL_MEMORY,
    WRITE_MEMORY,
    Opcode,
)
from xenon.hardware.gpu.registers import (
    BOOL_CONSTANTS,
    COHER_STATUS_BUSY,
    CONTEXT_REGISTERS,
    CPU_ONLY,
    FETCH_CONSTANTS,
    FLOAT_CONSTANTS,
    INT_STATUS_INTERRUPT_PACKET,
    LOOP_CONSTANTS,
    REGISTER_COUNT,
    SCRATCH_COUNT,
    Register,
    register_name,
)
from xenon.hardware.gpu.shader import Shader
from xenon.hardware.memory_map import RAM_BYTES, WORD_BYTES

_MASK = 0xFFFF_FFFF
_CONSTANT_GROUPS = (FLOAT_CONSTANTS, FETCH_CONSTANTS, BOOL_CONSTANTS, LOOP_CONSTANTS, CONTEXT_REGISTERS)
_LENGTH_MASK = 0xF_FFFF  # of an indirect buffer, in dwords
_COUNT_MASK = 0xFFF  # of LOAD_ALU_CONSTANT
_EVENT_MASK = 0x3F
_WRITE_COUNTER = 1 << 31  # EVENT_WRITE_SHD: the count of draws in place of the value


class Waiting(Exception):
    """A WAIT_REG_MEM does not hold yet."""


class Handlers:
    """Carries out packets. Raises PacketError for a payload of the wrong length and for a register or an
    address that does not exist."""

    def __init__(self, registers: list[int], cache: ReadCache, call: Callable[[int, int], None]) -> None:
        self._registers = registers
        self._cache = cache
        self._call = call
        self._pages = cache.pages
        self._shader = Shader(registers, cache)
        self._mode = int(Endian.SWAP_8_IN_32)
        self.on_interrupt: Callable[[int], None] | None = None
        """Told of each INTERRUPT packet with its mask of hardware threads."""
        self._table: dict[int, Handler] = {
            REGISTER_WRITE: self._write_registers,
            Opcode.NOP: self._nothing,
            Opcode.WAIT_FOR_IDLE: self._nothing,
            Opcode.INVALIDATE_STATE: self._nothing,
            Opcode.ME_INIT: self._nothing,
            Opcode.REG_RMW: self._reg_rmw,
            Opcode.IM_LOAD: self._im_load,
            Opcode.LOAD_ALU_CONSTANT: self._load_alu_constant,
            Opcode.DRAW_INDX_2: self._draw,
            Opcode.INDIRECT_BUFFER: self._indirect_buffer,
            Opcode.INDIRECT_BUFFER_PFD: self._indirect_buffer,
            Opcode.WAIT_REG_MEM: self._wait_reg_mem,
            Opcode.MEM_WRITE: self._mem_write,
            Opcode.REG_TO_MEM: self._reg_to_mem,
            Opcode.COND_WRITE: self._cond_write,
            Opcode.EVENT_WRITE: self._event_write,
            Opcode.EVENT_WRITE_SHD: self._event_write_shd,
            Opcode.INTERRUPT: self._interrupt,
        }

    @property
    def mode(self) -> int:
        """Endian mode of the command stream under way."""
        return self._mode

    def begin_stream(self, mode: int) -> None:
        """The packets that follow come from memory in this endian mode."""
        self._mode = mode

    def prepare(self, opcode: int, payload: Sequence[int]) -> Handler:
        """What runs a packet with this opcode and payload. Raises PacketError."""
        if opcode == Opcode.SET_CONSTANT:
            return self._prepare_set_constant(payload)
        if opcode in self._table:
            return self._table[opcode]
        raise PacketError("is not simulated" if opcode in NOT_SIMULATED else "unknown opcode")

    def write_register(self, index: int, value: int) -> None:
        """Set a register and do what that starts. Raises PacketError."""
        self._registers[index] = value
        if Register.SCRATCH_REG0 <= index <= Register.SCRATCH_REG7:
            self._mirror_scratch(index - Register.SCRATCH_REG0, value)
        elif index == Register.COHER_STATUS_HOST and value & COHER_STATUS_BUSY:
            base, size = (self._registers[r] for r in (Register.COHER_BASE_HOST, Register.COHER_SIZE_HOST))
            if base < RAM_BYTES:
                self._cache.invalidate(base, size)
            self._registers[index] = value & ~COHER_STATUS_BUSY
        elif index == Register.CP_INT_ACK:
            self._registers[Register.CP_INT_STATUS] &= ~value

    def write_memory(self, target: int, values: Sequence[int]) -> None:
        """Write dwords to memory; the endian mode is in the address. Raises PacketError outside of RAM."""
        address = self._address(target & ~3, len(values))
        self._cache.store_bytes(address, b"".join(word_bytes(value, target & 3) for value in values))

    def _nothing(self, _: Sequence[int]) -> bool:
        return False

    def _write_registers(self, payload: Sequence[int]) -> bool:
        index, step, *values = payload
        for value in values:
            self._set(index, value)
            index += step
        return self._pages.has_stale_code

    def _set(self, index: int, value: int) -> None:
        """A register as packets write it."""
        self._check_register(index)
        if index in CPU_ONLY:
            raise PacketError(f"{register_name(index)} is the CPU's to write")
        self.write_register(index, value)

    def _reg_rmw(self, payload: Sequence[int]) -> bool:
        info, and_value, or_value = _exactly(payload, 3)
        index = info & 0x1FFF
        if info >> 31:
            and_value = self._register(and_value & 0x1FFF)
        if info >> 30 & 1:
            or_value = self._register(or_value & 0x1FFF)
        self._set(index, self._register(index) & and_value | or_value)
        return self._pages.has_stale_code

    def _im_load(self, payload: Sequence[int]) -> bool:
        source, extent = _exactly(payload, 2)
        if source & 3:
            raise PacketError(f"program of stage {source & 3}, only stage 0 (vertex) is simulated")
        size = extent & 0xFFFF
        start = self._address(source, max(size, 1))
        self._shader.load(bytes(self._cache.memory.view[start : start + size * WORD_BYTES]))
        return False

    def _prepare_set_constant(self, payload: Sequence[int]) -> Handler:
        """Packets that set constants are most of a command buffer: those without side effects are one
        slice."""
        first = self._first_constant(payload[0], len(payload) - 1)
        values = payload[1:]
        if first >= FLOAT_CONSTANTS:
            place = slice(first, first + len(values))
            return lambda _: self._registers.__setitem__(place, values)
        return lambda _: self._write_registers((first, 1, *values))

    def _load_alu_constant(self, payload: Sequence[int]) -> bool:
        source, target, count = _exactly(payload, 3)
        count &= _COUNT_MASK
        start = self._address(source & ~3, max(count, 1))
        values = words_of(self._cache.memory.view[start : start + count * WORD_BYTES], self._mode)
        self._prepare_set_constant((target, *values))(())
        return False

    def _draw(self, payload: Sequence[int]) -> bool:
        self._registers[Register.VGT_DRAW_INITIATOR] = payload[0]
        self._shader.draw(payload[0])
        return self._pages.has_stale_code

    def _indirect_buffer(self, payload: Sequence[int]) -> bool:
        address, size = _exactly(payload, 2)
        if size & _LENGTH_MASK == 0:
            return False
        self._call(address, size & _LENGTH_MASK)
        return True

    def _wait_reg_mem(self, payload: Sequence[int]) -> bool:
        info, source, reference, mask, _interval = _exactly(payload, 5)
        condition = info & CONDITION_MASK
        if condition == NEVER or (condition == EQUAL and reference & ~mask):
            raise PacketError("waits for what can never come true")
        if not CONDITIONS[condition](self._polled(info, source) & mask, reference):
            raise Waiting
        return False

    def _mem_write(self, payload: Sequence[int]) -> bool:
        self.write_memory(payload[0], payload[1:])
        return self._pages.has_stale_code

    def _reg_to_mem(self, payload: Sequence[int]) -> bool:
        index, target = _exactly(payload, 2)
        self.write_memory(target, (self._register(index),))
        return self._pages.has_stale_code

    def _cond_write(self, payload: Sequence[int]) -> bool:
        info, source, reference, mask, target, value = _exactly(payload, 6)
        if CONDITIONS[info & CONDITION_MASK](self._polled(info, source) & mask, reference):
            if info & WRITE_MEMORY:
                self.write_memory(target, (value,))
            else:
                self._set(target, value)
        return self._pages.has_stale_code

    def _event_write(self, payload: Sequence[int]) -> bool:
        self._registers[Register.VGT_EVENT_INITIATOR] = event = payload[0] & _EVENT_MASK
        if event in INVALIDATING_EVENTS:
            self._cache.invalidate()
        return False

    def _event_write_shd(self, payload: Sequence[int]) -> bool:
        initiator, target, value = _exactly(payload, 3)
        self._event_write((initiator,))
        self.write_memory(target, (self._shader.draws & _MASK if initiator & _WRITE_COUNTER else value,))
        return self._pages.has_stale_code

    def _interrupt(self, payload: Sequence[int]) -> bool:
        if self._registers[Register.CP_INT_CNTL] & INT_STATUS_INTERRUPT_PACKET:
            self._registers[Register.CP_INT_STATUS] |= INT_STATUS_INTERRUPT_PACKET
        if self.on_interrupt is not None:
            self.on_interrupt(payload[0] & 0x3F)
        return False

    def _mirror_scratch(self, number: int, value: int) -> None:
        """Copies of scratch registers in memory are big-endian."""
        if number < SCRATCH_COUNT and self._registers[Register.SCRATCH_UMSK] >> number & 1:
            place = (self._registers[Register.SCRATCH_ADDR] & ~3) + number * WORD_BYTES
            self.write_memory(place | Endian.SWAP_8_IN_32, (value,))

    def _polled(self, info: int, source: int) -> int:
        """The value of a condition: a register, or a word of memory read past the cache."""
        if not info & POLL_MEMORY:
            return self._register(source)
        address = self._address(source & ~3, 1)
        return read_word(self._cache.memory.view[address : address + WORD_BYTES], source & 3)

    def _first_constant(self, target: int, count: int) -> int:
        """The register where a packet's constants begin. Raises PacketError where they go past the last
        one."""
        group, offset = target >> 16 & 0xFF, target & 0x7FF
        if group >= len(_CONSTANT_GROUPS):
            raise PacketError(f"constants of kind {group}, expected 0 to {len(_CONSTANT_GROUPS) - 1}")
        first = _CONSTANT_GROUPS[group] + offset
        self._check_register(first + max(count, 1) - 1)
        return first

    def _register(self, index: int) -> int:
        self._check_register(index)
        return self._registers[index]

    def _check_register(self, index: int) -> None:
        if index >= REGISTER_COUNT:
            raise PacketError(f"register 0x{index:04x} does not exist")

    def _address(self, address: int, words: int) -> int:
        """A physical address of so many dwords. Raises PacketError outside of RAM."""
        if address + words * WORD_BYTES > RAM_BYTES:
            raise PacketError(f"0x{address:08x}: {words} dwords from here leave RAM")
        return address


def _exactly(payload: Sequence[int], count: int) -> Sequence[int]:
    if len(payload) != count:
        raise PacketError(f"{len(payload)} dwords, expected {count}")
    return payload
