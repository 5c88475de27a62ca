"""Code that changes while the machine runs: each CPU executes what was written last."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Iterator, Sequence

import pytest
from support import sample
from systems import RECOMPILER, need

from xenon.console import CpuKind
from xenon.hardware.cpu import Protection, Trap, TrapKind
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.pages import PageOwner, Pages
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.instruments import Instruments
from xenon.linux.address_space import AddressSpace
from xenon.recompiler.attachment import CompiledCode
from xenon.recompiler.outcome import Tier
from xenon.recompiler.recompiler import Recompiler

STUB, CODE, DATA, VIEW = 0x10000, 0x40000, 0x30000, 0x8000_0000
ANY = Protection.READ | Protection.WRITE | Protection.EXECUTE
SC, BLR, NOP = 0x44000002, 0x4E800020, 0x60000000
FLUSH = (0x7C00606C, 0x7C0004AC, 0x7C0067AC, 0x4C00012C)  # dcbst 0,r12; sync; icbi 0,r12; isync
CALL = (0x7D8903A6, 0x4E800421)  # mtctr r12; bctrl
STW_R5_R10 = 0x90AA0000


def li_r3(value: int) -> int:
    return 0x3860_0000 | value


class Machine:
    """CPUs over one table of pages; a stub of instructions that call what r12 points to."""

    def __init__(self, kind: CpuKind, threads: int = 1) -> None:
        self.memory = UnifiedMemory()
        self.pages = Pages(self.memory)
        self.recompiler: Recompiler | None = None
        self.cpus: Sequence[UnicornCpu]
        if kind is CpuKind.UNICORN:
            flags = [ctypes.c_uint32() if threads > 1 else None for _ in range(threads)]
            self.cpus = [UnicornCpu(self.pages, resting=flag) for flag in flags]
        else:
            need(RECOMPILER)
            self.recompiler = Recompiler(self.pages)
            self.cpus = [UnicornCpu(self.pages) for _ in range(threads)]
            for cpu in self.cpus:
                CompiledCode(cpu, self.recompiler)
        self.pages.map(STUB, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
        self.pages.map(DATA, PAGE_BYTES, Protection.READ | Protection.WRITE)
        self.pages.map(CODE, 4 * PAGE_BYTES, ANY)

    def put(self, address: int, *words: int) -> None:
        self.memory.write(address, struct.pack(f">{len(words)}I", *words))
        self.pages.written(address, 4 * len(words))

    def compile(self, address: int) -> Tier | None:
        """Compile a function if this machine does that at all."""
        return None if self.recompiler is None else self.recompiler.compile(address).tier

    def run(self, *words: int, cpu: int = 0, pc: int = STUB, **registers: int) -> Trap:
        if words:
            self.put(pc, *words, SC)
        for name, value in registers.items():
            self.cpus[cpu].write_gpr(int(name[1:]), value)
        return self.cpus[cpu].run(pc)

    def call(self, address: int, cpu: int = 0) -> int:
        """What the function at an address leaves in r3."""
        trap = self.run(*CALL, cpu=cpu, r12=address)
        assert trap.kind is TrapKind.SYSTEM_CALL, trap
        return self.cpus[cpu].read_gpr(3)


@pytest.fixture(params=CpuKind, ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> CpuKind:
    """What is compiled is a few instructions, and tests that it is given up in time: quick code does."""
    if request.param is CpuKind.RECOMPILER:
        request.getfixturevalue("quick_code")
    return CpuKind(request.param)


@pytest.fixture
def machine(kind: CpuKind) -> Machine:
    return Machine(kind)


@pytest.mark.parametrize("address", [CODE, VIEW | CODE], ids=["in place", "through a view"])
@pytest.mark.parametrize("compiled_stores", [False, True])
def test_a_function_that_is_rewritten_a_hundred_times(
    machine: Machine, address: int, compiled_stores: bool
) -> None:
    store = STUB + 0x100
    machine.put(CODE + 4, BLR)
    machine.put(store, STW_R5_R10, BLR)
    if compiled_stores:
        assert machine.compile(store) in (Tier.COMPILED, None)
    for value in range(100):
        words = (0x7D6903A6, 0x4E800421, *FLUSH, *CALL)  # mtctr r11; bctrl; …
        trap = machine.run(*words, r5=li_r3(value), r10=address, r11=store, r12=CODE)
        assert trap.kind is TrapKind.SYSTEM_CALL
        assert machine.cpus[0].read_gpr(3) == value
        if value % 10 == 5:
            assert machine.compile(CODE) in (Tier.COMPILED, None)
            assert machine.call(CODE) == value
            assert machine.compile(store) in (Tier.COMPILED, None)


STORES = {
    "stb": ((0x98AA0003,), {"r5": 2}),
    "sth": ((0xB0AA0002,), {"r5": 2}),
    "stw": ((0x90AA0000,), {"r5": li_r3(2)}),
    "stwu": ((0x94AA0000,), {"r5": li_r3(2)}),
    "std": ((0xF8AA0000,), {"r5": li_r3(2) << 32 | BLR}),
    "stwbrx": ((0x7CA0552C,), {"r5": 0x02006038}),
    "stmw": ((0xBFAA0000,), {"r29": li_r3(2), "r30": BLR, "r31": NOP}),
    "stwcx": ((0x7CE05028, 0x7CA0512D), {"r5": li_r3(2)}),
    "stfd": ((0xC82B0000, 0xD82A0000), {}),  # lfd f1,0(r11); stfd f1,0(r10)
    "stvx": ((0x7C4058CE, 0x7C4051CE), {}),  # lvx v2,0,r11; stvx v2,0,r10
    "stvewx": ((0x7C4058CE, 0x7C40518E), {}),
}


@pytest.mark.parametrize("view", [0, VIEW], ids=["in place", "through a view"])
@pytest.mark.parametrize("name", sample(STORES, len(STORES) // 2))
def test_every_store_to_executed_code_counts(machine: Machine, name: str, view: int) -> None:
    words, registers = STORES[name]
    machine.put(DATA, li_r3(2), BLR, NOP, NOP)
    for _ in range(2):
        machine.put(CODE, li_r3(1), BLR, NOP, NOP)
        assert machine.compile(CODE) in (Tier.COMPILED, None)
        assert machine.call(CODE) == 1
        # r6 counts the instructions around the store: each is executed once.
        trap = machine.run(0x38C60001, *words, 0x38C60001, r6=0, r10=CODE | view, r11=DATA, **registers)
        assert (trap.kind, machine.cpus[0].read_gpr(6)) == (TrapKind.SYSTEM_CALL, 2)
        assert machine.cpus[0].read_gpr(10) == CODE | view
        assert machine.memory.read(CODE, 8) == struct.pack(">2I", li_r3(2), BLR)
        assert machine.call(CODE) == 2


def test_clearing_a_cache_line_of_executed_code(machine: Machine) -> None:
    machine.put(CODE, li_r3(1), BLR)
    machine.compile(CODE)
    assert machine.call(CODE) == 1
    assert machine.run(0x7C0057EC, r10=CODE).kind is TrapKind.SYSTEM_CALL  # dcbz 0,r10
    assert machine.run(*CALL, r12=CODE).kind is TrapKind.ILLEGAL_INSTRUCTION


def test_a_store_over_the_border_of_two_pages_of_code(machine: Machine) -> None:
    border = CODE + PAGE_BYTES
    for _ in range(3):
        machine.put(border - 4, li_r3(1), BLR, li_r3(7), BLR)
        for function in (border - 4, border + 8 - 4):
            machine.compile(function)
        assert machine.call(border - 4) == 1
        machine.run(0xF8AA0000, r5=li_r3(2) << 32 | NOP, r10=border - 4)  # std: falls into the second page
        assert machine.call(border - 4) == 7


def test_code_beside_its_data_does_not_crawl(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    stores: list[int] = []
    guest_stored = Pages.guest_stored

    def counted(pages: Pages, owner: PageOwner, address: int) -> None:
        stores.append(address)
        guest_stored(pages, owner, address)

    monkeypatch.setattr(Pages, "guest_stored", counted)
    # r10 points into the page of the loop: lwz r3,0(r10); addi r3,r3,1; stw r3,0(r10); bdnz; blr
    machine.put(CODE, 0x806A0000, 0x38630001, 0x906A0000, 0x4200FFF4, BLR)
    machine.put(CODE + 0x800, 0)
    machine.put(STUB, 0x7CE903A6, 0x7D8803A6, BLR)  # mtctr r7; mtlr r12; blr
    machine.put(STUB + 0x100, SC)
    words = (0x7D8803A6, 0x7CE903A6, 0x48000000 | (CODE - STUB - 8))  # mtlr r12; mtctr r7; b CODE
    machine.put(STUB, *words)
    for rounds in (1, 2):
        trap = machine.run(r7=10_000, r10=CODE + 0x800, r12=STUB + 0x100)
        assert trap.kind is TrapKind.SYSTEM_CALL
        assert machine.cpus[0].read_gpr(3) == 10_000 * rounds
        assert machine.compile(CODE) in (Tier.COMPILED, None)
    assert len(stores) <= 4


def test_code_in_a_view_that_rewrites_itself(machine: Machine) -> None:
    # stw r5,12(r12); three nops' place: the fourth word is replaced before it is executed; isync between
    here = VIEW | CODE
    for value in range(5):
        machine.put(CODE, 0x90AC0010, *(0x7C0004AC, 0x4C00012C, NOP), li_r3(99), BLR)
        machine.run(*CALL, r12=here, r5=li_r3(value))
        assert machine.cpus[0].read_gpr(3) == value
        assert machine.call(CODE) == value


def test_a_trampoline_on_the_stack(machine: Machine) -> None:
    # The function writes a trampoline below its frame, calls it, and goes on to use its frame in that page.
    body = (
        0x7C0802A6, 0xF8010010, 0xF821FF81,  # mflr r0; std r0,16(r1); stdu r1,-128(r1)
        0x90A10040, 0x90C10044,  # stw r5,64(r1); stw r6,68(r1)
        0x39810040, *FLUSH, *CALL,  # addi r12,r1,64; …
        0x38630001, 0x38210080, 0xE8010010, 0x7C0803A6, BLR,  # addi r3,r3,1; addi r1,r1,128; ld r0; mtlr r0
    )  # fmt: skip
    machine.put(STUB + 0x200, *body)
    machine.compile(STUB + 0x200)
    stack = CODE + 3 * PAGE_BYTES - 256
    for value in range(100):
        machine.run(*CALL, r12=STUB + 0x200, r1=stack, r5=li_r3(value), r6=BLR)
        assert machine.cpus[0].read_gpr(3) == value + 1
        assert machine.cpus[0].read_gpr(1) == stack


def test_another_hardware_thread_rewrites_code(kind: CpuKind) -> None:
    machine = Machine(kind, threads=2)
    machine.put(CODE, li_r3(1), BLR)
    # mtctr r12; bctrl; cmpwi r3,2; bne to the start; sc
    machine.put(STUB + 0x100, *CALL, 0x2C030002, 0x4082FFF4, SC)
    assert machine.compile(CODE) in (Tier.COMPILED, None)
    assert machine.compile(STUB + 0x100) in (Tier.COMPILED, None)
    traps: list[Trap] = []
    machine.cpus[1].write_gpr(12, CODE)
    thread = threading.Thread(target=lambda: traps.append(machine.cpus[1].run(STUB + 0x100)))
    thread.start()
    try:
        threading.Event().wait(0.1)
        for value in (3, 4, 2):
            assert machine.call(CODE) in (1, 3, 4)
            machine.run(STW_R5_R10, *FLUSH, r5=li_r3(value), r10=CODE, r12=CODE)
            assert machine.call(CODE) == value
        thread.join(20)
        assert [trap.kind for trap in traps] == [TrapKind.SYSTEM_CALL]
    finally:
        machine.cpus[1].stop()
        thread.join(5)


def test_a_system_call_writes_over_several_pages_of_code(machine: Machine) -> None:
    space = AddressSpace(machine.pages)
    places = [CODE + number * PAGE_BYTES + 0x80 for number in range(4)]
    for value in (1, 2, 3):
        page = struct.pack(">2I", li_r3(value), BLR).rjust(0x88, b"\0").ljust(PAGE_BYTES, b"\0")
        space.write(CODE, page * 4)
        for place in places:
            assert machine.call(place) == value
            assert machine.compile(place) in (Tier.COMPILED, None)
            assert machine.call(place) == value


def test_code_is_rewritten_between_rights_to_write_and_to_execute(machine: Machine) -> None:
    for value in range(40):
        machine.pages.protect(CODE, 2 * PAGE_BYTES, Protection.READ | Protection.WRITE)
        trap = machine.run(STW_R5_R10, 0x916A0004, r5=li_r3(value), r10=CODE, r11=BLR)
        assert trap.kind is TrapKind.SYSTEM_CALL
        machine.pages.protect(CODE, 2 * PAGE_BYTES, Protection.READ | Protection.EXECUTE)
        assert machine.compile(CODE) in (Tier.COMPILED, None)
        assert machine.call(CODE) == value
    assert machine.run(STW_R5_R10, r10=CODE).kind is TrapKind.BAD_ADDRESS


@pytest.mark.parametrize("word", [0xBFAA0000, 0x7C0057EC], ids=["stmw", "dcbz"])
@pytest.mark.parametrize("view", [0, VIEW], ids=["in place", "through a view"])
def test_no_store_writes_a_page_without_that_right(machine: Machine, word: int, view: int) -> None:
    machine.pages.protect(CODE, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    machine.pages.map(CODE + 0x10000, PAGE_BYTES, Protection.READ)
    for address in (CODE, CODE + 0x10000):
        machine.memory.write(address, b"\xee" * 256)
        trap = machine.run(NOP, word, NOP, r10=address + 128 | view)
        assert (trap.kind, trap.pc, trap.address) == (TrapKind.BAD_ADDRESS, STUB + 4, address + 128 | view)
        assert machine.memory.read(address, 256) == b"\xee" * 256


class ChangesMeanwhile:
    """A compiler's process that is so slow that the program changes the code first."""

    is_stopped = False

    def __init__(self, machine: Machine, change: bool) -> None:
        self._machine = machine
        self._change = change

    def compile(self, text: str, optimised: bool = False) -> bytes:
        from xenon.recompiler.codegen import compile_text

        code = compile_text(text, optimised)
        if self._change:
            self._change = False
            self._machine.run(STW_R5_R10, *FLUSH, r5=li_r3(2), r10=CODE, r12=CODE)
        return code


def test_code_that_changes_while_it_is_compiled_is_not_published() -> None:
    machine = Machine(CpuKind.RECOMPILER)
    recompiler = machine.recompiler
    assert recompiler is not None
    machine.put(CODE, li_r3(1), BLR)
    assert machine.call(CODE) == 1
    recompiler.worker = ChangesMeanwhile(machine, True)  # type: ignore[assignment]
    outcome = recompiler.compile(CODE)
    assert outcome.tier is Tier.UNICORN
    assert "changed" in outcome.reason
    assert not recompiler.dispatch.serves(CODE)
    assert machine.call(CODE) == 2
    assert recompiler.compile(CODE).tier is Tier.COMPILED
    assert recompiler.dispatch.serves(CODE)
    assert machine.call(CODE) == 2


def test_a_function_that_is_rewritten_again_and_again_is_left_to_unicorn() -> None:
    machine = Machine(CpuKind.RECOMPILER)
    machine.put(CODE + 4, BLR)
    tiers = []
    for value in range(40):
        machine.run(STW_R5_R10, *FLUSH, r5=li_r3(value), r10=CODE, r12=CODE)
        tiers.append(machine.compile(CODE))
        assert machine.call(CODE) == value
    assert tiers[0] is Tier.COMPILED
    assert tiers[-1] is Tier.UNICORN


def test_without_its_hook_a_cpu_enters_no_compiled_code_and_may_be_paused() -> None:
    machine = Machine(CpuKind.RECOMPILER)
    machine.put(CODE, li_r3(7), BLR)
    assert machine.compile(CODE) is Tier.COMPILED
    assert machine.recompiler is not None
    (code,) = machine.recompiler.attached[:1]
    for is_hooked in (True, False, True):
        if is_hooked:
            code.hook_again()
        else:
            code.unhook()
        assert code.cpu.pause.has_hook is not is_hooked
        before = code.hand_overs
        assert machine.call(CODE) == 7
        assert (code.hand_overs > before) is is_hooked


def test_functions_at_any_distance_are_compiled_and_entered() -> None:
    machine = Machine(CpuKind.RECOMPILER)
    assert machine.recompiler is not None
    # first: mflr r0; bl second; mtlr r0; addi r3,r3,1; blr
    first = CODE + 0x100
    for distance in (0x10000, 0x40000, 0x80000, 0x100000, 0x1000000):
        second = first + distance
        machine.pages.map(second & -PAGE_BYTES, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
        machine.put(second, li_r3(7), BLR)
        machine.put(first, 0x7C0802A6, 0x48000001 | distance - 4, 0x7C0803A6, 0x38630001, BLR)
        machine.recompiler.compile_all([first])
        assert machine.recompiler.outcomes[(second,)].tier is Tier.COMPILED
        assert machine.recompiler.dispatch.serves(first)
        assert machine.recompiler.dispatch.serves(second)
        for function, value in ((first, 8), (second, 7)):
            (code,) = machine.recompiler.attached
            before = code.hand_overs
            assert machine.call(function) == value
            assert code.hand_overs == before + 1


@pytest.fixture
def instruments() -> Iterator[Instruments]:
    yield Instruments()


def test_an_access_that_is_made_again_is_counted_once(instruments: Instruments) -> None:
    memory = UnifiedMemory()
    pages = Pages(memory)
    cpu = UnicornCpu(pages, instruments=instruments)
    pages.map(STUB, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    pages.map(CODE, PAGE_BYTES, ANY)
    memory.write(CODE, struct.pack(">2I", li_r3(1), BLR))
    words = (*CALL, NOP, STW_R5_R10, NOP, *CALL, SC)
    memory.write(STUB, struct.pack(f">{len(words)}I", *words))
    for register, value in ((5, li_r3(2)), (10, CODE), (12, CODE)):
        cpu.write_gpr(register, value)
    assert cpu.run(STUB).kind is TrapKind.SYSTEM_CALL
    assert cpu.read_gpr(3) == 2
    sums = list(instruments.tables(STUB, STUB + 4 * len(words))[0])
    assert [sum(sums[: index + 1]) for index in range(len(words))] == [1] * len(words)


def test_an_access_that_is_made_again_is_limited_once() -> None:
    machine = Machine(CpuKind.UNICORN)
    machine.put(CODE, li_r3(1), BLR)
    assert machine.call(CODE) == 1
    machine.put(STUB, NOP, STW_R5_R10, NOP, SC)
    machine.cpus[0].limit_instructions(4)
    assert machine.run(r5=li_r3(2), r10=CODE).kind is TrapKind.SYSTEM_CALL
