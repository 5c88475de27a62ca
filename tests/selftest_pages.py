"""Pages of a console's self-test, as a console would print them."""

from __future__ import annotations

import zlib

LINES = (
    *("self-test 1", "pvr 00710500", "threads 3f", "vmaddfp 4013d70b 9f0d4595"),
    *("timebase 50000000", "chain 3000 4000", "latency 1560 12400 160000", "load 01 700"),
    *("read 01 4000", "read 05 7000", "read 15 9600", "read 3f 9100", "logits-vmx 1 05403bc1 120000"),
)


def page_of(*lines: str) -> str:
    """A page of these lines as a console prints it."""
    whole = "".join(f"{line}\n" for line in lines)
    end = f"end {len(lines)} {zlib.crc32(whole.encode()):08x}"
    return "".join(f"{line} {zlib.crc32(line.encode()) & 0xFFFF:04x}\n" for line in (*lines, end))


PAGE = page_of(*LINES)
