"""Random loops, tried in several ways that must agree: compiled as loops to either tier; their bodies
compiled as functions that a loop on Unicorn calls, and joined with such a loop by the full optimiser;
and on Unicorn alone where no form of them is one of its exceptions.

Three streams move through memory that holds zeros, denormals, infinities and NaNs here and there; the third
is written, and may overlap the others.
"""

from __future__ import annotations

import ctypes
import random
import struct
from dataclasses import dataclass, replace

from laboratory.differential import forms, random_word
from laboratory.trial_machine import TrialMachine
from xenon.hardware.cpu import Protection, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.lifter.flow import explore
from xenon.lifter.target import Target
from xenon.lifter.unit import lift_unit
from xenon.linux.layout import PROGRAM
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.codegen import compile_text
from xenon.recompiler.outcome import Tier
from xenon.recompiler.recompiler import Compiler

_CODE, _BODY, _DATA = PROGRAM.start, PROGRAM.start + 0x1000, PROGRAM.start + 0x10000
_DATA_BYTES = 4 * PAGE_BYTES
_RESULTS = _DATA + _DATA_BYTES + PAGE_BYTES  # behind a page that is not mapped
_COUNTERS: list[ctypes.c_uint64] = []  # of compiled code, which stays in the process
_BLR, _SC = 0x4E80_0020, 0x4400_0002
_BRANCH_TO_THE_NEXT = 0x4800_0004
_SPECIAL = (
    0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x0C800001, 0x2B000000, 0x7F7FFFFF,
    0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 0x7F812345,
)  # fmt: skip
_FLOAT = "fadds fsubs fmuls fdivs fmadds fmsubs fnmadds fnmsubs fadd fmul fmadd frsp fneg fabs fmr fsel fcmpu"
_VECTOR = (
    "vaddfp vsubfp vmaddfp vnmsubfp vmaddfp vmaddfp vxor vor vsldoi vspltw vmrghw vmrglw vcmpgtfp. vadduwm"
)


@dataclass(frozen=True, slots=True)
class Trial:
    """A loop: its body, its number of rounds, and the registers and memory to begin with."""

    words: tuple[int, ...]
    assume_singles: bool
    rounds: int
    registers: tuple[int, ...]  # the three streams' addresses
    data: bytes
    turns: int = 1  # of the whole loop
    between: tuple[int, ...] = ()  # instructions behind each turn


def random_trial(rng: random.Random) -> Trial:
    opcodes = forms()
    mnemonics = rng.choice((_FLOAT, _VECTOR, _FLOAT + " " + _VECTOR)).split()
    words: list[int] = []
    if rng.random() < 0.3:
        step = rng.choice((16, 64))
        trial = _with_data(rng, _products(rng), step, True, False)
        turns = min(rng.choice((2, 8)), trial.rounds)
        rounds = trial.rounds // turns
        back = [_addi(base, base, -step * rounds & 0xFFFF) for base in (9, 10) if rng.random() < 0.5]
        return replace(trial, rounds=rounds, turns=turns, between=(*back, *_additions(rng)))
    vectors = any(name[0] == "v" for name in mnemonics)
    step = rng.choice((16, 16, 32) if vectors else (4, 8, 12))
    stores = rng.random() < 0.5
    for _ in range(rng.randrange(1, 5)):
        words.append(_access(rng, vectors and rng.random() < 0.7, rng.choice((9, 10)), step, False))
    for _ in range(rng.randrange(1, 7)):
        name = rng.choice(mnemonics)
        words.append(random_word(name, opcodes[name], rng))
        if rng.random() < 0.3:
            write = stores and rng.random() < 0.6
            base = 11 if write else rng.choice((9, 10))
            words.append(_access(rng, vectors and rng.random() < 0.7, base, step, write))
    return _with_data(rng, words, step, vectors, rng.random() < 0.5)


def _products(rng: random.Random) -> list[int]:
    """Sums of products in v1 to v8: rows of r9 times the lines of r10, which the rows share."""
    chains = rng.randrange(1, 5)
    words = []
    for chain in range(chains):
        words += [_addi(15, 10, 16 * chain), _lvx(9 + chain, 15)]
    products = [(row, chain) for row in range(rng.randrange(1, 8 // chains + 1)) for chain in range(chains)]
    if rng.random() < 0.3:
        rng.shuffle(products)
    for total, (row, chain) in enumerate(products, 1):
        held, line = rng.choice((13, 14)), 9 + chain
        start = 0x7DC9_4214 if rng.random() < 0.1 else _addi(14, 9, 64 * row + 16 * chain)  # add r14, r9, r8
        a, c = rng.choice(((held, line), (line, held)))
        words += [start, _lvx(held, 14), 4 << 26 | total << 21 | a << 16 | total << 11 | c << 6 | 46]
    return words


def _additions(rng: random.Random) -> tuple[int, ...]:
    """v1 to v8 added up, in some order and now and then turned: vaddfp, vsubfp, vsldoi, vmrghw, vperm."""
    words = []
    for _ in range(rng.randrange(0, 9)):
        target, a, b = (rng.randrange(1, 9) for _ in range(3))
        extended = rng.choice((10, 10, 10, 74, rng.choice((4, 8, 5)) << 6 | 44, 140, 43))
        words.append(4 << 26 | target << 21 | a << 16 | b << 11 | extended)
    return tuple(words)


def _addi(target: int, base: int, by: int) -> int:
    return 14 << 26 | target << 21 | base << 16 | by


def _add(target: int, a: int, b: int) -> int:
    return 31 << 26 | target << 21 | a << 16 | b << 11 | 266 << 1


def _lvx(target: int, base: int) -> int:
    return 31 << 26 | target << 21 | base << 11 | 103 << 1


def _with_data(rng: random.Random, words: list[int], step: int, vectors: bool, assume_singles: bool) -> Trial:
    """A loop whose streams move by `step` bytes, and memory for it."""
    in_register = step == 16 and rng.random() < 0.5
    words += [_add(base, base, 12) if in_register else _addi(base, base, step) for base in (9, 10, 11)]
    rounds = rng.randrange(1, 200)
    room = _DATA_BYTES - rounds * step - 8 * 64
    spots = tuple(_DATA + (rng.randrange(0, room) & (-16 if vectors else -4)) for _ in range(3))
    if rng.random() < 0.4:
        spots = (spots[0], spots[1], spots[0] + rng.choice((0, 4, -4, 16, -16)) * rng.randrange(0, 3))
        spots = tuple(max(spot, _DATA) for spot in spots)
    rare = rng.choice((0.0, 0.0, 0.002, 0.02, 0.3))
    most = rng.choice((127, 130))  # the highest exponent: less than 2, or less than 16
    lanes = [
        rng.choice(_SPECIAL)
        if rng.random() < rare
        else rng.getrandbits(1) << 31 | rng.randint(120, most) << 23 | rng.getrandbits(23)
        for _ in range(_DATA_BYTES // 4)
    ]
    return Trial(tuple(words), assume_singles, rounds, spots, struct.pack(f">{len(lanes)}I", *lanes))


def _access(rng: random.Random, vector: bool, base: int, step: int, write: bool) -> int:
    if vector:
        index = rng.choice((0, 12))  # r12 holds 16
        return (
            (31 << 26) | rng.randrange(1, 7) << 21 | index << 16 | base << 11 | (231 if write else 103) << 1
        )
    return (52 if write else 48) << 26 | rng.randrange(1, 8) << 21 | base << 16 | rng.randrange(0, 32, 4)


def loop_text(body: tuple[int, ...], behind: tuple[int, ...] = ()) -> str:
    """The module of a counted loop with this body, and of instructions behind it."""
    words = (0x7FC9_03A6, *body)  # mtctr r30
    words = (*words, 0x4200_0000 | -4 * (len(words) - 1) & 0xFFFC, *behind, _BLR)
    flow = explore({0x1000 + 4 * index: word for index, word in enumerate(words)}.get, (0x1000,))
    return lift_unit(flow, "loop", Target(True, RAM_BYTES, PAGE_BYTES, optimised=True))


def loop_form(body: tuple[int, ...], name: str) -> str:
    """The text of one form of a counted loop with this body; see loop_rounds.py for what forms are called."""
    text = loop_text(body)
    start = text.index(f"{name}1004:")
    return text[start : text.index("br ", start)]


class LoopLaboratory(TrialMachine):
    """A machine to try loops on, made once; with a `cache` it compiles the same loop once."""

    def __init__(self, cache: CodeCache | None = None) -> None:
        super().__init__(cache)
        self._pages.map(_CODE, 2 * PAGE_BYTES, Protection.READ | Protection.EXECUTE)
        self._pages.map(_DATA, _DATA_BYTES, Protection.READ | Protection.WRITE)
        self._pages.map(_RESULTS, PAGE_BYTES, Protection.READ | Protection.WRITE)

    def results(self, trial: Trial) -> dict[str, bytes]:
        """What is in memory and registers behind the loop, for each way to run it."""
        inline, start = _inline(trial)
        loop = inline[: (start - _CODE) // 4]
        self.recompiler.assume_singles = trial.assume_singles
        called = [*loop, 0x4800_0001 | (_BODY - start), 0x4200_0000 | -4 & 0xFFFC]
        called += [*_next_turn(trial, len(called) - len(loop)), *_tear_down(), _SC]
        return {
            "a loop": self._run(trial, inline, start),
            "an optimised loop": self._run(trial, inline, start, Tier.OPTIMISED),
            "calls": self._run(trial, called, _BODY),
            "a leaf": self._run(trial, called, start, Tier.OPTIMISED),
            "Unicorn": self._run(trial, inline, None),
        }

    def rounds(self, trial: Trial, form: str) -> int:
        """How many rounds of a compiled loop one form of it does; of words that are compiled for the first
        time in this process."""
        inline, start = _inline(trial)
        counter = ctypes.c_uint64()
        _COUNTERS.append(counter)
        place = f"ptr inttoptr (i64 {ctypes.addressof(counter)} to ptr)"
        label = f"{form}{start:x}:"
        counting = [
            label,
            f"  %rounds_so_far = load i64, {place}",
            "  %and_this_one = add i64 %rounds_so_far, 1",
            f"  store i64 %and_this_one, {place}",
        ]

        def compiler(text: str, optimised: bool) -> bytes:
            assert label in text
            return compile_text(text.replace(label, "\n".join(counting)), optimised)

        self._run(trial, inline, start, compiler=compiler)
        return counter.value

    def _run(
        self,
        trial: Trial,
        code: list[int],
        compiled: int | None,
        tier: Tier = Tier.COMPILED,
        compiler: Compiler | None = None,
    ) -> bytes:
        memory, cpu = self._memory, self._cpu
        memory.write(_CODE, struct.pack(f">{len(code)}I", *code))
        memory.write(_BODY, struct.pack(f">{len(trial.words) + 1}I", *trial.words, _BLR))
        memory.write(_DATA, trial.data)
        self._pages.written(_CODE, 2 * PAGE_BYTES)
        if compiled is not None:
            outcome = self.recompiler.compile(compiled, tier=tier, compiler=compiler)
            assert outcome.tier is tier, outcome.reason
        calls = self._code.hand_overs
        trap = cpu.run(_CODE)
        assert trap.kind is TrapKind.SYSTEM_CALL, trap
        assert (self._code.hand_overs > calls) is (compiled is not None)
        return memory.read(_DATA, _DATA_BYTES) + memory.read(_RESULTS, 512)


def _inline(trial: Trial) -> tuple[list[int], int]:
    """The program with the loop in it, and the address of the loop."""
    code = [*_set_up(trial), _BRANCH_TO_THE_NEXT]  # the engine hands over where a block begins
    before = len(code)
    code += [*trial.words, 0x4200_0000 | -4 * len(trial.words) & 0xFFFC]
    return [*code, *_next_turn(trial, len(code) - before), *_tear_down(), _SC], _CODE + 4 * before


def _li(register: int, value: int) -> list[int]:
    return [
        15 << 26 | register << 21 | value >> 16,
        24 << 26 | register << 21 | register << 16 | value & 0xFFFF,
    ]


def _set_up(trial: Trial) -> list[int]:
    """FPRs and VRs from the beginning of the data, GPRs by number, CTR the rounds."""
    words = _li(31, _DATA)
    words += [48 << 26 | number << 21 | 31 << 16 | 4 * number for number in range(1, 8)]
    for number in range(1, 15):
        words += [*_li(12, 64 + 16 * number), 31 << 26 | number << 21 | 31 << 16 | 12 << 11 | 103 << 1]
    for register, value in [
        *((number, number) for number in range(3, 9)),
        (12, 16),
        (30, trial.rounds),
        (29, trial.turns),
    ]:
        words += _li(register, value)
    for register, value in zip((9, 10, 11), trial.registers, strict=True):
        words += _li(register, value)
    return [*words, 0x7FC9_03A6]  # mtctr r30


def _next_turn(trial: Trial, loop_words: int) -> list[int]:
    """Back to the mtctr of _set_up until all turns are done: addic. r29, r29, -1; bne."""
    words = [*trial.between, 0x37BD_FFFF]
    return [*words, 0x4082_0000 | -4 * (2 + loop_words + len(words)) & 0xFFFC]


def _tear_down() -> list[int]:
    words = _li(31, _RESULTS)
    words += [62 << 26 | number << 21 | 31 << 16 | 8 * number for number in range(3, 12)]
    words += [54 << 26 | number << 21 | 31 << 16 | 96 + 8 * number for number in range(1, 8)]
    words += [0x7C60_0026, 62 << 26 | 3 << 21 | 31 << 16 | 168]  # mfcr
    for number in range(1, 15):
        words += [*_li(12, 176 + 16 * number), 31 << 26 | number << 21 | 31 << 16 | 12 << 11 | 231 << 1]
    return words
