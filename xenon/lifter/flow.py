"""The instructions of a function along its control flow, never linearly: between functions stand traceback
tables, jump tables and literals."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from types import MappingProxyType

from xenon.powerpc.abi import INSTRUCTION_BYTES
from xenon.powerpc.decode import Instruction, decode, mnemonic_of, signed
from xenon.powerpc.isa import Kind, foreign, table
from xenon.powerpc.operands import operands_of

MOST_INSTRUCTIONS = 50_000
_ALWAYS = 0b10100
_NO_CTR = 0b00100  # BO: CTR is left alone
_NO_CONDITION = 0b10000  # BO: CR is not looked at
_UNCONDITIONAL_TRAP = 0x7FE00008
_LONGEST_LEAF = 300  # instructions

Jumps = Mapping[int, tuple[int, ...]]
"""The targets of `bctr` instructions by their addresses (see jump_tables.py)."""
_NO_JUMPS: Jumps = MappingProxyType({})


class NotUnderstood(Exception):
    """A function that stays on Unicorn, and why: `address` and `mnemonic` of an instruction, if it is one.
    `is_foreign`: Xenon lacks it."""

    def __init__(
        self, reason: str, address: int | None = None, mnemonic: str = "", is_foreign: bool = False
    ) -> None:
        super().__init__(reason)
        self.is_foreign = is_foreign
        self.address = address
        self.mnemonic = mnemonic


class End(Enum):
    """How a block ends."""

    FALL = "falls into the next"
    BRANCH = "b, or bc to either successor"
    CALL = "bl"
    CALL_CTR = "bctrl"
    RETURN = "blr"
    JUMP_CTR = "bctr"
    SWITCH = "bctr to one of the successors, as a rule"
    TAIL = "b to another function"
    SYSTEM_CALL = "sc"
    INTERPRETED = "an instruction that the interpreter executes before it comes back"
    BEYOND = "goes on in another part of the function (see parts.py)"
    LEAVE = "trap or no instruction of Xenon's: Unicorn executes it"


CALLING = frozenset({End.CALL, End.CALL_CTR, End.SYSTEM_CALL, End.INTERPRETED})
"""Ends behind which other code runs, and then the function is entered anew."""


@dataclass(slots=True)
class Block:
    """Instructions that are executed one after the other. `last` is the branch, if it ends with one."""

    start: int
    body: list[Instruction] = field(default_factory=list)
    last: Instruction | None = None
    end: End = End.FALL
    successors: list[int] = field(default_factory=list)  # a branch taken first
    target: int = 0  # of a call, a tail call, or where to leave

    @property
    def instructions(self) -> list[Instruction]:
        """All of them, the branch too."""
        return self.body if self.last is None else [*self.body, self.last]

    @property
    def after(self) -> int:
        """The address behind the last instruction."""
        return self.start + INSTRUCTION_BYTES * len(self.instructions)


@dataclass(frozen=True, slots=True)
class Flow:
    """A function from its entries: its blocks by address, and who it calls."""

    entries: tuple[int, ...]
    blocks: dict[int, Block]
    calls: frozenset[int]
    joints: frozenset[int] = frozenset()
    """Of a part of a function: where its other parts go on here."""
    beyond: frozenset[int] = frozenset()
    """Of a part: where it goes on in other parts."""

    @property
    def entry_points(self) -> list[int]:
        """Where compiled code may be entered: the entries, where calls return to, and where parts meet. Where
        a part's last call returns to is another part's."""
        return sorted({*self.entries, *self.resumes, *self.joints} - self.beyond)

    @property
    def resumes(self) -> list[int]:
        """Where calls return to, which are entries too."""
        return sorted(
            {block.after for block in self.blocks.values() if block.end in CALLING and block.successors}
        )

    @property
    def inside_blocks(self) -> frozenset[int]:
        """Resumes at which the interpreter begins no block: it has executed the instruction before."""
        return frozenset(block.after for block in self.blocks.values() if block.end is End.INTERPRETED)

    @property
    def words(self) -> list[tuple[int, int]]:
        """Address and word of every instruction, in the order of addresses."""
        return sorted(
            (instruction.address, instruction.word)
            for block in self.blocks.values()
            for instruction in block.instructions
        )


def explore(
    fetch: Callable[[int], int | None],
    entries: tuple[int, ...],
    functions: Container[int] = (),
    obstacles: list[NotUnderstood] | None = None,
    jumps: Jumps = _NO_JUMPS,
) -> Flow:
    """Follow a function's control flow from its `entries`.

    `fetch` gives the word at an address, None where there is no code; a branch to one of `functions` is a
    tail call, and `jumps` are targets within the function. What stands behind a system call is left out where
    it is not understood: the call may be the last. An instruction that Xenon lacks is left to Unicorn. Raises
    NotUnderstood with the reason; with a list of `obstacles`, all reasons go there, instructions that Xenon
    lacks too, and the flow goes on behind them.
    """
    names_foreign = obstacles is not None
    try:
        return _explore(fetch, entries, functions, None, True, jumps, names_foreign)
    except NotUnderstood:
        return _explore(fetch, entries, functions, obstacles, False, jumps, names_foreign)


def explore_leaves(
    fetch: Callable[[int], int | None], flow: Flow, functions: Container[int]
) -> dict[int, Flow]:
    """The functions that a function calls, and that call no other, by address; not those that are long."""
    leaves = {}
    for address in sorted(flow.calls - set(flow.entries)):
        try:
            leaf = explore(fetch, (address,), functions)
        except NotUnderstood:
            continue
        ends = {block.end for block in leaf.blocks.values()}
        if ends <= {End.FALL, End.BRANCH, End.RETURN} and len(leaf.words) <= _LONGEST_LEAF:
            leaves[address] = leaf
    return leaves


def _explore(
    fetch: Callable[[int], int | None],
    entries: tuple[int, ...],
    functions: Container[int],
    obstacles: list[NotUnderstood] | None,
    behind_system_calls: bool,
    jumps: Jumps,
    names_foreign: bool,
) -> Flow:
    leaders = set(entries)
    reached: dict[int, Instruction] = {}
    ends: dict[int, tuple[End, list[int], int]] = {}
    waiting = list(entries)
    while waiting:
        address = waiting.pop()
        while address not in reached and address not in ends:
            word = fetch(address)
            try:
                instruction = None if word is None else _decode(address, word)
                branch = None if instruction is None else _branch(instruction, entries, functions)
                if branch is not None and branch[0] is End.SYSTEM_CALL and not behind_system_calls:
                    branch = End.SYSTEM_CALL, [], 0
                if address in jumps and branch == (End.JUMP_CTR, [], 0):
                    branch = End.SWITCH, list(jumps[address]), 0
            except NotUnderstood as misunderstanding:
                if misunderstanding.is_foreign and not names_foreign:
                    ends[address] = (End.LEAVE, [], address)  # it faults, if it is executed at all
                    break
                if obstacles is None:
                    raise
                obstacles.append(misunderstanding)
                instruction, branch = Instruction(address, word or 0, misunderstanding.mnemonic), None
            if instruction is None:
                ends[address] = (End.LEAVE, [], address)
                break
            reached[address] = instruction
            if len(reached) > MOST_INSTRUCTIONS and obstacles is None:
                raise _too_long()
            if branch is not None:
                ends[address] = branch
                leaders.update(branch[1])
                waiting += branch[1]
                break
            address += INSTRUCTION_BYTES
    if len(reached) > MOST_INSTRUCTIONS and obstacles is not None:
        obstacles.append(_too_long())
    flow = _blocks(entries, leaders, reached, ends)
    for block in flow.blocks.values():
        if block.end is End.INTERPRETED and block.last is not None and _is_in_a_cycle(flow, block):
            obstacle = _no_rule(block.last.address, block.last.mnemonic)
            if obstacles is None:
                raise obstacle
            obstacles.append(obstacle)
    return flow


def _is_in_a_cycle(flow: Flow, block: Block) -> bool:
    """Whether control may come back to a block: then it costs more to leave compiled code there than to stay
    with the interpreter."""
    seen: set[int] = set()
    waiting = list(block.successors)
    while waiting:
        start = waiting.pop()
        if start not in seen:
            seen.add(start)
            waiting += flow.blocks[start].successors
    return block.start in seen


def _no_rule(address: int, mnemonic: str) -> NotUnderstood:
    return NotUnderstood(f"no rule for {mnemonic}, at 0x{address:x}", address, mnemonic)


def _too_long() -> NotUnderstood:
    return NotUnderstood(f"more than {MOST_INSTRUCTIONS} instructions")


def _blocks(
    entries: tuple[int, ...],
    leaders: set[int],
    reached: dict[int, Instruction],
    ends: dict[int, tuple[End, list[int], int]],
) -> Flow:
    blocks: dict[int, Block] = {}
    calls: set[int] = set()
    for start in sorted(leaders):
        block = blocks[start] = Block(start)
        address = start
        while True:
            if address in ends:
                block.end, block.successors, block.target = ends[address]
                if address in reached:
                    block.last = reached[address]
                if block.end in (End.CALL, End.TAIL):
                    calls.add(block.target)
                break
            block.body.append(reached[address])
            address += INSTRUCTION_BYTES
            if address in leaders:
                block.successors = [address]
                break
    return Flow(entries, blocks, frozenset(calls))


def _decode(address: int, word: int) -> Instruction | None:
    """The instruction, None for a word that is none. Raises NotUnderstood for one that operands.tsv lacks."""
    mnemonic = mnemonic_of(word)
    if not mnemonic:
        other = foreign(word)
        if other is None:
            return None
        reason = f"{other.mnemonic} at 0x{address:x} is not Xenon's"
        raise NotUnderstood(reason, address, other.mnemonic, is_foreign=True)
    if mnemonic in _BRANCHES or mnemonic in _interpreted() or word == _UNCONDITIONAL_TRAP:
        reads, writes = _branch_registers(word, mnemonic)
        return Instruction(address, word, mnemonic, reads, writes)
    instruction = decode(address, word)
    if instruction is None:
        raise _no_rule(address, mnemonic)
    return instruction


@cache
def _interpreted() -> frozenset[str]:
    """Instructions without a rule that keep no function from being compiled, unless they are in a loop: of
    special registers, strings and FPSCR."""
    names = "mfspr mtspr mftb mftbu mcrxr dcbi lswx stswx".split()
    floats = (row.mnemonic for row in table() if row.kind is Kind.FLOAT)
    return frozenset([*names, *(name for name in floats if operands_of(name) is None)])


_BRANCHES = frozenset("b bl ba bla bc bcl bca bcla bclr bclrl bcctr bcctrl sc".split())


def _branch_registers(word: int, mnemonic: str) -> tuple[frozenset[str], frozenset[str]]:
    reads: set[str] = set()
    writes: set[str] = set()
    if mnemonic.startswith("bc"):
        bo = word >> 21 & 31
        if not bo & _NO_CONDITION:
            reads.add(f"c{word >> 16 & 31}")
        if not bo & _NO_CTR:
            reads.add("ctr")
            writes.add("ctr")
    return frozenset(reads), frozenset(writes)


def _branch(
    instruction: Instruction, entries: tuple[int, ...], functions: Container[int]
) -> tuple[End, list[int], int] | None:
    """How a block ends with this instruction; None when it does not. Raises NotUnderstood."""
    address, word, name = instruction.address, instruction.word, instruction.mnemonic
    bo = instruction.rt
    after = address + INSTRUCTION_BYTES
    if word == _UNCONDITIONAL_TRAP:
        return End.LEAVE, [], address
    if name == "sc":
        return End.SYSTEM_CALL, [] if after in functions else [after], 0
    if name in _interpreted():
        return End.INTERPRETED, [after], 0
    if name not in _BRANCHES:
        return None
    if name in ("b", "bl"):
        target = (address + signed(word & 0x03FF_FFFC, 26)) & 0xFFFF_FFFF_FFFF_FFFF
        if name == "bl":
            return (End.BRANCH, [after], 0) if target == after else (End.CALL, [after], target)
        if target in functions and target not in entries:
            return End.TAIL, [], target
        return End.BRANCH, [target], 0
    if name == "bc":
        target = address + signed(word & 0xFFFC, 16)
        always = bo & _ALWAYS == _ALWAYS
        return End.BRANCH, [target] if always else [target, after], 0
    if name == "bcl" and signed(word & 0xFFFC, 16) == 4 and bo & _ALWAYS == _ALWAYS:
        return End.BRANCH, [after], 0  # how code finds its own address
    if name == "bclr":
        return End.RETURN, [] if bo & _ALWAYS == _ALWAYS else [after], 0
    if name == "bcctr" and bo & _NO_CTR:
        return End.JUMP_CTR, [] if bo & _ALWAYS == _ALWAYS else [after], 0
    if name == "bcctrl" and bo & _ALWAYS == _ALWAYS:
        return End.CALL_CTR, [after], 0
    raise NotUnderstood(f"{name} with these operands, at 0x{address:x}", address, name)
