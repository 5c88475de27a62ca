"""Where a `bctr` within a function may go: the jump tables of a compiler's `switch`, and arrays of labels.

CTR is followed backwards to a load from a table at a known place: 32-bit distances, from the table itself
or from another known address, or 64-bit addresses. The targets are a hint. Compiled code compares the target
that it has at run time with them, and leaves by the dispatch table for any other.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace

from xenon.lifter.flow import Block, End, Flow, Jumps, NotUnderstood, explore
from xenon.powerpc.abi import INSTRUCTION_BYTES, LOCAL_ENTRY_BYTES, entries_of, toc_distance
from xenon.powerpc.decode import Instruction, signed

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_MOST_ENTRIES = 1024
_MOST_STEPS = 12  # instructions that one value is made of
_MOST_ABOVE = 6  # blocks between the comparison that bounds an index and the jump
_NEAR = 0x10_0000  # bytes between a jump and its targets
_FIRST_PAGES = 0x1_0000  # no table is below
_TOC = 2  # the register
_FRAMES = (1, 31)  # registers that point to the function's frame
_VOLATILE = frozenset(("r0", *(f"r{number}" for number in range(3, 13))))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a program has around its functions: `read` gives the bytes of (address, size) or None, `extent`
    where the function around an address begins and ends; `toc` is r2, where it is known."""

    read: Callable[[int, int], bytes | None]
    extent: Callable[[int], tuple[int, int] | None] = lambda _: None
    toc: int | None = None


@dataclass(frozen=True, slots=True)
class _Term:
    """A part of a sum that is not known: at most `most`; or a load of `width` bytes from `place`."""

    most: int | None = None
    place: _Sum | None = None
    width: int = 0
    signed: bool = False


@dataclass(frozen=True, slots=True)
class _Sum:
    known: int
    terms: tuple[_Term, ...] = ()

    def __add__(self, other: _Sum) -> _Sum:
        return _Sum((self.known + other.known) & _MASK, self.terms + other.terms)

    @property
    def most(self) -> int | None:
        """What it is at most."""
        parts = [term.most for term in self.terms]
        return None if any(part is None for part in parts) else self.known + sum(filter(None, parts))


_UNKNOWN = _Sum(0, (_Term(),))


def find_targets(
    values: _Values, block: Block, fetch: Callable[[int], int | None], around: Surroundings
) -> tuple[int, ...]:
    """The targets of the `bctr` that a block ends with, each once; none where they cannot be told."""
    target = values.before(block, len(block.body), "ctr")
    extent = around.extent(block.start)
    if not target.terms:
        inside = extent is not None and extent[0] <= target.known < extent[1]
        return (target.known,) if inside and fetch(target.known) is not None else ()
    loads = [term for term in target.terms if term.place is not None]
    if len(loads) != 1 or loads[0].place is None or not loads[0].place.terms:
        return ()
    load, place = loads[0], loads[0].place
    table, base = place.known, target.known
    if len(target.terms) > 1:  # distances from a place that is not known: probably from the table
        base = table
    if table < _FIRST_PAGES:
        return ()
    most = replace(place, known=0).most
    bound = values.bound(block)
    counts = [_MOST_ENTRIES, *([] if most is None else [most // load.width + 1])]
    count = min([*counts, *([] if bound is None else [bound])])
    targets: dict[int, None] = {}
    for index in range(count):
        address = table + load.width * index
        entry = around.read(address, load.width)
        if entry is None or address in targets:
            break
        to = (base + int.from_bytes(entry, "big", signed=load.signed)) & _MASK
        inside = extent[0] <= to < extent[1] if extent and bound is None else abs(to - block.start) < _NEAR
        if to % INSTRUCTION_BYTES or not inside or fetch(to) is None:
            break
        targets[to] = None
    return tuple(targets)


class _Values:
    """Values of registers in a function, as far as they can be told by looking back."""

    def __init__(self, flow: Flow, around: Surroundings) -> None:
        self._flow = flow
        self._around = around
        self._before: dict[int, list[Block]] = {}
        for block in flow.blocks.values():
            for successor in block.successors:
                self._before.setdefault(successor, []).append(block)
        self._steps = 0
        self._results: dict[int, _Sum] = {}  # of instructions, by their addresses
        self._stored: dict[tuple[int, int], list[tuple[Block, int]]] = {}  # by base register and distance
        for block in flow.blocks.values():
            for index, instruction in enumerate(block.body):
                if instruction.mnemonic == "std" and instruction.ra in _FRAMES:
                    slot = instruction.ra, instruction.displacement
                    self._stored.setdefault(slot, []).append((block, index))

    def before(self, block: Block, index: int, register: str) -> _Sum:
        """The value that a register has before an instruction of a block."""
        if register == f"r{_TOC}" and self._toc is not None:
            return _Sum(self._toc)
        if self._steps >= _MOST_STEPS:
            return _UNKNOWN
        self._steps += 1
        values = {self._result(*place) for place in self._writers(block, index, register)}
        self._steps -= 1
        if len(values) == 1:
            return values.pop()
        known = {value for value in values if not value.terms}
        return known.pop() if len(known) == 1 else _UNKNOWN

    @property
    def _toc(self) -> int | None:
        """r2: as the function's own global entry makes it, else the program's."""
        start = self._flow.entries[0]
        if self._flow.entries[:2] == (start, start + LOCAL_ENTRY_BYTES):
            words = dict(self._flow.words)
            high, low = words.get(start), words.get(start + INSTRUCTION_BYTES)
            if high is not None and low is not None:
                return (start + toc_distance(high, low)) & _MASK
        return self._around.toc

    def _writers(self, block: Block, index: int, register: str) -> Iterator[tuple[Block, int]]:
        """The instructions whose result a register may hold before an instruction; none for what comes from
        outside."""
        seen = set()
        waiting = [(block, index)]
        while waiting:
            block, index = waiting.pop()
            for number in range(index - 1, -1, -1):
                if register in block.body[number].writes:
                    yield block, number
                    break
            else:
                for above in self._before.get(block.start, ()):
                    called = above.end in (End.CALL, End.CALL_CTR, End.SYSTEM_CALL)
                    if above.start not in seen and not (called and register in _VOLATILE | {"ctr"}):
                        seen.add(above.start)
                        waiting.append((above, len(above.body)))

    def _result(self, block: Block, index: int) -> _Sum:
        """What an instruction leaves in its target."""
        address = block.body[index].address
        if address not in self._results:
            self._results[address] = _UNKNOWN  # where it depends on itself
            self._results[address] = self._computed(block, index)
        return self._results[address]

    def _computed(self, block: Block, index: int) -> _Sum:
        instruction = block.body[index]
        name = instruction.mnemonic

        def value(number: int) -> _Sum:
            return self.before(block, index, f"r{number}")

        if name in ("addi", "addis"):
            step = instruction.si if name == "addi" else signed(instruction.word, 16) << 16
            base = value(instruction.ra) if instruction.ra else _Sum(0)
            return base + _Sum(step & _MASK)
        if name == "add":
            return value(instruction.ra) + value(instruction.rb)
        if name in ("mtctr", "or") and (name == "mtctr" or instruction.rt == instruction.rb):
            return value(instruction.rt)
        if name == "extsw":
            return _sign_extended(value(instruction.rt))
        if instruction.access is not None and not instruction.access.write:
            return self._loaded(instruction, value)
        if name in ("rldicl", "rldicr", "rldic", "rlwinm", "andi."):
            return _Sum(0, (_Term(_most(instruction, value(instruction.rt).most)),))
        return _UNKNOWN

    def _loaded(self, instruction: Instruction, value: Callable[[int], _Sum]) -> _Sum:
        access = instruction.access
        if access is None or access.update or not any(name[0] == "r" for name in instruction.writes):
            return _UNKNOWN
        if access.size < 4:
            return _Sum(0, (_Term((1 << 8 * access.size) - 1),))
        place = value(instruction.ra) if instruction.ra else _Sum(0)
        if access.form == "X":
            place += value(instruction.rb)
        else:
            place += _Sum(instruction.displacement & _MASK)
        if not place.terms:  # of the table of contents
            data = self._around.read(place.known, access.size)
            return _UNKNOWN if data is None else _Sum(int.from_bytes(data, "big"))
        if instruction.ra in _FRAMES and access.form != "X":
            kept = self._kept(instruction)
            if kept is not None:
                return kept
        return _Sum(0, (_Term(None, place, access.size, instruction.mnemonic in ("lwa", "lwax")),))

    def _kept(self, load: Instruction) -> _Sum | None:
        """What the function keeps in a stack slot, if that is always the same known value."""
        values = {
            self.before(block, index, f"r{block.body[index].rt}")
            for block, index in self._stored.get((load.ra, load.displacement), ())
        }
        return values.pop() if len(values) == 1 and not next(iter(values)).terms else None

    def bound(self, block: Block) -> int | None:
        """How many values the comparison before the jump lets pass."""
        for _ in range(_MOST_ABOVE):
            above = self._before.get(block.start, [])
            if len(above) != 1:
                return None
            (block,) = above
            if block.last is None or block.last.mnemonic != "bc":
                continue
            bit = block.last.ra
            for instruction in reversed(block.body):
                if instruction.mnemonic in ("cmpli", "cmpi") and f"c{bit}" in instruction.writes:
                    return instruction.ui + (bit % 4 == 1) if bit % 4 < 2 else None
        return None


def _sign_extended(value: _Sum) -> _Sum:
    """`extsw` of a loaded word, or of what is small and positive."""
    if value.known == 0 and len(value.terms) == 1 and value.terms[0].width == 4:
        return _Sum(0, (replace(value.terms[0], signed=True),))
    return value if value.most is not None else _UNKNOWN


def _most(instruction: Instruction, source: int | None) -> int | None:
    """The largest result of a rotation with a mask."""
    name = instruction.mnemonic
    if name == "andi.":
        return instruction.ui
    if name == "rlwinm":
        first, last = instruction.rc, instruction.bits(26, 5)
        return (1 << 32 - first) - (1 << 31 - last) if first <= last else None
    shift = instruction.rb | instruction.bits(30, 1) << 5
    edge = instruction.rc | instruction.bits(26, 1) << 5
    if name == "rldicr":
        return source << shift if source is not None and edge == 63 - shift else None
    mask = (1 << 64 - edge) - 1
    if name == "rldic":
        return mask & -(1 << shift)
    return min(mask, source) if shift == 0 and source is not None else mask


def explore_function(
    fetch: Callable[[int], int | None],
    entries: tuple[int, ...],
    functions: Container[int] = (),
    around: Surroundings | None = None,
    obstacles: list[NotUnderstood] | None = None,
) -> Flow:
    """Follow a function's control flow as `explore` does, through its jump tables too.

    Raises NotUnderstood, but not for what only a jump table leads to: the tables are left out then.
    """
    jumps: Jumps = {}
    if around is not None:
        jumps, flow = _find_jumps(fetch, entries, functions, around)
        if flow is not None and flow.entries == entries:
            return flow
    try:
        return explore(fetch, entries, functions, obstacles, jumps)
    except NotUnderstood:
        if not jumps:
            raise
        return explore(fetch, entries, functions, obstacles)


def whole_function(
    fetch: Callable[[int], int | None],
    entries: tuple[int, ...],
    functions: Container[int],
    around: Surroundings | None,
) -> Flow:
    """The control flow of the function around these entries, from its own entries too.

    Raises NotUnderstood.
    """
    return explore_function(fetch, _all_entries(fetch, entries, around), functions, around)


def _all_entries(
    fetch: Callable[[int], int | None], entries: tuple[int, ...], around: Surroundings | None
) -> tuple[int, ...]:
    extent = None if around is None else around.extent(entries[0])
    if extent is None or extent[0] in entries:
        return entries
    return (*entries_of(fetch, extent[0]), *entries)


def _find_jumps(
    fetch: Callable[[int], int | None],
    entries: tuple[int, ...],
    functions: Container[int],
    around: Surroundings,
) -> tuple[Jumps, Flow | None]:
    """The targets of the `bctr` of a function, also where it is entered behind what leads to a table; and the
    function's flow from all its entries, None where it is not understood."""
    entries = _all_entries(fetch, entries, around)
    jumps: dict[int, tuple[int, ...]] = {}
    while True:
        obstacles: list[NotUnderstood] = []
        flow = explore(fetch, entries, functions, obstacles, jumps)
        computed = [
            block for block in flow.blocks.values() if block.end is End.JUMP_CTR and not block.successors
        ]
        values = _Values(flow, around) if computed else None
        new = {
            block.last.address: reached
            for block in computed
            if values is not None and block.last is not None
            if (reached := find_targets(values, block, fetch, around))
        }
        if not new:
            return jumps, None if obstacles else flow
        jumps |= new
