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
from xenon.lifter.counting import count, note_function
from xenon.lifter.emitter import LIKELY
from xenon.lifter.entry import require_extra, require_singles, reserve_slots
from xenon.lifter.exits import Exits
from xenon.lifter.facts import ALL_LIVE, Facts, find_facts, live_before, live_out
from xenon.lifter.flow import Block, End, Flow
from xenon.lifter.fpscr import resolve
from xenon.lifter.guards import Addresses, Guard, find_addresses, stands_alone
from xenon.lifter.ir_types import I8, I32, I64
from xenon.lifter.last_status import find_last, note_last
from xenon.lifter.layout import Status
from xenon.lifter.lift import Lifter
from xenon.lifter.loop_facts import is_loop
from xenon.lifter.loops import Loop
from xenon.lifter.module import module_head, module_text
from xenon.lifter.remembered import reserve_memory
from xenon.lifter.rules import RULES
from xenon.lifter.rules_synchronization import synchronizes
from xenon.lifter.slots import CTR, LR
from xenon.lifter.status_forms import COMPARISONS, NOTING, READERS
from xenon.lifter.straight import is_worth_two_forms, lift_twice, straight_runs
from xenon.lifter.switches import Switches
from xenon.lifter.target import Target
from xenon.lifter.values import Value
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
        self._leaves = leaves
        self._flow = flow
        self._name = name
        self._facts: Facts = find_facts(flow, target.assume_singles)
        self._target = target
        self.lifter = Lifter(target)
        self._exits = Exits(self.lifter, target, leaves)
        self._switches = Switches(self.lifter, name, self._exits)
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
        self._beyond: set[str] | None = None  # registers changed where control leaves for another part
        self._enters_together = not leaves and len(flow.entry_points) > _MOST_ENTRIES
        self._needs_extra = (
            any(map(slots.is_vr, used))
            or "sat" in used
            or any("ca" in self._facts.live[start] for start in flow.entry_points if "ca" in used)
        )

    def lines(self, linkage: str = "", attributes: str = "") -> list[str]:
        """Its definition."""
        reserve_slots(self.lifter, self._used)
        loops = self._loops()
        aligned = f" alignstack({_WIDEST})" if any(loop.is_wide for loop in loops.values()) else ""
        head = f"define {linkage}void @{self._name}(ptr noalias %state) {attributes}nounwind{aligned} {{"
        lines = [head, "entry:"]
        switches.reserve(self.lifter)
        if self._needs_extra:
            require_extra(self.lifter)
        self._note_exceptions()
        self._enter()
        for start in sorted(self._flow.blocks):
            self._block(self._flow.blocks[start], loops.get(start))
        maps = self._switches.choose(self._label)
        if self._beyond is not None:
            self.lifter.start("X")
            self.lifter.forget()
            self.lifter.begin_block((), self._beyond, ALL_LIVE)
            self._exits.go(self.lifter.read(I64, self.lifter.named("to")), None)
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
        for loop in loops.values():
            loop.reserve()
        return loops

    def _addresses(self, block: Block) -> Addresses:
        return find_addresses(block, self._facts.known[block.start], self._target.page_bytes)

    def _note_exceptions(self) -> None:
        """Say that FPSCR is to get the exceptions of this function from the host (see exceptions.py)."""
        if self.lifter.keeps_status:
            return
        for names, offset in ((NOTING, layout.NOTES), (COMPARISONS, layout.COMPARES)):
            if self._mnemonics & names:
                self.lifter.write(self.lifter.constant(I8, 1), self.lifter.field(offset))

    def _enter(self) -> None:
        """A switch by the PC, and from each entry into its block."""
        lifter, entries = self.lifter, self._flow.entry_points
        if self._enters_together:
            lifter.branch("enter")
            lifter.start("enter")
            lifter.forget_memory()
            lifter.read_in(self._used)
        pc = lifter.read(I64, lifter.field(layout.PC))
        cases = " ".join(f"i64 {start}, label %E{start:x}" for start in entries)
        lifter.emit(f"switch {pc.typed}, label %nowhere [ {cases} ]")
        lifter.start("nowhere")
        lifter.set_status(Status.REPEAT)
        lifter.emit("ret void")
        for start in entries:
            lifter.start(f"E{start:x}")
            self._arrive(start)

    def _arrive(self, start: int) -> None:
        """Control comes to a block from outside, with the registers in the state."""
        lifter = self.lifter
        lifter.forget()
        lifter.prove_nothing()
        if not self._enters_together:
            lifter.forget_memory()
            lifter.read_in(self._used)
        require_singles(lifter, self._facts.assumed.get(start, frozenset()) & self._used, "nowhere")
        lifter.prove_nothing()
        if lifter.target.shows_status and lifter.keeps_status:
            resolve(lifter)
        note_function(lifter, self._target, self._flow.entries[0])
        self.jump(start)

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
        live = self._liveness(block)
        for indices in straight_runs(block):
            lift = partial(self._instructions, block, indices, guards, live)
            if not lifter.keeps_status and is_worth_two_forms([block.body[index] for index in indices]):
                lift_twice(lifter, lift)
            else:
                lift()
        lifter.end_body(live[-1])
        self._end(block)

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

    # The end of a block

    def _end(self, block: Block) -> None:
        lifter = self.lifter
        taken = self.condition(block)
        if block.last is not None and block.end is not End.LEAVE:
            lifter.note_changed(block.last.writes)
            if block.last.mnemonic in ("bl", "bcctrl", "bcl"):
                lifter.set(LR, lifter.constant(I64, block.after))
                lifter.note_changed(("lr",))
        if block.end in (End.FALL, End.BRANCH):
            self._branch(block, taken)
        elif block.end is End.LEAVE:
            # An instruction for the interpreter, which does not enter compiled code at it.
            lifter.leave(block.target, Status.REPEAT, lifter.changed)
        elif block.end is End.INTERPRETED and block.last is not None:
            lifter.leave(block.last.address, Status.REPEAT, lifter.changed)
        elif block.end is End.SYSTEM_CALL:
            lifter.leave(block.after, Status.SYSTEM_CALL, lifter.changed)
        elif block.end is End.TAIL:
            self._exits.go(lifter.constant(I64, block.target), block.target)
        elif block.end is End.SWITCH:
            for successor in block.successors:
                self.convert(successor)
            backwards = min(block.successors) <= block.start
            self._switches.jump(tuple(sorted(block.successors)), lifter.get(CTR) & -4, backwards)
        elif block.end is End.BEYOND:
            count(lifter, self._target, block.target, -1)  # the other part counts it
            self._exits.keep_doubles()
            lifter.write(lifter.constant(I64, block.target), lifter.named("to"))
            self._beyond = (self._beyond or set()) | lifter.changed
            lifter.branch("X")
        elif block.end is End.JUMP_CTR:
            self._unless_taken(block, taken)
            self._exits.go(lifter.get(CTR) & -4, None)
        elif block.end is End.RETURN:
            self._unless_taken(block, taken)
            lifter.leave(lifter.get(LR) & -4, Status.GO_ON, lifter.changed)
        elif block.end is End.CALL:
            self._call(block, lifter.constant(I64, block.target), block.target)
        else:
            self._call(block, lifter.get(CTR) & -4, None)

    def condition(self, block: Block) -> Value | None:
        """Whether the branch at the end is taken, None where it always is. Counts CTR down."""
        last = block.last
        if last is None or not last.mnemonic.startswith("bc"):
            return None
        lifter, bo = self.lifter, last.rt
        terms = []
        if not bo & 4:
            lifter.set(CTR, lifter.get(CTR) + -1)
            terms.append(lifter.get(CTR).icmp("eq" if bo & 2 else "ne", 0))
        if not bo & 16:
            bit = lifter.bit(last.ra)
            terms.append(bit if bo & 8 else ~bit)
        return lifter.all_of(terms) if terms else None

    def _branch(self, block: Block, taken: Value | None) -> None:
        lifter = self.lifter
        if taken is None or len(block.successors) == 1:
            self.go_to(block.successors[0], block.start, falls=block.end is End.FALL)
            return
        labels = [lifter.label() for _ in block.successors]
        lifter.branch_if(taken, labels[0], labels[1])
        known = lifter.known()
        for label, successor in zip(labels, block.successors, strict=True):
            lifter.start(label)
            lifter.resume(known)
            self.go_to(successor, block.start)

    def go_to(self, successor: int, start: int | None = None, falls: bool = False) -> None:
        """Branch to a block. A branch back, from the block at `start`, first looks whether to stop. `falls`:
        in the guest there is no branch, so that none is counted."""
        self.convert(successor)
        if start is not None and successor <= start:
            self.poll(successor)
        if falls:
            self.lifter.branch(f"B{successor:x}")
        else:
            self.jump(successor)

    def jump(self, successor: int) -> None:
        """Emit the jump of a guest branch to a block: where it is counted, if it is."""
        self.lifter.branch(self._label(successor))

    def _label(self, successor: int) -> str:
        """Of a block, for a jump that is counted, if any is."""
        return f"{'B' if self._target.counters is None else 'C'}{successor:x}"

    def convert(self, successor: int) -> None:
        """Give FPRs that are single here, and need not be in this successor, their double form."""
        lifter, facts = self.lifter, self._facts
        for name in sorted(lifter.proven & facts.live[successor] - facts.proven[successor]):
            if slots.is_fpr(name) and name in self._used:
                number = slots.number_of(name)
                lifter.store_slot(slots.double(number), lifter.double(number, exact=True))

    def poll(self, successor: int, counted: bool = False) -> None:
        """Leave at `successor` if the CPU is to stop; `counted`: the jump there is counted already."""
        lifter = self.lifter
        leave, stay = lifter.labels(2)
        lifter.branch_if(self._exits.stays(), stay, leave, LIKELY)
        lifter.start(leave)
        if counted:
            count(lifter, self._target, successor, -1)
        lifter.leave(successor, Status.GO_ON, lifter.exit_registers(self._facts.live[successor]))
        lifter.start(stay)

    def _unless_taken(self, block: Block, taken: Value | None) -> None:
        """Go to the next block unless a jump out of the function is taken; go on where it is."""
        lifter = self.lifter
        if taken is not None:
            out, stay = lifter.labels(2)
            lifter.branch_if(taken, out, stay)
            lifter.start(stay)
            known = lifter.known()
            self._branch(block, None)
            lifter.resume(known)
            lifter.start(out)

    def _call(self, block: Block, target: Value, known: int | None) -> None:
        """Call compiled code if this module or the dispatch table has it; else, or when it comes back
        elsewhere, return. `known` is the target where it is known now."""
        lifter = self.lifter
        back, out = lifter.labels(2)
        self._exits.enter_other(target, known, out)
        pc = lifter.read(I64, lifter.field(layout.PC))
        status = lifter.read(I32, lifter.field(layout.STATUS))
        returned = pc.icmp("eq", block.after)
        lifter.branch_if(returned & status.icmp("eq", 0), back, out, LIKELY)
        lifter.start(out)
        lifter.emit("ret void")
        lifter.start(back)
        if block.after in self._flow.beyond:
            lifter.forget()
            lifter.begin_block((), (), ALL_LIVE)
            self._exits.go(lifter.constant(I64, block.after), None)
        elif known in self._leaves:
            self._arrive(block.after)  # where LLVM may see what the leaf did
        else:
            lifter.branch("enter" if self._enters_together else f"E{block.after:x}")
