"""A whole function as an LLVM module: entries, blocks, branches, calls, and the ways out of it.

It is `void name(state)`: it enters at the PC in the state, its own entry or a place that one of its calls
returns to, and comes back with another PC and every register written back. Whatever it cannot do it leaves to
Unicorn that way, at the instruction itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources

from xenon.hardware.memory_map import RAM_BYTES
from xenon.lifter import layout
from xenon.lifter.counting import count, say_where
from xenon.lifter.facts import Facts, find_facts, live_before, live_out, narrow_after
from xenon.lifter.flow import Block, End, Flow
from xenon.lifter.guards import Guard, find_addresses
from xenon.lifter.layout import Status
from xenon.lifter.lift import Lifter
from xenon.lifter.loops import Loop, is_loop, reserve
from xenon.lifter.registers import slot_type
from xenon.lifter.rules import RULES
from xenon.powerpc.decode import Instruction


@cache
def prelude() -> str:
    """Declarations and helpers that open every module."""
    return resources.files("xenon.lifter").joinpath("prelude.ll").read_text("utf-8")


def lift_unit(flow: Flow, name: str, x86: bool, hopeful: bool = True, counting: bool = False) -> str:
    """The text of a module that defines the function `name`; `hopeful`: see facts.py; `counting`: it measures
    what it does."""
    return Unit(flow, name, x86, hopeful, counting).text()


class Unit:
    def __init__(self, flow: Flow, name: str, x86: bool, hopeful: bool, counting: bool) -> None:
        self._flow = flow
        self._name = name
        self.facts: Facts = find_facts(flow, hopeful)
        self.lifter = Lifter(x86, counting)
        self.jump = (
            "C" if counting else "B"
        )  # where jumps to a block lead: where they are counted, or into it
        everything = [
            one
            for block in flow.blocks.values()
            for one in (*block.body, *([block.last] if block.last else []))
        ]
        self._used = frozenset().union(*(one.reads | one.writes for one in everything))
        ends = {block.end for block in flow.blocks.values()}
        if ends & {End.CALL, End.CALL_CTR, End.RETURN}:
            self._used |= {"lr"}
        if ends & {End.CALL_CTR, End.JUMP_CTR}:
            self._used |= {"ctr"}
        self._needs_extra = any(name[0] == "v" for name in self._used) or any(
            "ca" in self.facts.live[start] for start in flow.entry_points if "ca" in self._used
        )

    def text(self) -> str:
        lifter = self.lifter
        lines = [
            prelude(),
            *(["declare <16 x i8> @llvm.x86.ssse3.pshuf.b.128(<16 x i8>, <16 x i8>)"] if lifter.x86 else []),
            *(
                f"declare {kind} @llvm.{sign}{how}.{suffix}({kind}, {kind})"
                for kind, suffix in (("<16 x i8>", "v16i8"), ("<8 x i16>", "v8i16"), ("<4 x i32>", "v4i32"))
                for sign in "su"
                for how in ("min", "max")
            ),
            f"define void @{self._name}(ptr noalias %state) nounwind {{",
            "entry:",
        ]
        self._enter()
        for start in sorted(self._flow.blocks):
            self._block(self._flow.blocks[start])
        return "\n".join([*lines, *lifter.lines, "}\n"])

    def _enter(self) -> None:
        lifter = self.lifter
        reserve(self)
        for name in sorted(self._used):
            slots = (f"s{name[1:]}", f"d{name[1:]}") if name[0] == "f" else (name,)
            for slot in slots:
                lifter.emit(f"%{slot} = alloca {slot_type(slot)}")
                lifter.emit(f"%before_{slot} = alloca {slot_type(slot)}")
                zero = "zeroinitializer" if name[0] == "v" else "0.0" if name[0] == "f" else "0"
                lifter.emit(f"store {slot_type(slot)} {zero}, ptr %{slot}")
        lifter.emit(f"%ram = load ptr, ptr {lifter.field(layout.RAM)}")
        lifter.emit(f"%pages = getelementptr i8, ptr %ram, i64 {RAM_BYTES}")
        if self._needs_extra:
            ready, not_ready = lifter.label(), lifter.label()
            have = lifter.op(f"icmp ne i32 {lifter.op(f'load i32, ptr {lifter.field(layout.EXTRA)}')}, 0")
            lifter.emit(f"br i1 {have}, label %{ready}, label %{not_ready}, !prof !1")
            lifter.start(not_ready)
            lifter.emit(f"store i32 {int(Status.NEED_EXTRA)}, ptr {lifter.field(layout.STATUS)}")
            lifter.emit("ret void")
            lifter.start(ready)
        pc = lifter.op(f"load i64, ptr {lifter.field(layout.PC)}")
        entries = self._flow.entry_points
        cases = " ".join(f"i64 {start}, label %E{start:x}" for start in entries)
        lifter.emit(f"switch i64 {pc}, label %nowhere [ {cases} ]")
        lifter.start("nowhere")
        lifter.emit(f"store i32 {int(Status.REPEAT)}, ptr {lifter.field(layout.STATUS)}")
        lifter.emit("ret void")
        for start in entries:
            lifter.start(f"E{start:x}")
            lifter.forget()
            lifter.read_in(self._used)
            self._make_sure(self.facts.hoped.get(start, frozenset()) & self._used)
            lifter.narrow = set()
            if lifter.counting:
                say_where(lifter, self._flow.entries[0])
            lifter.emit(f"br label %{self.jump}{start:x}")

    def _make_sure(self, names: frozenset[str]) -> None:
        """Leave the entry to Unicorn unless these FPRs hold singles, and have them in that form."""
        lifter = self.lifter
        good = "true"
        for name in sorted(names):
            number = int(name[1:])
            wide = lifter.double(number)
            near = lifter.op(f"fptrunc double {wide} to float")
            again = lifter.exact(near, lifter.op(f"fpext float {near} to double"))
            bits = [lifter.op(f"bitcast double {value} to i64") for value in (wide, again)]
            good = lifter.op(f"and i1 {good}, {lifter.op(f'icmp eq i64 {bits[0]}, {bits[1]}')}")
            lifter.set_single(number, near)
        if names:
            go_on = lifter.label()
            lifter.emit(f"br i1 {good}, label %{go_on}, label %nowhere, !prof !1")
            lifter.start(go_on)

    def convert(self, successor: int) -> None:
        """Give FPRs that are single here and need not be in this successor their double form."""
        lifter = self.lifter
        for name in sorted(lifter.narrow & self.facts.live[successor] - self.facts.narrow[successor]):
            if name[0] == "f" and name in self._used:
                number = int(name[1:])
                wide = lifter.double(number, exact=True)
                lifter.emit(f"store double {wide}, ptr %d{number}")

    def _block(self, block: Block) -> None:
        if self.lifter.counting:
            self.lifter.start(f"C{block.start:x}")
            count(self.lifter, block.start)
            self.lifter.emit(f"br label %B{block.start:x}")
        if is_loop(block):
            Loop(self, block).lift()
        else:
            self.plain(block, find_addresses(block, self.facts.known[block.start]).guards)

    def plain(self, block: Block, guards: dict[int, Guard]) -> None:
        """A block whose every address is checked."""
        self.lifter.start(f"B{block.start:x}")
        self.lifter.forget()
        self.body(block, guards)
        self._end(block)

    def set_facts(self, block: Block) -> None:
        lifter, facts = self.lifter, self.facts
        lifter.narrow = set(facts.narrow[block.start])
        lifter.changed = set(facts.changed[block.start])
        lifter.live = facts.live[block.start]

    def body(
        self,
        block: Block,
        guards: dict[int, Guard],
        instead: Callable[[int, Instruction], bool] | None = None,
    ) -> None:
        """The instructions of a block but for its branch; `instead` may take care of one, by its index."""
        lifter = self.lifter
        self.set_facts(block)
        lives = self._lives(block)
        for index, one in enumerate(block.body):
            lifter.here = one.address
            lifter.guard = guards.get(index)
            lifter.live = lives[index]
            if instead is None or not instead(index, one):
                RULES[one.mnemonic](lifter, one)
            narrow_after(one, lifter.narrow)
            lifter.changed |= one.writes
        lifter.live = lives[-1]

    def _lives(self, block: Block) -> list[frozenset[str]]:
        """What is live before each instruction of the body, and before the branch."""
        live = live_out(self._flow, block, self.facts.live)
        if block.last is not None:
            live = live_before(block.last, live)
        found = [live]
        for one in reversed(block.body):
            live = live_before(one, live)
            found.append(live)
        return found[::-1]

    def _end(self, block: Block) -> None:
        lifter = self.lifter
        taken = self.condition(block.last) if block.last is not None else None
        if block.last is not None and block.end is not End.LEAVE:
            lifter.changed |= block.last.writes
            if block.last.mnemonic in ("bl", "bcctrl", "bcl"):
                lifter.set("lr", str(block.after))
                lifter.changed.add("lr")
        if block.end in (End.FALL, End.BRANCH):
            self._branch(block, taken)
        elif block.end is End.LEAVE:
            # An instruction that Unicorn executes, without entering compiled code at it.
            lifter.leave(str(block.target), Status.REPEAT, lifter.changed)
        elif block.end is End.TAIL:
            lifter.leave(str(block.target), Status.GO_ON, lifter.changed)
        elif block.end is End.JUMP_CTR:
            target = lifter.op(f"and i64 {lifter.get('ctr')}, -4")
            lifter.leave(target, Status.GO_ON, lifter.changed)
        elif block.end is End.RETURN:
            self._return(block, taken)
        elif block.end is End.CALL:
            self._call(block, str(block.target), block.target)
        else:
            self._call(block, lifter.op(f"and i64 {lifter.get('ctr')}, -4"), None)

    def condition(self, last: Instruction) -> str | None:
        """Whether a conditional branch is taken, None when it always is. Counts CTR down."""
        if not last.mnemonic.startswith("bc"):
            return None
        lifter, bo = self.lifter, last.rt
        terms = []
        if not bo & 4:
            lifter.set("ctr", lifter.op(f"add i64 {lifter.get('ctr')}, -1"))
            terms.append(lifter.op(f"icmp {'eq' if bo & 2 else 'ne'} i64 {lifter.get('ctr')}, 0"))
        if not bo & 16:
            bit = lifter.bit(last.ra)
            terms.append(bit if bo & 8 else lifter.op(f"xor i1 {bit}, true"))
        if not terms:
            return None
        return terms[0] if len(terms) == 1 else lifter.op(f"and i1 {terms[0]}, {terms[1]}")

    def _branch(self, block: Block, taken: str | None) -> None:
        lifter = self.lifter
        if taken is None or len(block.successors) == 1:
            self.go_to(block.successors[0], block.start, falls=block.end is End.FALL)
            return
        labels = [lifter.label() for _ in block.successors]
        lifter.emit(f"br i1 {taken}, label %{labels[0]}, label %{labels[1]}")
        narrow, known = set(lifter.narrow), lifter.known()
        for label, successor in zip(labels, block.successors, strict=True):
            lifter.start(label)
            lifter.narrow = set(narrow)
            lifter.forget(known)
            self.go_to(successor, block.start)

    def go_to(self, successor: int, start: int | None = None, falls: bool = False) -> None:
        """Branch to a block; back, from the block at `start`, not without a look at whether to stop. `falls`:
        in the guest there is no branch."""
        self.convert(successor)
        if start is not None and successor <= start:
            self.poll(successor)
        self.lifter.emit(f"br label %{'B' if falls else self.jump}{successor:x}")

    def poll(self, successor: int, counted: bool = False) -> None:
        """Leave for Unicorn, at `successor`, if the CPU is to stop; `counted`: the jump there is already."""
        lifter = self.lifter
        leave, stay = lifter.label(), lifter.label()
        flag = lifter.op(f"load atomic i32, ptr {lifter.field(layout.STOP)} monotonic, align 4")
        go_on = lifter.op(f"icmp eq i32 {flag}, 0")
        lifter.emit(f"br i1 {go_on}, label %{stay}, label %{leave}, !prof !1")
        lifter.start(leave)
        if lifter.counting and counted:
            count(lifter, successor, -1)
        lifter.live = self.facts.live[successor]
        lifter.leave(str(successor), Status.GO_ON, lifter.written())
        lifter.start(stay)

    def _return(self, block: Block, taken: str | None) -> None:
        lifter = self.lifter
        if taken is not None:
            out, stay = lifter.label(), lifter.label()
            lifter.emit(f"br i1 {taken}, label %{out}, label %{stay}")
            lifter.start(stay)
            known = lifter.known()
            self._branch(block, None)
            lifter.forget(known)
            lifter.start(out)
        target = lifter.op(f"and i64 {lifter.get('lr')}, -4")
        lifter.leave(target, Status.GO_ON, lifter.changed)

    def _call(self, block: Block, target: str, constant: int | None) -> None:
        """Call compiled code if the dispatch table has it; else, or when it comes back elsewhere, return.
        `constant` is the target where it is known now."""
        lifter = self.lifter
        lifter.write_back(lifter.changed)
        lifter.emit(f"store i64 {target}, ptr {lifter.field(layout.PC)}")
        depth = lifter.op(f"load i32, ptr {lifter.field(layout.DEPTH)}")
        room = lifter.op(f"icmp ult i32 {depth}, {layout.MOST_DEPTH}")
        table = lifter.op(f"load ptr, ptr {lifter.field(layout.DISPATCH)}")
        if constant is None:
            page = lifter.op(f"lshr i64 {target}, {layout.PAGE_SHIFT}")
            inside = lifter.op(f"icmp ult i64 {page}, {layout.PAGE_COUNT}")
            page = lifter.op(f"select i1 {inside}, i64 {page}, i64 {layout.PAGE_COUNT}")
            slot = lifter.op(f"lshr i64 {target}, 2")
            slot = lifter.op(f"and i64 {slot}, {layout.SLOTS_OF_PAGE - 1}")
        else:
            page, slot = str(layout.page_of(constant)), str(layout.slot(constant))
        block_place = lifter.op(f"getelementptr ptr, ptr {table}, i64 {page}")
        slots = lifter.op(f"load ptr, ptr {block_place}")
        function_place = lifter.op(f"getelementptr ptr, ptr {slots}, i64 {slot}")
        function = lifter.op(f"load ptr, ptr {function_place}")
        served = lifter.op(f"icmp ne ptr {function}, null")
        call, back, out = lifter.label(), lifter.label(), lifter.label()
        lifter.emit(f"br i1 {lifter.op(f'and i1 {room}, {served}')}, label %{call}, label %{out}")
        lifter.start(call)
        lifter.emit(f"store i32 {lifter.op(f'add i32 {depth}, 1')}, ptr {lifter.field(layout.DEPTH)}")
        lifter.emit(f"call void {function}(ptr %state)")
        lifter.emit(f"store i32 {depth}, ptr {lifter.field(layout.DEPTH)}")
        pc = lifter.op(f"load i64, ptr {lifter.field(layout.PC)}")
        status = lifter.op(f"load i32, ptr {lifter.field(layout.STATUS)}")
        here = lifter.op(f"icmp eq i64 {pc}, {block.after}")
        fine = lifter.op(f"icmp eq i32 {status}, 0")
        lifter.emit(f"br i1 {lifter.op(f'and i1 {here}, {fine}')}, label %{back}, label %{out}, !prof !1")
        lifter.start(out)
        lifter.emit("ret void")
        lifter.start(back)
        lifter.emit(f"br label %E{block.after:x}")
