"""What the page of a console's self-test means: codes that are known by name, speeds in units."""

from __future__ import annotations

from collections.abc import Iterator

from xenon.errors import XenonError
from xenon.stories.selftest_page import PageLine, SelfTestPage

_HERE = "as in the emulated console"
_ONCE, _TWICE = f"rounded once, {_HERE}", "rounded twice, which the emulated console does not"
_TABLE = f"by the tables that are published for the Cell PPE, {_HERE}"
_EXACT = "exact, which the emulated console is not"
CODES: dict[str, dict[int, dict[str, str]]] = {
    "vmaddfp": {
        0: {"4013d70b": _ONCE, "4013d70a": _TWICE},
        1: {"9f0d4595": _ONCE, "2653c1a4": _TWICE},
    },
    "vnmsubfp": {0: {"7e108bb0": _ONCE, "6125d93a": _TWICE}},
    "vrefp": {0: {"43e21141": _TABLE, "480a6e2c": _EXACT}},
    "vrsqrtefp": {0: {"09abf4ae": _TABLE, "98fa074b": _EXACT}},
    "vlogefp": {0: {"9b33eb06": _TABLE}},
    "vexptefp": {0: {"f6ca03bd": _TABLE}},
    "fres": {0: {"a52f69b0": _TABLE, "b62d0a26": _EXACT}},
    "frsqrte": {0: {"b4645fe8": _TABLE, "f9bbbff1": _EXACT}},
    "logits-scalar": {1: {"97831a45": _HERE}},
    "logits-vmx": {1: {"05403bc1": _HERE}},
}
"""By label and word: the codes that are known, and what each stands for. The tests compute all of them."""
_BOARDS = {
    0x0071_0200: "Xenon",
    0x0071_0300: "Zephyr",
    0x0071_0500: "Falcon or Jasper",
    0x0071_0800: "Trinity or Corona",
    0x0071_0900: "Winchester",
    0x0071_0A00: "Winchester",
}
"""Processor versions and the boards that have them (libxenon xb360.c)."""
_UNKNOWN = "unlike all that is known here"


def page_facts(page: SelfTestPage) -> dict[str, object]:
    """Facts of a page. Raises XenonError for a line whose words cannot be."""
    codes = dict(_known_codes(page)) | dict(_other_codes(page))
    facts: dict[str, object] = {
        "path": page.name,
        "format": "page of a console's self-test",
        "lines": len(page.all_lines),
    }
    if line := page.line("pvr"):
        version = line.hexadecimal(0)
        board = _BOARDS.get(version, "no board that is known here")
        facts["processor"] = f"PVR {version:08x}: {board}"
    if line := page.line("threads"):
        facts["hardware_threads"] = line.hexadecimal(0).bit_count()
    return facts | {"codes": codes, "speeds": dict(_speeds(page))}


def _known_codes(page: SelfTestPage) -> Iterator[tuple[str, str]]:
    """A line for each label; those of several threads must agree."""
    for label in CODES:
        if lines := page.lines(label):
            yield label, "; ".join(dict.fromkeys(_meaning(line) for line in lines))


def _meaning(line: PageLine) -> str:
    """What the codes of a line stand for; more than one where they contradict each other."""
    if line.words[-1:] == ("failed",):
        return "failed"
    meanings = []
    for index, known in CODES[line.label].items():
        code = f"{line.hexadecimal(index):08x}"
        meanings.append(known.get(code, f"{code}, {_UNKNOWN}"))
    return "; ".join(dict.fromkeys(meanings))


def _other_codes(page: SelfTestPage) -> Iterator[tuple[str, str]]:
    if line := page.line("divide"):
        yield "divide", "0" if set(line.words) == {"0"} else f"not 0: {' '.join(line.words)}"
    if line := page.line("dcbz"):
        yield "dcbz", _cleared(line)
    if line := page.line("reservation"):
        yield "reservation", "works" if line.words == ("1",) else " ".join(line.words)
    if line := page.line("cached"):
        yield "RAM in real mode", "cached" if line.decimal(0) else "not cached, or as slow as if it were not"


def _cleared(line: PageLine) -> str:
    """Both instructions: bytes, or the exception that they took."""
    words, parts = list(line.words), []
    while words:
        taken = 2 if words[0] == "exception" else 1
        parts.append(" ".join(words[:taken]) + " bytes" * (taken == 1))
        words = words[taken:]
    if len(parts) != 2:
        raise XenonError(
            f"{line.name}: line {line.number}: {len(parts)} results of {line.label!r}, expected 2",
            "the page is of another program",
        )
    return f"dcbz {parts[0]}, dcbzl {parts[1]}"


def _speeds(page: SelfTestPage) -> Iterator[tuple[str, str]]:
    if (line := page.line("timebase")) and (hertz := line.decimal(0)):
        yield "time base", f"{hertz / 1e6:.3f} MHz"
    if line := page.line("chain"):
        yield "fmadds, vmaddfp to next use", f"{_nanoseconds(line, 0)}, {_nanoseconds(line, 1)}"
    if line := page.line("latency"):
        places = (_nanoseconds(line, index) for index in range(3))
        yield "a load in 16 KiB, 256 KiB, 64 MiB", ", ".join(places)
    for line in page.all_lines:
        if line.label in ("load", "read"):
            threads = [str(thread) for thread in range(6) if line.hexadecimal(0) >> thread & 1]
            how = " without dcbt" if line.label == "load" else ""
            yield f"threads {' '.join(threads)} read{how}", f"{line.decimal(1):,} MB/s"
        elif line.label.startswith("logits") and "failed" not in line.words:
            kernel = line.label.removeprefix("logits-")
            yield f"story, {kernel}, threads: {line.decimal(0)}", f"{line.decimal(2) / 1000:,.3f} tokens/s"


def _nanoseconds(line: PageLine, index: int) -> str:
    return f"{line.decimal(index) / 1000:.4g} ns"
