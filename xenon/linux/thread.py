"""A guest thread: the loop between a CPU, which runs until it needs something, and the kernel."""

from __future__ import annotations

from xenon.errors import EXIT_TIMEOUT, XenonError
from xenon.hardware.cpu import Cpu, TrapKind
from xenon.linux.faults import fault_of_refusal, fault_of_trap
from xenon.linux.process import Exit, Process, Refusal
from xenon.linux.syscalls import serve
from xenon.linux.terminal import Cancelled
from xenon.linux.uapi import GuestError


class LimitReached(XenonError):
    """The program used up the time or the instructions it was given."""

    exit_code = EXIT_TIMEOUT


def run_thread(process: Process, cpu: Cpu, pc: int) -> int | None:
    """Run guest code from `pc` to the program's end. Returns its exit status, None when the machine was
    stopped.

    Raises GuestFault when the program is at fault, LimitReached at the instruction limit, TaskEnd when the
    thread was only there for a task.
    """
    while not process.cancelled.is_set():
        trap = cpu.run(pc)
        pc = trap.pc
        if trap.kind is TrapKind.SYSTEM_CALL:
            number, arguments = cpu.call_arguments()
            try:
                cpu.answer_call(serve(process, number, arguments))
            except GuestError as error:
                cpu.answer_call(error.error, failed=True)
            except Exit as end:
                return end.status
            except Cancelled:
                return None
            except Refusal as refusal:
                raise fault_of_refusal(process, cpu, trap, refusal) from None
        elif trap.kind is TrapKind.INSTRUCTION_LIMIT:
            raise LimitReached(f"{process.loaded.program.name}: instruction limit reached at PC 0x{pc:x}")
        elif trap.kind is not TrapKind.STOPPED:
            raise fault_of_trap(process, cpu, trap)
    return None
