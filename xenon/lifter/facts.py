"""What holds at each block of a function, by data flow: live and changed registers, FPRs that provably hold
single-precision values, VRs without denormals, GPRs with a known value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from xenon.lifter.flow import CALLING, Block, End, Flow
from xenon.lifter.slots import VR_COUNT, is_fpr, is_gpr, is_vr, number_of
from xenon.powerpc.decode import Instruction, signed

_SINGLE_RESULT = frozenset(
    "lfs lfsu lfsx lfsux frsp fadds fsubs fmuls fdivs fsqrts fmadds fmsubs fnmadds fnmsubs".split()
)
_SINGLE_OPERANDS = frozenset(
    "fadds fsubs fmuls fdivs fsqrts fmadds fmsubs fnmadds fnmsubs stfs stfsu stfsx stfsux".split()
)
_SIGN_COPIES = frozenset("fmr fneg fabs fnabs".split())
_ALL_THE_SAME = frozenset(("vspltw", "vspltisw"))
_LANES_MOVED = frozenset("vspltw vsldoi vmrghw vmrglw vpermwi".split())
_FLUSHED_RESULT = frozenset(
    "vaddfp vsubfp vmaddfp vnmsubfp vmaddcfp vmulfp vmsum3fp vmsum4fp vmaxfp vminfp".split()
)

ALL_LIVE = frozenset(
    [f"f{n}" for n in range(32)]
    + [f"v{n}" for n in range(VR_COUNT)]
    + [f"c{n}" for n in range(32)]
    + ["ca", "sat"]
)
"""What other code may read, but for registers that are always written back: GPRs, LR, CTR, v32 to v127."""


def copied_from(instruction: Instruction) -> int | None:
    """The source GPR of `mr`, None for any other instruction."""
    return instruction.rt if instruction.mnemonic == "or" and instruction.rt == instruction.rb else None


def proven_after(instruction: Instruction, proven: set[str]) -> None:
    """Update the proven registers: FPRs that hold singles, VRs without denormals; within a block also `u` and
    the number of each VR whose words are all the same."""
    name = instruction.general_name
    proven -= {f"u{number_of(register)}" for register in instruction.writes if is_vr(register)}
    if name in _ALL_THE_SAME:
        proven.add(f"u{instruction.vt}")
    if name in _SINGLE_RESULT:
        proven.add(f"f{instruction.rt}")
    elif name in _SIGN_COPIES:
        _copy(proven, f"f{instruction.rt}", [f"f{instruction.rb}"])
    elif name == "fsel":
        _copy(proven, f"f{instruction.rt}", [f"f{instruction.rb}", f"f{instruction.rc}"])
    elif name in _FLUSHED_RESULT:
        proven.add(f"v{instruction.vt}")
    elif (sources := lanes_of(instruction)) is not None:
        _copy(proven, f"v{instruction.vt}", sources)
    else:
        proven -= {name for name in instruction.writes if is_fpr(name) or is_vr(name)}


def lanes_of(instruction: Instruction) -> set[str] | None:
    """The VRs whose words VT consists of, none where all are zero; None for any other instruction."""
    name = instruction.general_name
    alone = instruction.va == instruction.vb
    if name == "vxor" and alone:
        return set()
    if (name == "vor" and alone) or (name in _LANES_MOVED and not (name == "vsldoi" and instruction.rc & 3)):
        return {register for register in instruction.reads if is_vr(register)}
    return None


def _copy(proven: set[str], to: str, sources: Iterable[str]) -> None:
    if all(source in proven for source in sources):
        proven.add(to)
    else:
        proven.discard(to)


def constants_after(instruction: Instruction, known: dict[int, int]) -> None:
    """Update the GPRs whose value is known."""
    value = None
    low, high = instruction.si, signed(instruction.word, 16) << 16
    if instruction.mnemonic in ("addi", "addis"):
        base = 0 if instruction.ra == 0 else known.get(instruction.ra)
        value = None if base is None else base + (low if instruction.mnemonic == "addi" else high)
    elif instruction.mnemonic == "ori" and instruction.rt in known:
        value = known[instruction.rt] | instruction.ui
    for name in instruction.writes:
        if is_gpr(name):
            known.pop(number_of(name), None)
    if value is not None:
        known[instruction.ra if instruction.mnemonic == "ori" else instruction.rt] = (
            value & 0xFFFF_FFFF_FFFF_FFFF
        )


@dataclass(slots=True)
class Facts:
    """At the start of each block, by its address."""

    live: dict[int, frozenset[str]] = field(default_factory=dict)
    changed: dict[int, frozenset[str]] = field(default_factory=dict)
    proven: dict[int, frozenset[str]] = field(default_factory=dict)
    known: dict[int, dict[int, int]] = field(default_factory=dict)
    assumed: dict[int, frozenset[str]] = field(default_factory=dict)


def find_facts(flow: Flow, assume_singles: bool) -> Facts:
    """Solve all of them for a function. Nothing is known at its entries and where its calls return to.

    With `assume_singles`, an FPR that only single-precision instructions read is taken to hold a single there
    (`assumed`); the entry must test that.
    """
    facts = Facts()
    _solve_live(flow, facts)
    _solve_changed(flow, facts)
    if assume_singles:
        _solve_assumed(flow, facts)
    _solve_proven(flow, facts)
    _solve_known(flow, facts)
    return facts


def live_out(flow: Flow, block: Block, live: dict[int, frozenset[str]]) -> frozenset[str]:
    """What may still be read behind a block's last instruction. Other code may read everything."""
    if block.end not in (End.FALL, End.BRANCH):
        return ALL_LIVE
    return frozenset().union(*(live.get(start, frozenset()) for start in block.successors))


def live_before(instruction: Instruction, live: frozenset[str]) -> frozenset[str]:
    """Liveness before an instruction from that behind it."""
    return (live - instruction.writes) | instruction.reads


def _solve_live(flow: Flow, facts: Facts) -> None:
    facts.live = {start: frozenset() for start in flow.blocks}
    changed = True
    while changed:
        changed = False
        for start in sorted(flow.blocks, reverse=True):
            block = flow.blocks[start]
            live = live_out(flow, block, facts.live)
            for instruction in reversed(block.instructions):
                live = live_before(instruction, live)
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
        out = facts.changed[block.start].union(*(instruction.writes for instruction in block.instructions))
        if block.end in CALLING:
            continue  # all is written back before it, and read again behind
        for successor in block.successors:
            merged = facts.changed[successor] | out
            if merged != facts.changed[successor]:
                facts.changed[successor] = merged
                waiting.append(successor)


def _solve_proven(flow: Flow, facts: Facts) -> None:
    entries = _entries(flow)
    top = frozenset(name for name in ALL_LIVE if is_fpr(name) or is_vr(name))
    facts.proven = {
        start: (top - facts.live[start]) | facts.assumed.get(start, frozenset()) if start in entries else top
        for start in flow.blocks
    }
    waiting = list(flow.blocks)
    while waiting:
        block = flow.blocks[waiting.pop()]
        proven = set(facts.proven[block.start])
        for instruction in block.body:
            proven_after(instruction, proven)
        if block.end in CALLING:
            continue
        for successor in block.successors:
            met = facts.proven[successor] & (proven | (top - facts.live[successor]))
            if met != facts.proven[successor]:
                facts.proven[successor] = met
                waiting.append(successor)


def _solve_assumed(flow: Flow, facts: Facts) -> None:
    """FPRs that are next read by single-precision instructions, and on no path by another instruction."""
    uses: dict[int, tuple[frozenset[str], frozenset[str]]] = dict.fromkeys(
        flow.blocks, (frozenset(), frozenset())
    )
    changed = True
    while changed:
        changed = False
        for start in sorted(flow.blocks, reverse=True):
            block = flow.blocks[start]
            single: set[str] = set()
            other: set[str] = set()
            if block.end not in CALLING:
                for successor in block.successors:
                    single |= uses[successor][0]
                    other |= uses[successor][1]
            for instruction in reversed(block.body):
                _use_before(instruction, single, other)
            now = frozenset(single), frozenset(other)
            if now != uses[start]:
                uses[start] = now
                changed = True
    facts.assumed = {start: uses[start][0] - uses[start][1] for start in flow.entry_points}


def _use_before(instruction: Instruction, single: set[str], other: set[str]) -> None:
    reads = {name for name in instruction.reads if is_fpr(name)}
    if not reads and not any(is_fpr(name) for name in instruction.writes):
        return
    target = f"f{instruction.rt}"
    copies = instruction.mnemonic in _SIGN_COPIES or instruction.mnemonic == "fsel"
    wanted, unwanted = target in single, target in other
    for readers in (single, other):
        readers -= instruction.writes
    if instruction.mnemonic in _SINGLE_OPERANDS:
        single |= reads
    elif copies:
        moved = reads - {f"f{instruction.ra}"} if instruction.mnemonic == "fsel" else reads
        single |= moved if wanted else set()
        other |= moved if unwanted else set()
    elif not instruction.mnemonic.startswith("fcmp"):
        other |= reads


def _solve_known(flow: Flow, facts: Facts) -> None:
    facts.known = {start: {} for start in _entries(flow)}
    waiting = [start for start in flow.blocks if start in facts.known]
    while waiting:
        block = flow.blocks[waiting.pop()]
        known = dict(facts.known[block.start])
        for instruction in block.body:
            constants_after(instruction, known)
        if block.end in CALLING:
            continue
        for successor in block.successors:
            before = facts.known.get(successor)
            met = known if before is None else dict(before.items() & known.items())
            if met != before:
                facts.known[successor] = dict(met)
                waiting.append(successor)
    for start in flow.blocks:
        facts.known.setdefault(start, {})
