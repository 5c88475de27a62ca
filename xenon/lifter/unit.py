"""A whole function as an LLVM module: its entries, blocks, branches and calls, and the ways out of it.

The function is `void name(state)`. It enters at the PC in the state, which is its own entry or a place that
one of its calls returns to, and comes back with another PC and every register written back. What it cannot do
it leaves to the interpreter that way, at the instruction itself; at a system call it comes back too, with the
PC behind it.

LLVM blocks carry the guest address of their block and a letter: E for an entry from outside, C for a jump
that is counted, B for the block itself; those of loops are in loops.py and loop_rounds.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from xenon.lifter import layout, slots, switches
from xenon.lifter.block_ends import BlockEnds
from xenon.lifter.coarse import CoarseSums, find_coarse_sums, note_coarse, reserve_coarse
from xenon.lifter.counting import count
from xenon.lifter.entry import Entries, require_extra, reserve_slots
from xenon.lifter.facts import Facts, find_facts, live_before, live_out
from xenon.lifter.flow import Block, End, Flow
from xenon.lifter.guards import Addresses, Guard, find_addresses, stands_alone
from xenon.lifter.ir_types import I8
from xenon.lifter.last_status import find_last, note_last
from xenon.lifter.lift import Lifter
from xenon.lifter.loop_facts import is_loop
from xenon.lifter.loops import Loop
from xenon.lifter.module import module_head, module_text
from xenon.lifter.remembered import Memory, reserve_memory
from xenon.lifter.rules import RULES
from xenon.lifter.rules_synchronization import synchronizes
from xenon.lifter.status_forms import COMPARISONS, NOTING, READERS
from xenon.lifter.straight import is_worth_two_forms, lift_twice, straight_runs
from xenon.lifter.target import Target
from xenon.powerpc.decode import Instruction

_MOST_ENTRIES = 24  # of a function that reads its registers in at each of them
_MOST_INLINED = 120  # guest instructions of a leaf that becomes a part of its callers in any case
# Bytes of the widest values. Where there are some, the stack is aligned to them: LLVM keeps such values
# there, and what lies across two lines of the cache cannot be read back before both have it.
_WIDEST = 64


def lift_unit(
    flow: Flow, name: str, target: Target, leaves: Mapping[int, Flow] = MappingProxyType({})
) -> str:
    """The text of a module that defines the function `name`. `leaves` are functions that it calls, by the
    address where they are called: LLVM may join them with it."""
    lines = module_head(target)
    names = {address: f"{name}_{address:x}" for address in leaves}
    for address, leaf in leaves.items():
        lines += Unit(leaf, names[address], target).lines("internal ", _attributes(leaf))
    lines += Unit(flow, name, target, names).lines()
    return module_text(lines, target)


def _attributes(leaf: Flow) -> str:
    return "alwaysinline " if len(leaf.words) <= _MOST_INLINED else ""


class Unit:
    """One function on its way to text; the host of its loops (loop_host.LoopHost)."""

    def __init__(
        self, flow: Flow, name: str, target: Target, leaves: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        """`leaves`: the LLVM names of functions of the same module, by guest address."""
        self._flow = flow
        self._name = name
        self._facts: Facts = find_facts(flow, target.assume_singles)
        self._target = target
        self.lifter = Lifter(target)
        everything = [instruction for block in flow.blocks.values() for instruction in block.instructions]
        used = frozenset().union(*(instruction.reads | instruction.writes for instruction in everything))
        ends = {block.end for block in flow.blocks.values()}
        if ends & {End.CALL, End.CALL_CTR, End.RETURN}:
            used |= {"lr"}
        if ends & {End.CALL_CTR, End.JUMP_CTR, End.SWITCH}:
            used |= {"ctr"}
        self._used = used
        mnemonics = {instruction.mnemonic for instruction in everything}
        self._mnemonics = mnemonics
        self.lifter.keeps_status = bool(mnemonics & READERS) or any(
            name.endswith(".") and name[:-1] in NOTING for name in mnemonics
        )
        notes = target.shows_status and not self.lifter.keeps_status
        self._last = find_last(flow) if notes else frozenset()
        self._coarse = CoarseSums()
        self._needs_extra = (
            any(map(slots.is_vr, used))
            or "sat" in used
            or any("ca" in self._facts.live[start] for start in flow.entry_points if "ca" in used)
        )
        together = not leaves and len(flow.entry_points) > _MOST_ENTRIES
        self._entries = Entries(self.lifter, flow, self._facts, used, together)
        self.ends = BlockEnds(self.lifter, flow, self._facts, used, self._entries, name, leaves)

    def lines(self, linkage: str = "", attributes: str = "") -> list[str]:
        """Its definition."""
        reserve_slots(self.lifter, self._used)
        loops = self._loops()
        self._find_coarse_sums(loops)
        aligned = f" alignstack({_WIDEST})" if any(loop.is_wide for loop in loops.values()) else ""
        head = f"define {linkage}void @{self._name}(ptr noalias %state) {attributes}nounwind{aligned} {{"
        lines = [head, "entry:"]
        switches.reserve(self.lifter)
        if self._needs_extra:
            require_extra(self.lifter)
        self._note_exceptions()
        self._entries.lift()
        for start in sorted(self._flow.blocks):
            self._block(self._flow.blocks[start], loops.get(start))
        maps = self.ends.finish()
        return [*maps, *lines, *self.lifter.lines, "}\n"]

    def _loops(self) -> dict[int, Loop]:
        """The loops of one block, by address, and the stack slots of those that remember."""
        loops = {
            start: Loop(self, block, self._addresses(block))
            for start, block in self._flow.blocks.items()
            if is_loop(block)
            and not self.lifter.keeps_status
            and not any(map(stands_alone, block.body))
            and not synchronizes(block)
        }
        if any(loop.remembers for loop in loops.values()):
            reserve_memory(self.lifter)
            self.lifter.remembers = True
        memories: dict[tuple[int, ...], Memory] = {}
        for loop in loops.values():
            loop.reserve(memories)
        return loops

    def _find_coarse_sums(self, loops: Mapping[int, Loop]) -> None:
        speculating = [start for start, loop in loops.items() if loop.speculates]
        coarse = find_coarse_sums(self._flow, self._facts.live, speculating)
        if coarse.sums:
            self._coarse = coarse
            self.lifter.knows_coarse = True
            reserve_coarse(self.lifter)

    def _addresses(self, block: Block) -> Addresses:
        return find_addresses(block, self._facts.known[block.start], self._target.page_bytes)

    def _note_exceptions(self) -> None:
        """Say that FPSCR is to get the exceptions of this function from the host (see exceptions.py)."""
        if self.lifter.keeps_status:
            return
        for names, offset in ((NOTING, layout.NOTES), (COMPARISONS, layout.COMPARES)):
            if self._mnemonics & names:
                self.lifter.write(self.lifter.constant(I8, 1), self.lifter.field(offset))

    # Blocks

    def _block(self, block: Block, loop: Loop | None) -> None:
        if self._target.counters is not None:
            self.lifter.start(f"C{block.start:x}")
            count(self.lifter, self._target, block.start)
            self.lifter.branch(f"B{block.start:x}")
        if loop is not None:
            loop.lift()
        else:
            self.plain(block, self._addresses(block).guards)

    def plain(self, block: Block, guards: dict[int, Guard]) -> None:
        """A block whose every address is checked."""
        lifter = self.lifter
        lifter.start(f"B{block.start:x}")
        lifter.forget()
        self.begin(block)
        if block.start in self._coarse.fresh:
            note_coarse(lifter, True)
        live = self._liveness(block)
        for indices in straight_runs(block):
            lift = partial(self._instructions, block, indices, guards, live)
            if not lifter.keeps_status and is_worth_two_forms([block.body[index] for index in indices]):
                lift_twice(lifter, lift)
            else:
                lift()
        lifter.end_body(live[-1])
        self.ends.lift(block)

    def begin(self, block: Block) -> None:
        """What holds at the start of a block."""
        facts, start = self._facts, block.start
        self.lifter.begin_block(facts.proven[start], facts.changed[start], facts.live[start])

    def body(
        self,
        block: Block,
        guards: dict[int, Guard],
        instead: Callable[[int, Instruction], bool] | None = None,
    ) -> None:
        """The instructions of a block but for its branch; `instead` may emit one of them, by its index, and
        then returns True."""
        self.begin(block)
        live = self._liveness(block)
        self._instructions(block, range(len(block.body)), guards, live, instead)
        self.lifter.end_body(live[-1])

    def _instructions(
        self,
        block: Block,
        indices: range,
        guards: dict[int, Guard],
        live: list[frozenset[str]],
        instead: Callable[[int, Instruction], bool] | None = None,
    ) -> None:
        lifter = self.lifter
        for index in indices:
            instruction = block.body[index]
            lifter.begin_instruction(instruction.address, guards.get(index), live[index])
            lifter.adds_coarse = instruction.address in self._coarse.sums
            if instruction.address in self._last:
                note_last(lifter, instruction)
            if instead is None or not instead(index, instruction):
                RULES[instruction.mnemonic](lifter, instruction)
            lifter.end_instruction(instruction)

    def _liveness(self, block: Block) -> list[frozenset[str]]:
        """What is live before each instruction of the body, and before the branch."""
        live = live_out(self._flow, block, self._facts.live)
        if block.last is not None:
            live = live_before(block.last, live)
        backwards = [live]
        for instruction in reversed(block.body):
            live = live_before(instruction, live)
            backwards.append(live)
        return backwards[::-1]
