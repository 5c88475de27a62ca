"""Running sums of a loop whose weights are halves (IEEE 754 binary16), widened by integer arithmetic: sixteen
of them are one conversion of the host's and one operation on sixteen lanes.

That is how a scalar product with such weights looks (`widened_half` in llama2c/src/halves.h): thirteen
instructions for four weights, then a vmaddfp by a line of memory. The loop's constants are looked at before
its first round. A half is zero, infinite, NaN or at least 2^-24, so that no weight needs a look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xenon.lifter.flow import Block
from xenon.lifter.guards import Place, writes_memory
from xenon.lifter.ir_types import HALF, I8, vector
from xenon.lifter.lift import Lifter
from xenon.lifter.slots import MOST_WIDE, is_vr, number_of, vr, wide
from xenon.lifter.speculate import Grain, Read
from xenon.lifter.sum_groups import SumGroup, SumGroups, lines_of_words, multiply_add
from xenon.lifter.values import Value
from xenon.lifter.widened_halves import BEFORE, CONSTANTS, LOAD, WIDENED, VectorTree, matched, tree_of

_LINE = 16  # bytes of a VR
_PARTS = 4  # VRs that the halves of two lines become


@dataclass(frozen=True, slots=True)
class _Product:
    """A vmaddfp: its index, the load and the half of it that its weights are, the load of the other factor,
    the VR that it adds to."""

    index: int
    weights: int
    late: bool
    load: int
    total: int


class _Group(SumGroup[_Product]):
    """Four products, by the order of their weights."""

    __slots__ = ()

    @property
    def row(self) -> tuple[int, ...]:
        return tuple(product.load for product in self.products)


class HalfSums(SumGroups[_Group]):
    """The groups of a loop, and the VRs that hold its constants, by their names."""

    def __init__(self, groups: list[_Group], constants: dict[str, int]) -> None:
        super().__init__(groups)
        self._constants = constants
        self._products = {product.index for group in groups for product in group.products}
        self._first = {load for group in groups for load in (group.row[0], group.products[0].weights)}
        self._addresses: dict[int, Value] = {}
        self._weights: dict[int, Value] = {}
        self._known: frozenset[tuple[int, ...]] = frozenset()
        self.indices = frozenset(self._products | self._first)
        """The instructions of the block that take part."""

    def repeated_rows(self) -> list[list[tuple[int, ...]]]:
        """Loads that may be the same in a later run of the loop: of the factors that are no weights."""
        return [list(dict.fromkeys(group.row for group in self._groups.values()))]

    def assumed(self, read: Read) -> list[Value]:
        """Before the first round, each an i1: the VRs hold what they must."""
        return [
            read(vr(number)).icmp("ne", CONSTANTS[name]).no_lane() for name, number in self._constants.items()
        ]

    def begin(self, known: Iterable[tuple[int, ...]]) -> None:
        """Start another form of the loop, in which the lanes of these rows are known to be factors."""
        self._addresses.clear()
        self._weights.clear()
        self._known = frozenset(known)

    def lift(self, lifter: Lifter, block: Block, index: int) -> bool:
        """Whether an instruction is done with: a product, which its group's last stands for. What makes
        weights is emitted as well; the host's compiler drops what nothing reads."""
        if index in self._first:
            self._addresses[index] = lifter.line_of(lifter.effective_address(block.body[index]))
        if index in self._groups:
            self._lift_group(lifter, self._groups[index])
        return index in self._products

    def _lift_group(self, lifter: Lifter, group: _Group) -> None:
        assert lifter.speculation is not None
        words = lines_of_words(lifter, self._addresses[group.row[0]], _PARTS)
        if group.row in self._known:
            lifter.speculation.promise(words, Grain.FACTOR)
        sums = lifter.get(group.slot)
        lifter.speculation.need(words, Grain.FACTOR)
        lifter.speculation.need(sums, Grain.MULTIPLE)
        weights = self._sixteen(lifter, group.products[0].weights)
        lifter.set(group.slot, multiply_add(lifter, (words, sums), Grain.MULTIPLE, floats=(weights,)))

    def _sixteen(self, lifter: Lifter, load: int) -> Value:
        """The weights that two lines hold from a load on."""
        if load not in self._weights:
            bytes = vector(2 * _LINE, I8)
            data = lifter.read(bytes, lifter.pointer(self._addresses[load]), ", align 16")
            order = [place ^ 7 for place in range(bytes.lanes)]  # lane 3 - e of a VR is its element e
            self._weights[load] = data.shuffle(order).bitcast(vector(16, HALF)).fpext(32)
        return self._weights[load]


def find_half_sums(block: Block, places: dict[int, Place]) -> HalfSums | None:
    """The sums of a loop of one block; None where there are none of this kind, or where something else
    touches a sum."""
    if any(map(writes_memory, block.body)):
        return None
    products, constants = _products(block)
    totals = {product.total for product in products}
    sums = {product.index for product in products}
    for index, instruction in enumerate(block.body):
        touched = {number_of(name) for name in instruction.reads | instruction.writes if is_vr(name)}
        if index not in sums and touched & totals:
            return None
    written = {number_of(name) for row in block.body for name in row.writes if is_vr(name)}
    groups = _grouped(products, places)
    if not groups or len(totals) != len(products) or written & set(constants.values()):
        return None
    return HalfSums(groups, constants)


def _products(block: Block) -> tuple[list[_Product], dict[str, int]]:
    """The vmaddfp of a block that add a widened half times a line, and its constants; none where one of them
    does something else."""
    held: dict[int, VectorTree] = {}
    constants: dict[str, int] = {}
    products = []
    for index, instruction in enumerate(block.body):
        mnemonic = instruction.mnemonic
        numbers = (instruction.ra, instruction.rb, instruction.rc)
        a, b, c = (held.get(number, VectorTree(BEFORE, number=number)) for number in numbers)
        if mnemonic == "vmaddfp":
            product = _product(index, (a, c), instruction.rt, constants)
            if product is None or instruction.rt != instruction.rb:
                return [], {}
            products.append(product)
        elif (tree := tree_of(instruction, index, a, b)) is not None:
            held[instruction.rt] = tree
        elif any(map(is_vr, instruction.writes)):
            return [], {}
    return products, constants


def _product(
    index: int, factors: tuple[VectorTree, VectorTree], total: int, constants: dict[str, int]
) -> _Product | None:
    """The product of a widened half and a line, in either order; notes its constants."""
    for weight, line in (factors, factors[::-1]):
        names = matched(WIDENED, weight, {})
        if names is None or line.kind != LOAD:
            continue
        words = names.pop("words")
        if words.kind not in ("vupkhsh", "vupklsh") or words.operands[0].kind != LOAD:
            continue
        if any(tree.kind != BEFORE for tree in names.values()):
            continue
        if any(constants.setdefault(name, tree.number) != tree.number for name, tree in names.items()):
            return None
        return _Product(index, words.operands[0].number, words.kind == "vupklsh", line.number, total)
    return None


def _grouped(products: list[_Product], places: dict[int, Place]) -> list[_Group]:
    """The products in fours of neighbouring lines; empty where some are left over."""

    def order(product: _Product) -> tuple[str, int, bool]:
        origin, offset = places[product.weights]
        return repr(origin), offset, product.late

    ordered = sorted(products, key=order)
    groups: list[_Group] = []
    for start in range(0, len(ordered), _PARTS):
        four = tuple(ordered[start : start + _PARTS])
        if len(four) < _PARTS or [product.late for product in four] != [False, True] * 2:
            return []
        early, late = four[0].weights, four[2].weights
        if (four[1].weights, four[3].weights) != (early, late):
            return []
        rows = [product.load for product in four]
        if not _are_neighbours([places[row] for row in rows]) or not _are_neighbours(
            [places[early], places[late]]
        ):
            return []
        groups.append(_Group(four, wide(len(groups), _PARTS)))
    return groups if len(groups) <= MOST_WIDE else []


def _are_neighbours(lines: list[Place]) -> bool:
    origin, offset = lines[0]
    return lines == [(origin, offset + _LINE * number) for number in range(len(lines))]
