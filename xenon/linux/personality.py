"""Linux as a personality of the machine: the system-call convention of ppc64, and the threads of a process.

The number of a call is in r0, its arguments are in r3 to r8, its result in r3; the summary overflow bit of
CR0 says that the result is an errno (powerpc's syscall ABI, Documentation/powerpc/syscall64-abi.rst).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from xenon.hardware.cpu import Access, Cpu, Trap, TrapKind
from xenon.hardware.memory_map import WORD_BYTES, physical
from xenon.hardware.special_registers import SpecialRegisters
from xenon.linux.address_space import AddressSpace
from xenon.linux.descriptors import Descriptors
from xenon.linux.faults import fault_of_refusal, fault_of_trap
from xenon.linux.files import Disc
from xenon.linux.loading import load
from xenon.linux.process import Exit, Process, Refusal
from xenon.linux.program import Program
from xenon.linux.signal_frames import RETURN_ADDRESS, come_back, deliver, has_handler
from xenon.linux.syscalls import serve
from xenon.linux.tasks import Task, TaskEnd, Tasks
from xenon.linux.terminal import Cancelled, Clock, Terminal
from xenon.linux.uapi import GuestError, Signal, float_exception
from xenon.linux.waiting import WaitQueues
from xenon.machine import LimitReached, Machine
from xenon.powerpc.system import PRIVILEGED, is_served_to_users, special_register

SERVED = PRIVILEGED
"""What the kernel executes for the program, reads of the time base and of PVR, or refuses."""
_NUMBER = 0
_ARGUMENTS = slice(3, 9)
_RESULT = 3
_SUMMARY_OVERFLOW = 1 << 28  # of CR0

Report = Callable[[int | None, BaseException | None], None]
"""Told how the program ended: with an exit status, with an error, or with neither when it was stopped."""


class Linux:
    """One program on a machine. `report` is called on the host thread of the hardware thread that ends the
    program; `pipes` are descriptors that the program may write to besides its standard streams.

    Raises XenonError for a program that cannot be loaded, OutOfMemoryError when it does not fit.
    """

    def __init__(
        self,
        machine: Machine,
        program: Program,
        arguments: Sequence[bytes],
        environment: dict[bytes, bytes],
        disc: Disc,
        terminal: Terminal,
        clock: Clock,
        report: Report,
        pipes: Iterable[int] = (),
        stack_bytes: int | None = None,
    ) -> None:
        self._machine = machine
        self._report = report
        self._float_traps = 0  # as the CPUs have it
        self._registers = SpecialRegisters(clock.monotonic)
        space = AddressSpace(machine.pages)
        loaded = load(program, space, list(arguments), environment, os.urandom(16), stack_bytes)
        waits = WaitQueues(clock, machine.stopping)
        machine.on_stop.append(waits.stop)
        self.process = Process(
            space,
            disc,
            terminal,
            clock,
            loaded,
            Tasks(len(machine.cpus), waits, self._start_task, lambda: machine.is_compiling),
            waits,
            machine.stopping,
            Descriptors(pipes),
        )

    def start(self, instructions: int | None = None) -> None:
        """Start the program on hardware thread 0, with a limit of instructions for this thread."""
        loaded = self.process.loaded

        def work(cpu: Cpu) -> None:
            if instructions is not None:
                cpu.limit_instructions(instructions)
            # ABI v1 finds its table of contents in r2, v2 computes it from its entry point in r12.
            self._run(cpu, loaded.entry, {1: loaded.stack_pointer, 2: loaded.toc, 12: loaded.entry})

        self._machine.start(0, work)

    def serve(self, cpu: Cpu, trap: Trap) -> int:
        """Serve a system call, or an instruction of SERVED. Raises Exit, TaskEnd, Cancelled, GuestFault,
        LimitReached."""
        if trap.kind is TrapKind.SYSTEM_CALL:
            try:
                result = serve(self.process, trap.gpr[_NUMBER], trap.gpr[_ARGUMENTS])
                cr = trap.cr & ~_SUMMARY_OVERFLOW
            except GuestError as error:
                result, cr = error.error, trap.cr | _SUMMARY_OVERFLOW
            except Refusal as refusal:
                raise fault_of_refusal(self.process, self._number(cpu), cpu, trap, refusal) from None
            except TaskEnd:
                if self._number(cpu) != 0:
                    raise
                no_task = Refusal("the end of a task, called by the thread that the program started on")
                raise fault_of_refusal(self.process, 0, cpu, trap, no_task) from None
            cpu.write_gpr_and_cr(_RESULT, result, cr)
            if self.process.float_traps != self._float_traps:
                return self._trap_float_exceptions(cpu, trap.pc)
            return trap.pc
        if trap.kind is TrapKind.FLOAT_EXCEPTION:
            return self._raise_float_exception(cpu, trap.pc)
        if trap.access is Access.EXECUTE and trap.address == RETURN_ADDRESS and self.process.has_run_handler:
            return self._leave_handler(cpu, trap)
        if trap.kind is TrapKind.PRIVILEGED and is_served_to_users(word := self._word(trap.pc)):
            number = special_register(word)
            cpu.write_gpr(word >> 21 & 31, self._registers.read(number, self._number(cpu)))
            return trap.pc + WORD_BYTES
        if trap.kind is TrapKind.INSTRUCTION_LIMIT:
            name = self.process.loaded.program.name
            raise LimitReached(f"{name}: instruction limit reached at PC 0x{trap.pc:x}")
        raise fault_of_trap(self.process, self._number(cpu), cpu, trap)

    def _trap_float_exceptions(self, cpu: Cpu, pc: int) -> int:
        """A call before `pc` has changed whether enabled exceptions trap; where to go on."""
        self._float_traps = self.process.float_traps
        for each in self._machine.cpus:
            each.trap_float_exceptions(self._float_traps != 0)
        return self._go_on(cpu, pc)

    def _go_on(self, cpu: Cpu, pc: int) -> int:
        """At `pc`, unless an enabled exception is pending."""
        if self._float_traps and cpu.registers().has_enabled_exception:
            return self._raise_float_exception(cpu, pc)
        return pc

    def _raise_float_exception(self, cpu: Cpu, pc: int) -> int:
        """SIGFPE at an instruction: where its handler begins. Raises GuestFault where there is none."""
        if has_handler(self.process, Signal.SIGFPE):
            code = float_exception(cpu.registers().fpscr).code
            with suppress(GuestError):  # of a stack that it does not fit on
                return deliver(self.process, cpu, pc, Signal.SIGFPE, code)
        trap = Trap(TrapKind.FLOAT_EXCEPTION, pc)
        raise fault_of_trap(self.process, self._number(cpu), cpu, trap)

    def _leave_handler(self, cpu: Cpu, trap: Trap) -> int:
        """A handler has returned; where to go on."""
        try:
            return self._go_on(cpu, come_back(self.process, cpu))
        except GuestError:
            raise fault_of_trap(self.process, self._number(cpu), cpu, trap) from None

    def _word(self, address: int) -> int:
        """The instruction that a CPU has executed at an address."""
        return int.from_bytes(self.process.space.memory.read(physical(address), WORD_BYTES), "big")

    def _number(self, cpu: Cpu) -> int:
        """The number of a CPU's hardware thread."""
        return next(number for number, known in enumerate(self._machine.cpus) if known is cpu)

    def _start_task(self, thread: int, task: Task) -> None:
        def work(cpu: Cpu) -> None:
            # ABI v2: a function computes its table of contents from its own address in r12.
            registers = {1: task.stack, 2: task.toc, 3: task.argument, 11: task.environment, 12: task.entry}
            if self._run(cpu, task.entry, registers):
                self.process.tasks.ended(thread)

        self._machine.start(thread, work)

    def _run(self, cpu: Cpu, entry: int, registers: dict[int, int]) -> bool:
        """Run guest code and report how it ended the program; true where it only ended a task."""
        status, error = None, None
        try:
            for number, value in registers.items():
                cpu.write_gpr(number, value)
            self._machine.run(cpu, entry, self)
        except TaskEnd:
            return True
        except Exit as end:
            status = end.status
        except Cancelled:
            pass
        except BaseException as caught:  # reported to the thread that waits for the end
            error = caught
        self._report(status, error)
        return False
