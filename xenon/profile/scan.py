"""The instructions of a program that Xenon lacks (docs/isa.md)."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache

from xenon.lifter.flow import End, explore
from xenon.powerpc.abi import entries_of
from xenon.powerpc.foreign import Why, verdict
from xenon.powerpc.isa import Kind, encoding
from xenon.profile.code import CodeRegion, read_code


@dataclass(frozen=True, slots=True)
class Finding:
    """A word that Xenon lacks, at `symbol + offset`; `name` is empty when nothing knows the word."""

    address: int
    word: int
    name: str
    why: Why
    reason: str
    symbol: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A scanned program. `unread` counts the words outside of functions that are not padding."""

    findings: list[Finding]
    instructions: int
    functions: int
    unread: int

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "instructions": self.instructions,
            "functions": self.functions,
            "unread_words": self.unread,
            "findings": [asdict(finding) | {"why": finding.why.value} for finding in self.findings],
        }


def _scan(code: Iterable[tuple[int, int, CodeRegion | None]]) -> tuple[list[Finding], int]:
    """Findings in order of address, and the number of words looked at."""
    certain: list[Finding] = []
    doubtful: list[Finding] = []
    vmx128_seen, count = False, 0
    for address, word, region in code:
        count += 1
        judged = verdict(word) if word else None
        if judged is None:
            own = encoding(word)
            vmx128_seen = vmx128_seen or (own is not None and own.kind is Kind.VMX128)
            continue
        symbol, offset = (region.symbol, address - region.address) if region else ("", 0)
        finding = Finding(address, word, judged.name, judged.why, judged.reason, symbol, offset)
        (doubtful if judged.why is Why.AMBIGUOUS else certain).append(finding)
    if not vmx128_seen:
        certain += doubtful
    return sorted(certain, key=lambda finding: finding.address), count


def scan(words: Iterable[int], address: int = 0) -> list[Finding]:
    """Findings among consecutive 32-bit words that start at `address`: all taken for code, zero for padding.

    A word that is VMX128 on Xenon and something else on another PowerPC (`lvx128` is POWER8's `vcmpequd`) is
    reported unless the same words hold a VMX128 instruction that has no such double.
    """
    return _scan((address + 4 * index, word, None) for index, word in enumerate(words))[0]


def scan_report(elf: bytes, name: str = "program") -> Report:
    """Scan the functions of a linked big-endian ELF64 PowerPC program, `name` being its name in messages.

    Raises XenonError when the bytes are not such a program or are damaged.
    """
    code = read_code(elf, name)
    findings, count = _scan(
        (address, word, region)
        for region in code.regions
        for address, word in region.instructions()
        if not _is_data(address, word, region)
    )
    return Report(findings, count, len(code.regions), code.unread)


def _is_data(address: int, word: int, region: CodeRegion) -> bool:
    """Whether a word of a function is no instruction of any PowerPC, and no control flow leads to it."""
    if not region.function or not word or encoding(word) is not None:
        return False
    judged = verdict(word)
    return judged is not None and judged.why is Why.UNKNOWN and address not in _reached(region)


@lru_cache(maxsize=1)
def _reached(region: CodeRegion) -> Container[int]:
    """The addresses in a function to which control may come; all of them where a jump may go anywhere."""
    everything = range(region.address, region.end)
    words = dict(zip(everything[::4], region.words, strict=True))
    flow = explore(words.get, entries_of(words.get, region.address), obstacles=[])
    if any(block.end in (End.JUMP_CTR, End.CALL_CTR) for block in flow.blocks.values()):
        return everything
    left = {block.target for block in flow.blocks.values() if block.end is End.LEAVE}
    return left | {address for address, _ in flow.words}


def scan_program(elf: bytes, name: str = "program") -> list[Finding]:
    """The findings of `scan_report` alone."""
    return scan_report(elf, name).findings
