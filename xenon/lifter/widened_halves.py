"""The instructions that widen halves (IEEE 754 binary16) by integer arithmetic, as a pattern.

It is that of `widened_half` in llama2c/src/halves.h, in whatever order a compiler put it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from xenon.powerpc.decode import Instruction

CONSTANTS = {
    "zero": 0,
    "infinity": 0x7C00,
    "magnitude": 0x7FFF,
    "sign": 0x8000_0000,
    "wider": 13,
    "rebias": 112 << 23,
}
"""What each lane of the VR with such a name holds."""
_UNORDERED = frozenset(("vand", "vor", "vadduwm", "vcmpequw"))
_FLAT = frozenset(("vor", "vadduwm"))  # a tree has all the operands of several in a row
LOAD, BEFORE, _NAME = "lvx", "before", "name"


@dataclass(frozen=True, slots=True)
class VectorTree:
    """What a VR holds: a mnemonic with its operands; a load, by its index in the block, or a VR that the
    round has not written, by its number. In a pattern also a name: any tree, the same everywhere."""

    kind: str
    operands: tuple[VectorTree, ...] = ()
    number: int = 0


def _widened() -> VectorTree:
    """The pattern of a widened half."""
    name = {name: VectorTree(_NAME + name) for name in (*CONSTANTS, "words")}
    exponent = VectorTree("vand", (name["words"], name["infinity"]))
    magnitude = VectorTree("vand", (name["words"], name["magnitude"]))
    is_small = VectorTree("vcmpequw", (exponent, name["zero"]))
    is_infinite = VectorTree("vcmpequw", (exponent, name["infinity"]))
    shifted = VectorTree("vslw", (magnitude, name["wider"]))
    more = VectorTree("vand", (is_infinite, name["rebias"]))
    usual = VectorTree("vandc", (VectorTree("vadduwm", (shifted, more, name["rebias"])), is_small))
    small = VectorTree("vand", (is_small, VectorTree("vcfsx 24", (magnitude,))))
    return VectorTree("vor", (small, usual, VectorTree("vand", (name["words"], name["sign"]))))


WIDENED = _widened()


def tree_of(instruction: Instruction, index: int, a: VectorTree, b: VectorTree) -> VectorTree | None:
    """What an instruction writes to its VR; None where it is none of those that widen halves."""
    mnemonic = instruction.mnemonic
    if mnemonic in ("lvx", "lvxl"):
        return VectorTree(LOAD, number=index)
    if mnemonic in ("vupkhsh", "vupklsh"):
        return VectorTree(mnemonic, (b,))
    if mnemonic == "vcfsx":
        return VectorTree(f"{mnemonic} {instruction.ra}", (b,))
    if mnemonic in _FLAT:
        parts = [tree.operands if tree.kind == mnemonic else (tree,) for tree in (a, b)]
        return VectorTree(mnemonic, (*parts[0], *parts[1]))
    return VectorTree(mnemonic, (a, b)) if mnemonic in ("vand", "vandc", "vslw", "vcmpequw") else None


def matched(
    pattern: VectorTree, tree: VectorTree, names: dict[str, VectorTree]
) -> dict[str, VectorTree] | None:
    """The trees that the names of a pattern stand for, with those known; None where it does not match."""
    if pattern.kind.startswith(_NAME):
        name = pattern.kind.removeprefix(_NAME)
        return {**names, name: tree} if names.get(name, tree) == tree else None
    if tree.kind != pattern.kind or len(tree.operands) != len(pattern.operands):
        return None
    for operands in permutations(tree.operands) if tree.kind in _UNORDERED else (tree.operands,):
        result: dict[str, VectorTree] | None = names
        for part, operand in zip(pattern.operands, operands, strict=True):
            result = matched(part, operand, result) if result is not None else None
        if result is not None:
            return result
    return None
