"""Classes of instructions for an instruction mix, from the table of isa.py."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

from xenon.powerpc.isa import Encoding, Kind, encoding, foreign


class InstructionClass(Enum):
    """What an instruction does. LOAD and STORE are those of all units."""

    INTEGER = "integer"
    LOAD = "load"
    STORE = "store"
    BRANCH = "branch"
    CONDITION = "condition register"
    FLOAT = "float"
    VECTOR_FLOAT = "VMX float"
    VECTOR_INTEGER = "VMX integer"
    VECTOR_PERMUTE = "VMX permute"
    SPECIAL = "special register"
    CACHE = "cache and order"
    SYSTEM = "system"
    FOREIGN = "not Xenon's"


# The first pattern that a mnemonic (without its dot and the 128 of VMX128) begins with decides.
_PATTERNS = (
    (r"lvs[lr]$", InstructionClass.VECTOR_PERMUTE),
    (r"(lw|pte)?sync|isync|eieio|dcb|xdcbt|icbi|dst|dss|cct|db\d+cyc", InstructionClass.CACHE),
    (r"(l[bhwdm]|ls[wi]|lf[sd]|lv)", InstructionClass.LOAD),
    (r"st", InstructionClass.STORE),
    (r"mcrxr|mfo?cr|mto?cr|m[ft]spr|mftb|m[ft]vscr|mffs|mtfs|mcrfs", InstructionClass.SPECIAL),
    (r"cr|mcrf", InstructionClass.CONDITION),
    (r"b", InstructionClass.BRANCH),
    (r"f", InstructionClass.FLOAT),
    (r"v(rf|exptefp|logefp|rsqrtefp|refp|msum|c[fstu]|pkd3d|upkd3d)", InstructionClass.VECTOR_FLOAT),
    (r"vcmp\w+fp|v(add|sub|max|min|mul|madd|maddc|nmsub|cmpb)fp", InstructionClass.VECTOR_FLOAT),
    (r"v(perm|sel|sldoi|splt|mrg|pk|upk|slo|sro|rlimi)", InstructionClass.VECTOR_PERMUTE),
    (r"v", InstructionClass.VECTOR_INTEGER),
    (r"sc$|t[wd]i?$|attn|m[ft]msr|rf", InstructionClass.SYSTEM),
)
_COMPILED = tuple((re.compile(pattern), kind) for pattern, kind in _PATTERNS)


def class_of(row: Encoding) -> InstructionClass:
    """The class of a row of the table."""
    if row.kind is Kind.SYSTEM and not row.mnemonic.startswith(("dst", "dss")):
        return InstructionClass.SYSTEM
    if row.kind in (Kind.REMOVED, Kind.ABSENT):
        return InstructionClass.FOREIGN
    plain = row.mnemonic.removesuffix(".").removesuffix("128")
    kinds = (kind for pattern, kind in _COMPILED if pattern.match(plain))
    return next(kinds, InstructionClass.INTEGER)


@lru_cache(maxsize=1 << 14)
def name_and_class(word: int) -> tuple[str, InstructionClass]:
    """Mnemonic and class of an instruction word."""
    row = encoding(word)
    if row is not None:
        return row.mnemonic, class_of(row)
    other = foreign(word)
    return (other.mnemonic if other else f"0x{word:08x}"), InstructionClass.FOREIGN
