"""Instructions by what they do: the classes of an instruction mix, from the table of isa.py."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

from xenon.powerpc.isa import Encoding, Kind, encoding, foreign


class Work(Enum):
    """What an instruction does. Loads and stores are those of all units."""

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
    (r"lvs[lr]$", Work.VECTOR_PERMUTE),
    (r"(lw|pte)?sync|isync|eieio|dcb|xdcbt|icbi|dst|dss|cct|db\d+cyc", Work.CACHE),
    (r"(l[bhwdm]|ls[wi]|lf[sd]|lv)", Work.LOAD),
    (r"st", Work.STORE),
    (r"mcrxr|mfo?cr|mto?cr|m[ft]spr|mftb|m[ft]vscr|mffs|mtfs|mcrfs", Work.SPECIAL),
    (r"cr|mcrf", Work.CONDITION),
    (r"b", Work.BRANCH),
    (r"f", Work.FLOAT),
    (r"v(rf|exptefp|logefp|rsqrtefp|refp|msum|c[fstu]|pkd3d|upkd3d)", Work.VECTOR_FLOAT),
    (r"vcmp\w+fp|v(add|sub|max|min|mul|madd|maddc|nmsub|cmpb)fp", Work.VECTOR_FLOAT),
    (r"v(perm|sel|sldoi|splt|mrg|pk|upk|slo|sro|rlimi)", Work.VECTOR_PERMUTE),
    (r"v", Work.VECTOR_INTEGER),
    (r"sc$|t[wd]i?$|attn|m[ft]msr|rf", Work.SYSTEM),
)
_COMPILED = tuple((re.compile(pattern), work) for pattern, work in _PATTERNS)


def work_of(row: Encoding) -> Work:
    """The class of a row of the table."""
    if row.kind is Kind.SYSTEM and not row.mnemonic.startswith(("dst", "dss")):
        return Work.SYSTEM
    if row.kind in (Kind.REMOVED, Kind.ABSENT):
        return Work.FOREIGN
    plain = row.mnemonic.removesuffix(".").removesuffix("128")
    return next((work for pattern, work in _COMPILED if pattern.match(plain)), Work.INTEGER)


@lru_cache(maxsize=1 << 14)
def name_and_work(word: int) -> tuple[str, Work]:
    """Mnemonic and class of an instruction word."""
    row = encoding(word)
    if row is not None:
        return row.mnemonic, work_of(row)
    other = foreign(word)
    return (other.mnemonic if other else f"0x{word:08x}"), Work.FOREIGN
