"""Running sums of a loop that are one operation: what their forms have in common (side_by_side.py,
unpacked.py, half_sums.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from xenon.lifter.slots import Slot


class Product(Protocol):
    """A vmaddfp: its index in the block, the VR that it adds to."""

    @property
    def index(self) -> int: ...

    @property
    def total(self) -> int: ...


P = TypeVar("P", bound=Product)


@dataclass(frozen=True, slots=True)
class SumGroup(Generic[P]):
    """Products that are one operation; their sums, in the order of the products, are in `slot`."""

    products: tuple[P, ...]
    slot: Slot

    @property
    def last(self) -> int:
        """The index behind which all of it is known."""
        return max(product.index for product in self.products)

    @property
    def totals(self) -> tuple[int, ...]:
        return tuple(product.total for product in self.products)
