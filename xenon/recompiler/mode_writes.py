"""`mtfsf` that may set OE or UE of FPSCR from a value that is known only when it is executed."""

from __future__ import annotations

from xenon.lifter.fpscr import OE, UE
from xenon.powerpc.words import KEYS, key_of

_MASK, _OPCODE = 0xFC00_07FE, 0xFC00_058E  # both forms
_FIELD = 0x02 << 17  # of FLM in the word: the field with OE and UE


class ModeWrites:
    """The words of `mtfsf` that write the field with OE and UE."""

    def __contains__(self, word: object) -> bool:
        return isinstance(word, int) and word & _MASK == _OPCODE and bool(word & _FIELD)

    def likely(self) -> bytes:
        """See Words."""
        likely = bytearray(KEYS)
        likely[key_of(_OPCODE)] = likely[key_of(_OPCODE | 1)] = 1
        return bytes(likely)


MODE_WRITES = ModeWrites()


def enables(value: int) -> bool:
    """Whether a member sets OE or UE, where FRB has the bits `value`."""
    return bool(value & (OE | UE))
