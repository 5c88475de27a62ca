"""Runs the CPUs of a machine for a debugger: all of them rest, or those run that it lets run.

It stands around whatever personality the machine has, and sees each trap first. It knows no protocol.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from xenon.debugger.breakpoints import Breakpoints
from xenon.debugger.stepping import branch, next_places
from xenon.debugger.watchpoints import Watchpoint, Watchpoints
from xenon.hardware.cpu import Cpu, Protection, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES, WORD_BYTES, physical
from xenon.machine import Machine, Personality

_SYSTEM_CALL = 0x4400_0002
_ASK_AGAIN = 0.005  # seconds between two requests to come to rest: an engine may miss one


class Signal(Enum):
    """Why a thread has stopped, by the numbers of gdb (gdb/signals.def)."""

    NONE = 0
    INTERRUPTED = 2
    ILLEGAL = 4
    TRAP = 5
    ARITHMETIC = 8
    BUS = 10
    SEGMENTATION = 11


_SIGNALS = {
    TrapKind.BAD_ADDRESS: Signal.SEGMENTATION,
    TrapKind.ILLEGAL_INSTRUCTION: Signal.ILLEGAL,
    TrapKind.UNAVAILABLE: Signal.ILLEGAL,
    TrapKind.FOREIGN: Signal.ILLEGAL,
    TrapKind.TRAP_INSTRUCTION: Signal.TRAP,
    TrapKind.FLOAT_EXCEPTION: Signal.ARITHMETIC,
    TrapKind.MISALIGNED: Signal.BUS,
    TrapKind.DEVICE: Signal.BUS,
    TrapKind.EXCEPTION: Signal.ILLEGAL,
}
"""Traps that end a program where no debugger looks on; the personality answers all others."""


class Action(Enum):
    """What a thread is to do."""

    REST = "rest"
    STEP = "step"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Stop:
    """A thread, numbered from 0, has stopped: at a breakpoint, at a watchpoint, or by a signal alone."""

    thread: int
    signal: Signal
    watchpoint: Watchpoint | None = None
    at_breakpoint: bool = False


@dataclass(slots=True)
class _Thread:
    number: int
    cpu: Cpu
    pc: int
    action: Action = Action.REST
    rests: bool = True
    """Whether no guest code runs: at a stop, or in a system call."""
    in_call: bool = False
    pending: Stop | None = None
    """A stop that has not been told, since another one came first."""


@dataclass
class Debugger:
    """A machine's debugger; make it before the machine runs. All threads rest at first.

    `notify` is called from other threads when `take` has something. Everything but `take` and `interrupt`
    is for a time at which all threads rest.
    """

    machine: Machine
    notify: Callable[[], None] = lambda: None
    breakpoints: Breakpoints = field(init=False)
    watchpoints: Watchpoints = field(init=False)

    def __post_init__(self) -> None:
        self.breakpoints = Breakpoints(self.machine.pages)
        self.watchpoints = Watchpoints(self.machine.pages)
        self._threads: dict[int, _Thread] = {}
        self._changed = threading.Condition()
        self._stops: list[Stop] = []
        self._is_free = False
        self._passing = False  # a thread makes an access that is watched
        self.machine.runner = self
        self.machine.on_stop.append(self._wake)
        self.machine.pages.be_pausable()

    # What the machine calls, on the host thread of a hardware thread.

    def run(self, cpu: Cpu, pc: int, personality: Personality) -> None:
        number = next(number for number, known in enumerate(self.machine.cpus) if known is cpu)
        thread = _Thread(number, cpu, pc)
        with self._changed:
            others = [other.action for other in self._threads.values()]
            self._threads[number] = thread
            if self._is_free or Action.RUN in others:  # started by a thread that runs
                thread.action = Action.RUN
            elif not others:
                self._tell(Stop(number, Signal.TRAP))
        try:
            while self._may_go(thread):
                self._go(thread, personality)
        finally:
            with self._changed:
                del self._threads[number]
                thread.rests = True
                self._changed.notify_all()

    def _may_go(self, thread: _Thread) -> bool:
        """Wait until the thread is to run; False when the machine is being stopped."""
        with self._changed:
            thread.rests = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: thread.action is not Action.REST or self.machine.stopping.is_set())
            thread.rests = False
            return not self.machine.stopping.is_set()

    def _go(self, thread: _Thread, personality: Personality) -> None:
        """Run a thread up to its next trap, or for one instruction."""
        stepping = thread.action is Action.STEP
        word = self.fetch(thread.pc) if stepping else None
        targets: tuple[int, ...] = ()
        if word is not None:
            taken = branch(word, thread.pc, thread.cpu.all_registers())
            if taken is not None:
                self._take(thread, *taken)
                return
            targets = () if self._calls(thread) else next_places(word, thread.pc, self.fetch)
        before = thread.pc
        if stepping:
            with self.breakpoints.for_a_step(thread.pc, targets):
                trap = thread.cpu.run(thread.pc)
        else:
            trap = thread.cpu.run(thread.pc)
        thread.pc = trap.pc
        if trap.kind is TrapKind.STOPPED:
            if stepping and trap.pc != before:
                self._stop(Stop(thread.number, Signal.TRAP))
        elif trap.kind is TrapKind.TRAP_INSTRUCTION and trap.pc in targets:
            self._stop(Stop(thread.number, Signal.TRAP, self.watchpoints.changed()))
        elif trap.kind is TrapKind.TRAP_INSTRUCTION and self.breakpoints.holds(trap.pc):
            self._stop(Stop(thread.number, Signal.TRAP, at_breakpoint=True))
        elif trap.kind is TrapKind.BAD_ADDRESS and self.watchpoints.stands_in_the_way(trap):
            self._pass_watchpoint(thread, trap)
        elif trap.kind in _SIGNALS:
            self._stop(Stop(thread.number, _SIGNALS[trap.kind]))
            if self._may_go(thread) and thread.pc == trap.pc:
                self._serve(thread, trap, personality)
        else:
            self._serve(thread, trap, personality)

    def _take(self, thread: _Thread, pc: int, changed: dict[str, int]) -> None:
        for name, value in changed.items():
            thread.cpu.write_register(name, value)
        thread.pc = pc
        self._stop(Stop(thread.number, Signal.TRAP))

    def _serve(self, thread: _Thread, trap: Trap, personality: Personality) -> None:
        with self._changed:
            thread.rests = thread.in_call = True
            self._changed.notify_all()
        try:
            pc = personality.serve(thread.cpu, trap)
        finally:
            with self._changed:
                thread.in_call = False
        thread.pc = pc
        hit = self.watchpoints.changed()
        if hit is not None or thread.action is Action.STEP:
            self._stop(Stop(thread.number, Signal.TRAP, hit))

    def _pass_watchpoint(self, thread: _Thread, trap: Trap) -> None:
        """Make an access to a page that is watched, while all other threads rest, and look what it did."""
        with self._changed:
            thread.rests = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._passing or self.machine.stopping.is_set())
            if thread.action is Action.REST or self.machine.stopping.is_set():
                return  # it makes the access when it goes on
            self._passing, thread.rests = True, False
            moving = [other for other in self._threads.values() if other is not thread and not other.rests]
            actions = [(other, other.action) for other in moving]
            for other in moving:
                other.action = Action.REST
        try:
            hit = self._access(thread, trap)
        finally:
            with self._changed:
                self._passing = False
                if not self._stops:
                    for other, action in actions:
                        other.action = action
                self._changed.notify_all()
        if hit is not None or thread.action is Action.STEP:
            self._stop(Stop(thread.number, Signal.TRAP, hit))

    def _access(self, thread: _Thread, trap: Trap) -> Watchpoint | None:
        """The watchpoint that an access has used or changed, if any; it has been made."""
        self._bring_to_rest(thread)
        hit = self.watchpoints.used_by(trap)
        self.watchpoints.disarm()
        word = self.fetch(trap.pc)
        targets = next_places(word, trap.pc, self.fetch) if word is not None else ()
        after = trap
        try:
            while after.kind is TrapKind.STOPPED or after is trap:
                with self.breakpoints.for_a_step(after.pc, targets):
                    after = thread.cpu.run(after.pc)
                if after.pc in targets:
                    break
        finally:
            self.watchpoints.arm()
        thread.pc = after.pc
        return self.watchpoints.changed() or hit

    def _stop(self, stop: Stop) -> None:
        """A thread has stopped: all are to rest, and the debugger is told."""
        with self._changed:
            thread = self._threads[stop.thread]
            if self._is_free:
                return
            if thread.action is Action.REST:  # another one has stopped first
                thread.pending = stop
                return
            self._tell(stop)

    def _tell(self, stop: Stop) -> None:
        for thread in self._threads.values():
            thread.action = Action.REST
        self._stops.append(stop)
        self._changed.notify_all()
        self.notify()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # What the debugger's side calls.

    def take(self) -> Stop | None:
        """The stop that has happened since the last resume, if any; then all threads rest."""
        with self._changed:
            stop = self._stops.pop(0) if self._stops else None
        if stop is not None:
            self._bring_to_rest()
        return stop

    def interrupt(self) -> None:
        """Let all threads come to rest, which `take` tells."""
        with self._changed:
            goes_on = any(thread.action is not Action.REST for thread in self._threads.values())
            if goes_on and not self._stops:
                self._is_free = False
                self._tell(Stop(min(self._threads), Signal.INTERRUPTED))

    def resume(self, actions: Mapping[int, Action]) -> None:
        """Let threads go on, each as its number says; those that are not named rest."""
        with self._changed:
            for thread in self._threads.values():
                pending, thread.pending = thread.pending, None
                if pending is not None and not pending.at_breakpoint:  # which happens once more
                    self._tell(pending)
                    return
            steps_alone = any(
                actions.get(number) is Action.STEP and not thread.in_call and not self._calls(thread)
                for number, thread in self._threads.items()
            )
            for number, thread in self._threads.items():
                action = actions.get(number, Action.REST)
                thread.action = Action.REST if steps_alone and action is Action.RUN else action
            self._changed.notify_all()

    def detach(self) -> None:
        """Let the program run as if there were no debugger."""
        self.breakpoints.clear()
        self.watchpoints.clear()
        with self._changed:
            self._is_free = True
            self._stops.clear()
            for thread in self._threads.values():
                thread.pending, thread.action = None, Action.RUN
            self._changed.notify_all()

    @property
    def threads(self) -> list[int]:
        """The hardware threads that have something to do."""
        with self._changed:
            return sorted(self._threads)

    def is_in_call(self, number: int) -> bool:
        """Whether a thread is in a system call."""
        with self._changed:
            return number in self._threads and self._threads[number].in_call

    def registers(self, number: int) -> dict[str, int]:
        """All registers of a thread, the program counter as `pc`. Raises KeyError where there is none."""
        thread = self._threads[number]
        return {**thread.cpu.all_registers(), "pc": thread.pc}

    def write_register(self, number: int, name: str, value: int) -> None:
        """Set one of them. Raises KeyError where there is none."""
        if name == "pc":
            self._threads[number].pc = value
        else:
            self._threads[number].cpu.write_register(name, value)

    def read_memory(self, address: int, size: int) -> bytes:
        """What the program has from an address on, as far as it is mapped."""
        data = b""
        while size and self.machine.pages.allows(physical(address), 1):
            part = min(size, PAGE_BYTES - address % PAGE_BYTES)
            data += self.breakpoints.read(physical(address), part)
            address, size = address + part, size - part
        return data

    def write_memory(self, address: int, data: bytes) -> bool:
        """Put bytes into the program's memory; False, and nothing, where that is not mapped."""
        place = physical(address)
        if not self.machine.pages.allows(place, max(len(data), 1)):
            return False
        self.breakpoints.write(place, data)
        self.watchpoints.changed()
        return True

    def fetch(self, address: int) -> int | None:
        """The instruction at an address, whatever breakpoint stands there; None where there is no code."""
        place = physical(address)
        if not self.machine.pages.allows(place, WORD_BYTES, Protection.EXECUTE):
            return None
        return int.from_bytes(self.breakpoints.read(place, WORD_BYTES), "big")

    def _calls(self, thread: _Thread) -> bool:
        """Whether a thread is at a system call, which may wait for other threads."""
        return self.fetch(thread.pc) == _SYSTEM_CALL

    def _bring_to_rest(self, but: _Thread | None = None) -> None:
        """Wait until no guest code runs any more, but on one thread."""
        with self._changed:
            while moving := [
                thread for thread in self._threads.values() if thread is not but and not thread.rests
            ]:
                for thread in moving:
                    thread.cpu.stop()
                self._changed.wait(_ASK_AGAIN)
