"""The last floating-point instructions before control leaves a function, of which other code may see FPSCR.

FR, FI and FPRF belong to the instruction that was executed last. In a program that shows them
(`Target.shows_status`), functions note that instruction and its operands in the state, where control may
leave before another follows; whoever wants to see FPSCR calls the resolver (resolver.py). In other programs
nothing is noted.

Three instructions may be noted: one that sets all of these bits, a conversion behind it, which sets FR and
FI, and a comparison behind it, which sets FPCC.
"""

from __future__ import annotations

from enum import Enum

from xenon.lifter import layout
from xenon.lifter.flow import Block, End, Flow
from xenon.lifter.ir_types import I8, I32
from xenon.lifter.lift import Lifter
from xenon.lifter.rules_float import fpr_operands
from xenon.lifter.status_forms import COMPARISONS, CONVERSIONS, NOTING
from xenon.powerpc.decode import Instruction

FORMS = tuple(sorted(NOTING))
SINGLE = 0x40  # added to the number of a form whose operands are noted as floats
_ROUNDED, _CLASS, _COMPARED = "FR and FI", "the class", "FPCC"
_ALL = frozenset((_ROUNDED, _CLASS, _COMPARED))
OPERANDS = ("FA", "FB", "FC")


def _sets(name: str) -> frozenset[str]:
    """What a form sets."""
    if name in CONVERSIONS:
        return frozenset((_ROUNDED,))
    if name in COMPARISONS:
        return frozenset((_COMPARED,))
    return _ALL if name in NOTING else frozenset()


def find_last(flow: Flow) -> frozenset[int]:
    """The addresses of instructions of NOTING whose bits of FPSCR may be seen when control leaves the
    function, or by an instruction on FPSCR."""
    before: dict[int, frozenset[str]] = {start: frozenset() for start in flow.blocks}
    last: set[int] = set()
    changed = True
    while changed:
        changed = False
        for start in sorted(flow.blocks, reverse=True):
            block = flow.blocks[start]
            wanted = _wanted_behind(block, before)
            for instruction in reversed(block.body):
                name = instruction.mnemonic.removesuffix(".")
                if name in NOTING and wanted & _sets(name):
                    last.add(instruction.address)
                wanted = _ALL if name.startswith(("mtfs", "mcrfs")) else wanted - _sets(name)
            if wanted != before[start]:
                before[start] = wanted
                changed = True
    return frozenset(last)


def _wanted_behind(block: Block, before: dict[int, frozenset[str]]) -> frozenset[str]:
    if block.end not in (End.FALL, End.BRANCH):
        return _ALL
    return frozenset().union(*(before[successor] for successor in block.successors))


class LastKind(Enum):
    """The three that may be noted, by the byte that names the form."""

    WHOLE = 0
    CONVERSION = 1
    COMPARISON = 2

    def operand(self, name: str) -> int:
        """Where the state has an operand."""
        if self is LastKind.CONVERSION:
            return layout.LAST_CONVERTED
        first = layout.LAST_COMPARED if self is LastKind.COMPARISON else layout.LAST_OPERANDS
        return first + 8 * OPERANDS.index(name)


def kind_noted(name: str) -> LastKind:
    """How a form of NOTING is noted."""
    if name in CONVERSIONS:
        return LastKind.CONVERSION
    return LastKind.COMPARISON if name in COMPARISONS else LastKind.WHOLE


def note_last(lifter: Lifter, instruction: Instruction) -> None:
    """Note an instruction of NOTING that is about to be executed."""
    name, registers = instruction.mnemonic, fpr_operands(instruction)
    bits = name == "fcfid"  # its operand is no number
    single = not bits and all(map(lifter.is_single, registers.values()))
    form = FORMS.index(name) + 1 + (SINGLE if single else 0)
    kind = kind_noted(name)
    for operand, register in registers.items():
        value = lifter.single(register) if single else lifter.double(register, exact=bits)
        lifter.write(value, lifter.field(kind.operand(operand)))
    # The whole word: nothing is noted any more of what came before.
    type = I32 if kind is LastKind.WHOLE else I8
    lifter.write(lifter.constant(type, form), lifter.field(layout.LAST_FORMS + kind.value))
