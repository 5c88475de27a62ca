"""What holds at each block of a function, by data flow: live and changed registers, FPRs that provably hold
single-precision values, VRs without denormals, GPRs with a known value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from xenon.lifter.flow import Block, End, Flow
from xenon.powerpc.decode import Instruction, signed

_SINGLE_RESULT = frozenset(
    "lfs lfsu lfsx lfsux frsp fadds fsubs fmuls fdivs fsqrts fmadds fmsubs fnmadds fnmsubs".split()
)
_SINGLE_OPERANDS = frozenset(
    "fadds fsubs fmuls fdivs fsqrts fmadds fmsubs fnmadds fnmsubs stfs stfsu stfsx stfsux".split()
)
_SIGN_COPIES = frozenset("fmr fneg fabs fnabs".split())
_FLUSHED_RESULT = frozenset("vaddfp vsubfp vmaddfp vnmsubfp".split())

ALL_LIVE = frozenset(
    [f"f{n}" for n in range(32)] + [f"v{n}" for n in range(32)] + [f"c{n}" for n in range(32)] + ["ca"]
)


def copied_from(one: Instruction) -> int | None:
    """The source GPR of `mr`, None for any other instruction."""
    return one.rt if one.mnemonic == "or" and one.rt == one.rb else None


def narrow_after(one: Instruction, narrow: set[str]) -> None:
    """Update the registers known to be narrow: FPRs in single precision, VRs without denormals."""
    if one.mnemonic in _SINGLE_RESULT:
        narrow.add(f"f{one.rt}")
    elif one.mnemonic in _SIGN_COPIES:
        _copy(narrow, f"f{one.rt}", [f"f{one.rb}"])
    elif one.mnemonic == "fsel":
        _copy(narrow, f"f{one.rt}", [f"f{one.rb}", f"f{one.rc}"])
    elif one.mnemonic in _FLUSHED_RESULT or (one.mnemonic == "vxor" and one.ra == one.rb):
        narrow.add(f"v{one.rt}")
    elif one.mnemonic == "vor" and one.ra == one.rb:
        _copy(narrow, f"v{one.rt}", [f"v{one.ra}"])
    else:
        narrow -= {name for name in one.writes if name[0] in "fv"}


def _copy(narrow: set[str], to: str, sources: Iterable[str]) -> None:
    if all(source in narrow for source in sources):
        narrow.add(to)
    else:
        narrow.discard(to)


def constants_after(one: Instruction, known: dict[int, int]) -> None:
    """Update the GPRs whose value is known."""
    value = None
    low, high = one.si, signed(one.word, 16) << 16
    if one.mnemonic in ("addi", "addis"):
        base = 0 if one.ra == 0 else known.get(one.ra)
        value = None if base is None else base + (low if one.mnemonic == "addi" else high)
    elif one.mnemonic == "ori" and one.rt in known:
        value = known[one.rt] | one.ui
    for name in one.writes:
        if name[0] == "r":
            known.pop(int(name[1:]), None)
    if value is not None:
        known[one.ra if one.mnemonic == "ori" else one.rt] = value & 0xFFFF_FFFF_FFFF_FFFF


@dataclass(slots=True)
class Facts:
    """At the start of each block, by its address."""

    live: dict[int, frozenset[str]] = field(default_factory=dict)
    changed: dict[int, frozenset[str]] = field(default_factory=dict)
    narrow: dict[int, frozenset[str]] = field(default_factory=dict)
    known: dict[int, dict[int, int]] = field(default_factory=dict)
    hoped: dict[int, frozenset[str]] = field(default_factory=dict)


def find_facts(flow: Flow, hopeful: bool = True) -> Facts:
    """Solve all of them for a function; its entry and the places that calls return to know nothing.

    But `hopeful`, an FPR that holds a number for single-precision instructions alone is taken to be single
    there, which must be made sure (`hoped`).
    """
    facts = Facts()
    _solve_live(flow, facts)
    _solve_changed(flow, facts)
    if hopeful:
        _solve_hoped(flow, facts)
    _solve_narrow(flow, facts)
    _solve_known(flow, facts)
    return facts


def live_out(flow: Flow, block: Block, live: dict[int, frozenset[str]]) -> frozenset[str]:
    """What may still be read behind a block's last instruction. Other code may read everything."""
    if block.end not in (End.FALL, End.BRANCH):
        return ALL_LIVE
    return frozenset().union(*(live.get(start, frozenset()) for start in block.successors))


def live_before(one: Instruction, live: frozenset[str]) -> frozenset[str]:
    """Liveness before an instruction from that behind it."""
    return (live - one.writes) | one.reads


def _all(block: Block) -> list[Instruction]:
    return [*block.body, *([block.last] if block.last else [])]


def _solve_live(flow: Flow, facts: Facts) -> None:
    facts.live = {start: frozenset() for start in flow.blocks}
    changed = True
    while changed:
        changed = False
        for start in sorted(flow.blocks, reverse=True):
            block = flow.blocks[start]
            live = live_out(flow, block, facts.live)
            for one in reversed(_all(block)):
                live = live_before(one, live)
            if live != facts.live[start]:
                facts.live[start] = live
                changed = True


def _entries(flow: Flow) -> set[int]:
    return set(flow.entry_points)


def _solve_changed(flow: Flow, facts: Facts) -> None:
    facts.changed = {start: frozenset() for start in flow.blocks}
    waiting = list(flow.blocks)
    while waiting:
        block = flow.blocks[waiting.pop()]
        out = facts.changed[block.start].union(*(one.writes for one in _all(block)))
        if block.end in (End.CALL, End.CALL_CTR):
            continue  # all is written back before it, and read again behind
        for successor in block.successors:
            merged = facts.changed[successor] | out
            if merged != facts.changed[successor]:
                facts.changed[successor] = merged
                waiting.append(successor)


def _solve_narrow(flow: Flow, facts: Facts) -> None:
    entries = _entries(flow)
    top = frozenset(name for name in ALL_LIVE if name[0] in "fv")
    facts.narrow = {
        start: (top - facts.live[start]) | facts.hoped.get(start, frozenset()) if start in entries else top
        for start in flow.blocks
    }
    waiting = list(flow.blocks)
    while waiting:
        block = flow.blocks[waiting.pop()]
        narrow = set(facts.narrow[block.start])
        for one in block.body:
            narrow_after(one, narrow)
        if block.end in (End.CALL, End.CALL_CTR):
            continue
        for successor in block.successors:
            met = facts.narrow[successor] & (narrow | (top - facts.live[successor]))
            if met != facts.narrow[successor]:
                facts.narrow[successor] = met
                waiting.append(successor)


def _solve_hoped(flow: Flow, facts: Facts) -> None:
    """FPRs that are next read by single-precision instructions, and on no path by another one."""
    found: dict[int, tuple[frozenset[str], frozenset[str]]] = dict.fromkeys(
        flow.blocks, (frozenset(), frozenset())
    )
    changed = True
    while changed:
        changed = False
        for start in sorted(flow.blocks, reverse=True):
            block = flow.blocks[start]
            single: set[str] = set()
            other: set[str] = set()
            if block.end not in (End.CALL, End.CALL_CTR):
                for successor in block.successors:
                    single |= found[successor][0]
                    other |= found[successor][1]
            for one in reversed(block.body):
                _use_before(one, single, other)
            now = frozenset(single), frozenset(other)
            if now != found[start]:
                found[start] = now
                changed = True
    facts.hoped = {start: found[start][0] - found[start][1] for start in flow.entry_points}


def _use_before(one: Instruction, single: set[str], other: set[str]) -> None:
    reads = {name for name in one.reads if name[0] == "f"}
    if not reads and not any(name[0] == "f" for name in one.writes):
        return
    target = f"f{one.rt}"
    copies = one.mnemonic in _SIGN_COPIES or one.mnemonic == "fsel"
    wanted, unwanted = target in single, target in other
    for uses in (single, other):
        uses -= one.writes
    if one.mnemonic in _SINGLE_OPERANDS:
        single |= reads
    elif copies:
        moved = reads - {f"f{one.ra}"} if one.mnemonic == "fsel" else reads
        single |= moved if wanted else set()
        other |= moved if unwanted else set()
    elif not one.mnemonic.startswith("fcmp"):
        other |= reads


def _solve_known(flow: Flow, facts: Facts) -> None:
    facts.known = {start: {} for start in _entries(flow)}
    waiting = [start for start in flow.blocks if start in facts.known]
    while waiting:
        block = flow.blocks[waiting.pop()]
        known = dict(facts.known[block.start])
        for one in block.body:
            constants_after(one, known)
        if block.end in (End.CALL, End.CALL_CTR):
            continue
        for successor in block.successors:
            before = facts.known.get(successor)
            met = known if before is None else dict(before.items() & known.items())
            if met != before:
                facts.known[successor] = dict(met)
                waiting.append(successor)
    for start in flow.blocks:
        facts.known.setdefault(start, {})
