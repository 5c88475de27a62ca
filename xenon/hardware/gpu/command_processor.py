"""The command processor: reads PM4 packets from the ring buffer and indirect buffers, and carries them out.

It runs at once, on the host thread of the CPU that wrote the write pointer, and is done when that store is;
only a WAIT_REG_MEM that does not hold yet makes it go on later, on a thread of its own. A packet that writes
to code is the last one until all CPUs have dropped what they made from that code: no CPU sees a later fence
and executes older code. The CPU that wrote the write pointer drops it, at rest, and writes the pointer again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from xenon.hardware.bus import AccessAgain, DeviceError
from xenon.hardware.gpu.cache import ReadCache
from xenon.hardware.gpu.command_buffer import CommandBuffer, Step, decode, words_of
from xenon.hardware.gpu.errors import PacketError
from xenon.hardware.gpu.handlers import Handlers, Waiting
from xenon.hardware.gpu.packets import packet_name
from xenon.hardware.gpu.registers import (
    ME_CNTL_HALT,
    RB_CNTL_NO_UPDATE,
    RB_CNTL_SIZE_MASK,
    RB_CNTL_SWAP_SHIFT,
    RBBM_STATUS_BUSY,
    Register,
    register_name,
)
from xenon.hardware.memory_map import CACHE_LINE_BYTES, MIB, RAM_BYTES, WORD_BYTES, in_units

UNIT = "GPU command processor"
MOST_RING_BYTES = 4 * MIB
MOST_NESTED = 2
"""Levels of indirect buffers: the hardware has registers for two (freedreno a2xx.xml: CP_IB1, CP_IB2)."""
_WAIT_STEP = 0.0005  # seconds between two looks at the condition
_FAIL_STEP = 0.01
_MOST_KEPT_WORDS = 1 << 20  # of indirect buffers in their decoded form


class CommandProcessor:
    """Consumes the ring. `fail` is told of an error that comes up while no CPU waits for an answer, until it
    returns true. `wait_seconds` is how long a WAIT_REG_MEM may wait."""

    def __init__(
        self,
        registers: list[int],
        cache: ReadCache,
        fail: Callable[[DeviceError], bool],
        wait_seconds: float,
    ) -> None:
        self._registers = registers
        self.cache = cache
        self._fail = fail
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._stack: list[CommandBuffer] = []
        self._ring_end = 0  # the read pointer when the stack is empty again
        self._waiting: Step | None = None
        self._has_thread = False
        self._failed = False
        self.stopped = False
        """Set to make the processor give up soon."""
        self.handlers = Handlers(registers, cache, self._call)
        # Indirect buffers in decoded form, by start, end and endian mode: their bytes then, and the packets.
        self._kept: dict[tuple[int, int, int], tuple[bytes, list[Step]]] = {}
        self._kept_words = 0

    def write_register(self, index: int, value: int) -> None:
        """Set a register for a CPU and do what that starts. Raises DeviceError."""
        try:
            self.handlers.write_register(index, value)
        except PacketError as error:
            raise DeviceError(UNIT, f"{register_name(index)}: {error}") from None

    def kick(self) -> None:
        """The write pointer or the halt bit has changed: run what there is to run.

        Raises DeviceError, and AccessAgain when the rest is for a thread that has yet to be started.
        """
        with self._lock:
            if self._waiting is None and not self._failed:
                self._run()
                if self._waiting is not None and not self._has_thread:
                    self._has_thread = True
                    raise AccessAgain(self._go_on_alone)

    def _go_on_alone(self) -> None:
        """Wait on a thread of its own. It may have to pause CPUs."""
        self.cache.pages.be_pausable()
        threading.Thread(target=self._wait, name="GPU", daemon=True).start()

    def reset_pointers(self) -> None:
        """Forget what was under way."""
        with self._lock:
            self._stack.clear()
            self._waiting = None
            self._registers[Register.CP_RB_RPTR] = self._registers[Register.CP_RB_WPTR] = 0

    def _run(self) -> None:
        """Until the ring is empty, the processor is halted or has to wait, also for code to be dropped."""
        registers, pages = self._registers, self.cache.pages
        try:
            with np.errstate(all="ignore"):
                while not (
                    self.stopped or pages.has_stale_code or registers[Register.CP_ME_CNTL] & ME_CNTL_HALT
                ):
                    if self._stack:
                        self._run_stack()
                        if self._stack:
                            break
                        registers[Register.CP_RB_RPTR] = self._ring_end
                        self._write_back()
                    if registers[Register.CP_RB_RPTR] == registers[Register.CP_RB_WPTR]:
                        break
                    self._read_ring()
        except DeviceError:
            self._failed = True
            raise
        busy = RBBM_STATUS_BUSY if self._stack else 0
        registers[Register.RBBM_STATUS] = registers[Register.RBBM_STATUS] & ~RBBM_STATUS_BUSY | busy

    def _run_stack(self) -> None:
        """Go on with the innermost buffer until all are done, a packet waits or has written to code."""
        stack, pages = self._stack, self.cache.pages
        step: Step | None = None
        try:
            if self._waiting is not None:
                step, self._waiting = self._waiting, None
                step.handler(step.payload)
            while stack and not self.stopped and not pages.has_stale_code:
                for step in stack[-1].steps:
                    if step.handler(step.payload):
                        break
                    if self.stopped:
                        return
                else:
                    stack.pop()
        except Waiting:
            self._waiting = step
        except PacketError as error:
            assert step is not None
            raise DeviceError(UNIT, f"{_packet(step)}: {error}") from None

    def _read_ring(self) -> None:
        """Take what lies between the read and the write pointer."""
        registers = self._registers
        base, size = self._ring()
        read, write = registers[Register.CP_RB_RPTR], registers[Register.CP_RB_WPTR]
        for register in (Register.CP_RB_WPTR, Register.CP_RB_RPTR):
            if registers[register] >= size:
                raise DeviceError(
                    UNIT,
                    f"{register.name} 0x{registers[register]:08x} is outside of the ring buffer of {size} "
                    f"dwords at 0x{base:08x}",
                )
        mode = registers[Register.CP_RB_CNTL] >> RB_CNTL_SWAP_SHIFT & 3
        self.handlers.begin_stream(mode)
        ring = self.cache.memory.view[base : base + size * WORD_BYTES]
        if write > read:
            words = words_of(ring[read * WORD_BYTES : write * WORD_BYTES], mode)
        else:
            words = words_of(ring[read * WORD_BYTES :], mode) + words_of(ring[: write * WORD_BYTES], mode)

        def address_of(index: int) -> int:
            return base + (read + index) % size * WORD_BYTES

        steps = decode(words, address_of, self.handlers.prepare, "the write pointer")
        self._ring_end = write
        self._stack.append(CommandBuffer(base, base + size * WORD_BYTES, iter(steps)))

    def _ring(self) -> tuple[int, int]:
        """(base, dwords) of the ring buffer. Raises DeviceError when it cannot be one."""
        base, control = (self._registers[r] for r in (Register.CP_RB_BASE, Register.CP_RB_CNTL))
        log2_quadwords = control & RB_CNTL_SIZE_MASK
        end = base + (8 << log2_quadwords)
        where = f"ring buffer at 0x{base:08x}"
        if base % CACHE_LINE_BYTES:
            raise DeviceError(UNIT, f"{where}: not a multiple of {CACHE_LINE_BYTES}")
        if end - base > MOST_RING_BYTES:
            most = in_units(MOST_RING_BYTES)
            raise DeviceError(UNIT, f"{where}: 2^{log2_quadwords} quadwords, expected at most {most}")
        if end > RAM_BYTES:
            raise DeviceError(UNIT, f"{where} to 0x{end:08x} leaves RAM")
        return base, (end - base) // WORD_BYTES

    def _call(self, address: int, count: int) -> None:
        """INDIRECT_BUFFER: step into a buffer of `count` dwords. Raises PacketError."""
        end = address + count * WORD_BYTES
        if address % WORD_BYTES:
            raise PacketError(f"indirect buffer at 0x{address:08x}: not a multiple of {WORD_BYTES}")
        if end > RAM_BYTES:
            raise PacketError(f"indirect buffer at 0x{address:08x} to 0x{end:08x} leaves RAM")
        for outer in self._stack[1:]:
            if address < outer.end and outer.start < end:
                raise PacketError(f"the indirect buffer at 0x{outer.start:08x} calls itself")
        if len(self._stack) > MOST_NESTED:
            raise PacketError(f"indirect buffers more than {MOST_NESTED} deep")
        self._stack.append(CommandBuffer(address, end, iter(self._steps(address, end))))

    def _steps(self, address: int, end: int) -> list[Step]:
        """The packets of an indirect buffer, decoded again only when its bytes have changed."""
        key = address, end, self.handlers.mode
        data = bytes(self.cache.memory.view[address:end])
        kept = self._kept.get(key)
        if kept is not None and kept[0] == data:
            return kept[1]
        if self._kept_words + len(data) // WORD_BYTES > _MOST_KEPT_WORDS:
            self._kept.clear()
            self._kept_words = 0
        words = words_of(data, self.handlers.mode)
        steps = decode(
            words,
            lambda index: address + index * WORD_BYTES,
            self.handlers.prepare,
            "the end of the indirect buffer",
        )
        self._kept[key] = data, steps
        self._kept_words += len(words)
        return steps

    def _write_back(self) -> None:
        """Tell the program in memory how far the ring has been read, if it wants to know."""
        registers = self._registers
        target = registers[Register.CP_RB_RPTR_ADDR]
        if registers[Register.CP_RB_CNTL] & RB_CNTL_NO_UPDATE or not target:
            return
        try:
            self.handlers.write_memory(target, (registers[Register.CP_RB_RPTR],))
        except PacketError as error:
            raise DeviceError(UNIT, f"CP_RB_RPTR_ADDR: {error}") from None

    def _wait(self) -> None:
        """On a thread of its own: go on when the condition holds, until all is done or it takes too long."""
        pages = self.cache.pages
        waiting, deadline = None, 0.0
        try:
            while not self.stopped:
                pages.drop_stale_code()  # without the lock, for which a CPU that has to rest may wait
                with self._lock:
                    if self._waiting is not waiting:
                        waiting, deadline = self._waiting, time.monotonic() + self._wait_seconds
                    if waiting is not None and time.monotonic() > deadline:
                        self._give_up(waiting)
                    if not self._failed:
                        self._run()
                    if self._failed or (self._waiting is None and not pages.has_stale_code):
                        self._has_thread = False
                        return
                if self._waiting is not None:
                    time.sleep(_WAIT_STEP)
        except Exception as error:  # nobody else looks after this thread
            failure = error if isinstance(error, DeviceError) else DeviceError(UNIT, f"{error!r}")
            while not self.stopped and not self._fail(failure):
                time.sleep(_FAIL_STEP)

    def _give_up(self, waiting: Step) -> None:
        self._failed = True
        raise DeviceError(
            UNIT,
            f"{_packet(waiting)}: has not come true in {self._wait_seconds:g} s",
            "a CPU or an earlier packet must write what it waits for",
        )


def _packet(step: Step) -> str:
    """A packet as messages name it."""
    return f"packet 0x{step.header:08x} at 0x{step.address:08x}: {packet_name(step.header)}"
