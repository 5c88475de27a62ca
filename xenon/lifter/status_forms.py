"""The forms that change FPSCR by the way, by mnemonic.

Nothing of the lifter that generates code is imported here (see general.py).
"""

from __future__ import annotations

_ARITHMETIC = "fadd fsub fmul fdiv fsqrt fmadd fmsub fnmadd fnmsub".split()
ROUNDING = frozenset([*_ARITHMETIC, *(f"{name}s" for name in _ARITHMETIC), "frsp", "fcfid"])
CONVERSIONS = frozenset("fctid fctidz fctiw fctiwz".split())
COMPARISONS = frozenset(("fcmpu", "fcmpo"))
ESTIMATES = frozenset(("fres", "frsqrte"))
NOTING = ROUNDING | CONVERSIONS | COMPARISONS | ESTIMATES
"""Forms that change FPSCR by the way, but for those with a dot."""
SINGLE = frozenset(name for name in ROUNDING if name.endswith("s") or name == "frsp")
READERS = frozenset(("mffs", "mffs.", "mcrfs"))
"""Forms that show FR, FI and FPRF to a program."""
