"""Vectors behind a loop that hold no denormal, without a look at them.

What the fast rounds of a loop compute are multiples of 2^-126 (speculate.py): coarse numbers, of which none
is a denormal. Sums of such numbers, rounded, are coarse again, so that adding up the partial sums of a scalar
product need not flush. Which additions these are is known from the code. Whether it was fast rounds that made
their operands turns out as it runs, by the stack slot of an i1: set where no such operand is under way,
cleared by rounds of any other form.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from xenon.lifter.emitter import Emitter
from xenon.lifter.facts import lanes_of
from xenon.lifter.flow import CALLING, Block, Flow
from xenon.lifter.ir_types import BIT
from xenon.lifter.slots import is_vr
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

_SUMS = frozenset(("vaddfp", "vsubfp"))
_FAST_RESULTS = _SUMS | {"vmaddfp", "vnmsubfp"}
_SLOT = "coarse"


@dataclass(frozen=True, slots=True)
class CoarseSums:
    """`sums` are the addresses of additions and subtractions of coarse numbers outside of loops, `fresh` the
    blocks at whose start no VR that is still read is taken for coarse."""

    sums: frozenset[int] = frozenset()
    fresh: frozenset[int] = frozenset()


def find_coarse_sums(
    flow: Flow, live: Mapping[int, frozenset[str]], speculating: Collection[int]
) -> CoarseSums:
    """Those of a function. `live` are the registers that may still be read at the start of each block,
    `speculating` the loops whose fast rounds speculate on what they compute."""
    everything = frozenset(name for block in flow.blocks.values() for name in _vrs_written(block))
    coarse = {start: frozenset() if start in flow.entry_points else everything for start in flow.blocks}
    waiting = list(flow.blocks)
    while waiting:
        block = flow.blocks[waiting.pop()]
        known = set(coarse[block.start])
        for instruction in block.body:
            _update(known, instruction, block.start in speculating)
        for successor in block.successors if block.end not in CALLING else ():
            met = coarse[successor] & known
            if met != coarse[successor]:
                coarse[successor] = met
                waiting.append(successor)
    sums: set[int] = set()
    for block in flow.blocks.values():
        known = set(coarse[block.start])
        for instruction in block.body if block.start not in speculating else ():
            if instruction.general_name in _SUMS and _operands(instruction) <= known:
                sums.add(instruction.address)
            _update(known, instruction, fast=False)
    return CoarseSums(
        frozenset(sums), frozenset(start for start in flow.blocks if not coarse[start] & live[start])
    )


def _vrs_written(block: Block) -> Iterator[str]:
    return (name for instruction in block.body for name in instruction.writes if is_vr(name))


def _operands(instruction: Instruction) -> set[str]:
    return {f"v{instruction.va}", f"v{instruction.vb}"}


def _update(known: set[str], instruction: Instruction, fast: bool) -> None:
    """What VRs are coarse behind an instruction, from those before it."""
    name, sources = instruction.general_name, lanes_of(instruction)
    if sources is None and name in _SUMS:
        sources = _operands(instruction)
    coarse = (fast and name in _FAST_RESULTS) or (sources is not None and sources <= known)
    known -= {register for register in instruction.writes if is_vr(register)}
    if coarse:
        known.add(f"v{instruction.vt}")


def reserve_coarse(emitter: Emitter) -> None:
    """Emit the stack slot of a function with such sums."""
    emitter.alloca(_SLOT, BIT)
    note_coarse(emitter, True)


def note_coarse(emitter: Emitter, coarse: bool) -> None:
    """Emit that nothing is taken for coarse, or that what is need not be."""
    emitter.write(emitter.constant(BIT, coarse), emitter.named(_SLOT))


def are_coarse(emitter: Emitter) -> Value:
    """An i1: all that is taken for coarse is."""
    return emitter.read(BIT, emitter.named(_SLOT))
