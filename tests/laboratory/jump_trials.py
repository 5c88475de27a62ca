"""Random programs of jumps: loops around switches, through tables in memory, with calls by pointers, some to
functions that have switches of their own or go on to others. Programs change pointers and tables as they
run. Each is run by Unicorn and compiled in several ways; registers and memory must agree."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

from laboratory.trial_machine import TrialMachine
from xenon.hardware.cpu import Protection, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.linux.layout import PROGRAM
from xenon.powerpc.functions import Function, Functions
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.outcome import Tier

_CODE, _DATA = PROGRAM.start, PROGRAM.start + 0x10000
_CODE_BYTES = 2 * PAGE_BYTES
_CALLED = _CODE + PAGE_BYTES
_ROOM = 512  # bytes of code for each function that is called
_POINTERS, _TABLES, _RESULTS = _DATA, _DATA + 0x100, _DATA + 0x1000
_TABLE_ROOM = 64  # bytes of each table
_BLR, _BCTR, _BCTRL, _SC = 0x4E80_0020, 0x4E80_0420, 0x4E80_0421, 0x4400_0002
_HELD = range(3, 9)  # registers that programs compute in
_STATE, _ROUNDS = 29, 30
_TO_DATA = 9  # the first of registers that addresses are made in, up to 12
_POINTER_COUNT = 4


def _d(opcode: int, target: int, a: int, value: int) -> int:
    return opcode << 26 | target << 21 | a << 16 | value & 0xFFFF


def _x(target: int, a: int, b: int, extended: int) -> int:
    return 31 << 26 | target << 21 | a << 16 | b << 11 | extended << 1


def _addi(target: int, a: int, value: int) -> int:
    return _d(14, target, a, value)


def _to_ctr(register: int) -> int:
    return 0x7C09_03A6 | register << 21


def _address(register: int, value: int) -> list[int]:
    """lis, ori"""
    return [_d(15, register, 0, value >> 16), _d(24, register, register, value)]


def _shifted_left(target: int, source: int, by: int) -> int:
    return 30 << 26 | source << 21 | target << 16 | by << 11 | 63 - by << 6 | 1 << 2  # sldi


@dataclass(frozen=True, slots=True)
class JumpTrial:
    """Code and data of a program, its functions, and what its registers are to begin with."""

    code: bytes
    data: bytes
    functions: tuple[int, ...]  # addresses, the one that begins first
    registers: tuple[int, ...]  # of _HELD, then the state
    rounds: int


class _Writer:
    """Writes one function, and its tables into the data of the program."""

    def __init__(self, rng: random.Random, start: int, data: bytearray, first_table: int) -> None:
        self.rng, self.start, self.data = rng, start, data
        self.words: list[int] = []
        self._table = first_table

    @property
    def here(self) -> int:
        return self.start + 4 * len(self.words)

    def compute(self) -> None:
        """One to three operations on the registers and the state."""
        for _ in range(self.rng.randrange(1, 4)):
            target, a, b = (self.rng.choice((*_HELD, _STATE)) for _ in range(3))
            self.words.append(
                self.rng.choice((
                    _x(target, a, b, 266), _x(target, a, b, 40), _x(a, target, b, 316), _x(target, a, b, 235),
                    _addi(target, a, self.rng.randrange(-99, 99)), _d(7, target, a, self.rng.randrange(3, 9)),
                ))  # add, subf, xor, mullw, addi, mulli
            )  # fmt: skip

    def index(self, register: int, count: int) -> None:
        """A number below `count`, a power of 2, of the state."""
        shift, bits = self.rng.randrange(0, 12), count.bit_length() - 1
        word = 21 << 26 | _STATE << 21 | register << 16  # rlwinm
        self.words.append(word | (32 - shift & 31) << 11 | 32 - bits << 6 | 31 << 1)

    def call(self) -> None:
        """bctrl to one of the functions by a pointer in memory; it may change the pointers first."""
        at, pointer, other = _TO_DATA, _TO_DATA + 3, _TO_DATA + 1
        self.words += _address(at, _POINTERS)
        if self.rng.random() < 0.4:
            first, second = (8 * self.rng.randrange(_POINTER_COUNT) for _ in range(2))
            self.words += [_d(58, pointer, at, first), _d(58, other, at, second)]
            self.words += [_d(62, pointer, at, second), _d(62, other, at, first)]
        self.index(other, _POINTER_COUNT)
        self.words += [_shifted_left(other, other, 3), _x(pointer, at, other, 21), _to_ctr(pointer), _BCTRL]

    def switch(self, cases: int, calls: bool) -> None:
        """A jump through a table, with code at each target, which all go on behind."""
        kind = self.rng.choice(("distances", "unsigned", "addresses"))
        size = 8 if kind == "addresses" else 4
        index, at = _TO_DATA, _TO_DATA + 1
        table, self._table = self._table, self._table + _TABLE_ROOM
        default = None
        self.index(index, 2 * cases if self.rng.random() < 0.5 else cases)
        if self.words[-1] >> 6 & 31 != 32 - (cases.bit_length() - 1):
            self.words.append(_d(10, 0, index, cases - 1))  # cmplwi
            default = len(self.words)
            self.words.append(0)
        self.words += _address(at, table)
        if default is not None and self.rng.random() < 0.3:
            self._exchange(at, size, cases)
        self.words.append(_shifted_left(index, index, 3 if size == 8 else 2))
        self.words.append(_x(index, at, index, {"distances": 341, "unsigned": 23, "addresses": 21}[kind]))
        if kind == "unsigned":
            self.words.append(_x(index, index, 0, 986))  # extsw
        if size == 4:
            self.words.append(_x(index, index, at, 266))
        self.words += [_to_ctr(index), _BCTR]
        ends = []
        for case in range(cases):
            target = self.here if size == 8 else self.here - table & 0xFFFF_FFFF
            place = table - _DATA + size * case
            self.data[place : place + size] = target.to_bytes(size, "big")
            self.compute()
            if calls and self.rng.random() < 0.5:
                self.call()
            ends.append(len(self.words))
            self.words.append(0)
        if default is not None:
            self.words[default] = 0x4181_0000 | self.here - self.start - 4 * default  # bgt
            self.compute()
        for end in ends:
            self.words[end] = 0x4800_0000 | self.here - self.start - 4 * end  # b

    def _exchange(self, at: int, size: int, cases: int) -> None:
        """Exchange two entries of the table at a register."""
        first, second = (size * self.rng.randrange(cases) for _ in range(2))
        load, store = (58, 62) if size == 8 else (32, 36)
        one_side, other_side = _TO_DATA + 2, _TO_DATA + 3
        self.words += [_d(load, one_side, at, first), _d(load, other_side, at, second)]
        self.words += [_d(store, one_side, at, second), _d(store, other_side, at, first)]


def random_jumps(rng: random.Random) -> JumpTrial:
    data = bytearray(PAGE_BYTES * 2)
    called = [_CALLED + _ROOM * number for number in range(_POINTER_COUNT)]
    main = _Writer(rng, _CODE, data, _TABLES)
    for register in (*_HELD, _STATE, _ROUNDS):
        main.words.append(_d(58, register, 13, 8 * register))  # ld, from the results
    loop = main.here
    for _ in range(rng.randrange(1, 4)):
        main.switch(rng.choice((2, 4, 8)), calls=True)
        if rng.random() < 0.4:
            main.call()
    main.words += [_addi(_STATE, _STATE, rng.randrange(1, 999)), _d(13, _ROUNDS, _ROUNDS, -1)]  # addic.
    main.words.append(0x4082_0000 | loop - main.here & 0xFFFC)
    main.words += [_d(62, register, 13, 8 * register) for register in (*_HELD, _STATE, _ROUNDS)]
    main.words.append(_SC)
    assert main.here <= _CALLED
    code = bytearray(_CODE_BYTES)
    struct.pack_into(f">{len(main.words)}I", code, 0, *main.words)
    for number, start in enumerate(called):
        writer = _Writer(rng, start, data, _TABLES + (8 + 2 * number) * _TABLE_ROOM)
        writer.compute()
        if rng.random() < 0.5:
            writer.switch(rng.choice((2, 4)), calls=False)
        if number + 1 < _POINTER_COUNT and rng.random() < 0.4:  # go on to a later one, by CTR
            writer.words += [
                *_address(12, called[rng.randrange(number + 1, _POINTER_COUNT)]),
                _to_ctr(12),
                _BCTR,
            ]
        writer.words.append(_BLR)
        assert writer.here <= start + _ROOM
        struct.pack_into(f">{len(writer.words)}I", code, start - _CODE, *writer.words)
    struct.pack_into(f">{_POINTER_COUNT}Q", data, _POINTERS - _DATA, *called)
    registers = tuple(rng.getrandbits(64) for _ in (*_HELD, _STATE))
    return JumpTrial(bytes(code), bytes(data), (_CODE, *called), registers, rng.randrange(20, 400))


class JumpLaboratory(TrialMachine):
    """A machine to try programs of jumps on, made once."""

    def __init__(self, cache: CodeCache | None = None) -> None:
        super().__init__(cache)
        self._pages.map(_CODE, _CODE_BYTES, Protection.READ | Protection.EXECUTE)
        self._pages.map(_DATA, 2 * PAGE_BYTES, Protection.READ | Protection.WRITE)

    def results(self, trial: JumpTrial) -> dict[str, bytes]:
        """What is in memory and registers at the end, for each way to run it."""
        main, *called = trial.functions
        extents = [(main, _CALLED - main), *((address, _ROOM) for address in called)]
        self.recompiler.know(Functions(Function(*extent, f"f{extent[0]:x}") for extent in extents))
        return {
            "Unicorn": self._run(trial, []),
            "the loop": self._run(trial, [main]),
            "what is called": self._run(trial, called, Tier.OPTIMISED),
            "every other": self._run(trial, trial.functions[::2]),
            "all": self._run(trial, trial.functions),
            "all, optimised": self._run(trial, trial.functions, Tier.OPTIMISED),
        }

    def _run(
        self, trial: JumpTrial, compiled: list[int] | tuple[int, ...], tier: Tier = Tier.COMPILED
    ) -> bytes:
        memory, cpu = self._memory, self._cpu
        memory.write(_CODE, trial.code)
        memory.write(_DATA, trial.data)
        values = dict(zip((*_HELD, _STATE), trial.registers, strict=True)) | {_ROUNDS: trial.rounds}
        for register, value in values.items():
            memory.write(_RESULTS + 8 * register, value.to_bytes(8, "big"))
        self._pages.written(_CODE, _CODE_BYTES)
        for address in compiled:
            outcome = self.recompiler.compile(address, tier=tier)
            assert outcome.tier is tier, outcome.reason
        cpu.write_gpr(13, _RESULTS)
        trap = cpu.run(_CODE)
        assert trap.kind is TrapKind.SYSTEM_CALL, trap
        return memory.read(_DATA, 2 * PAGE_BYTES)
