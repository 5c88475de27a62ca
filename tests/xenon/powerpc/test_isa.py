"""Tests of the instruction table and the decoder, with capstone as the reference."""

from __future__ import annotations

import random
import re
from importlib import resources
from itertools import combinations
from pathlib import Path

import capstone
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import WHOLE

from xenon.powerpc.foreign import Why
from xenon.powerpc.isa import (
    Encoding,
    Kind,
    encoding,
    foreign,
    table,
)
from xenon.profile.scan import scan

NOT_ON_XENON = (Kind.REMOVED, Kind.ABSENT)
OWN = [row for row in table() if row.kind not in NOT_ON_XENON]
ROWS = {row.mnemonic: row for row in table()}

NOP = 0x60000000

REMOVED = [
    "vmhaddshs", "vmhraddshs", "vmladduhm", "vmsumubm", "vmsummbm", "vmsumuhm", "vmsumuhs", "vmsumshm",
    "vmsumshs", "vmuleub", "vmuloub", "vmulesb", "vmulosb", "vmuleuh", "vmulouh", "vmulesh", "vmulosh",
    "vsum4ubs", "vsum4sbs", "vsum4shs", "vsum2sws", "vsumsws",
]  # fmt: skip

REFERENCE_ABSENT = {
    "popcntb", "fre", "frsqrtes", "isel", "cmpb", "popcntw", "popcntd", "lfiwax", "lfiwzx", "fcfids",
    "fcfidu", "fcfidus", "frin", "friz", "frip", "frim", "fcpsgn", "lq", "stq", "divde", "bpermd", "lxvd2x",
    "xxlxor", "xvmaddasp", "vaddudm", "dadd", "tbegin.", "prefixed",
}  # fmt: skip

# Words whose special case has its own row, and what it specialises.
SPECIAL = {
    "mfocrf": "mfcr", "mtocrf": "mtcrf", "mftbu": "mftb", "lwsync": "sync", "ptesync": "sync",
    **dict.fromkeys(["db8cyc", "db10cyc", "db12cyc", "db16cyc", "cctpl", "cctpm", "cctph"], "or"),
}  # fmt: skip

# What capstone calls a row: the extended mnemonics it prefers, and the rows that its PowerPC does not have.
CONDITIONAL = r"b(dn?z[tf]?|lt|gt|eq|so|un|ge|le|ne|ns|nu)"
TRAP = r"(u|lt|gt|eq|ne|le|ge|llt|lgt|lle|lge|ng|nl|lng|lnl)"
ALIASES = {
    **{f"bc{end}": rf"{CONDITIONAL}{end}[+-]?" for end in ("", "l", "a", "la")},
    **{f"b{to}{link}": rf"({CONDITIONAL}|b){to}{link}[+-]?" for to in ("clr", "cctr") for link in ("", "l")},
    **{f"bc{to}{link}": rf"({CONDITIONAL}|b){to}{link}[+-]?" for to in ("lr", "ctr") for link in ("", "l")},
    **{row: rf"{row[:2]}{TRAP}{row[2:]}|trap" for row in ("tw", "td", "twi", "tdi")},
    "cmp": "cmp[wd]", "cmpi": "cmp[wd]i", "cmpl": "cmpl[wd]", "cmpli": "cmpl[wd]i",
    "addi": "li", "addis": "lis", "ori": "nop", "xori": "xnop", "or": "mr", "or.": "mr.",
    "nor": "not", "nor.": r"not\.",
    "vor": "vmr", "vnor": "vnot", "crnor": "crnot", "cror": "crmove", "creqv": "crset", "crxor": "crclr",
    "rlwinm": "rotlwi|slwi|srwi|clrlwi", "rlwinm.": r"(rotlwi|slwi|srwi|clrlwi)\.",
    "rlwnm": "rotlw", "rlwnm.": r"rotlw\.",
    "rldicl": "clrldi|rotldi|srdi", "rldicl.": r"(clrldi|rotldi|srdi)\.",
    "rldicr": "sldi|rotldi", "rldicr.": r"sldi\.",
    "rldcl": "rotld", "rldcl.": r"rotld\.",
    "mfspr": r"mf\w+", "mtspr": r"mt\w+", "mftb": r"mf\w+", "mftbu": r"mf\w+",
    "mtcrf": "mtcr", "mtocrf": "mtcrf|mtcr",
    "eieio": "mbar", "sync": "msync|hwsync", "dcbz128": "dcbzl", "dcbf": "dcbflp?", "dcbt": "dcbtt|dcbtct",
    "dcbtst": "dcbtstt", "dst": "dstt", "dstst": "dststt", "dss": "dssall",
    **dict.fromkeys(["db8cyc", "db10cyc", "db12cyc", "db16cyc", "cctpl", "cctpm", "cctph"], "mr"),
}  # fmt: skip

# Rows that capstone 5 does not know: overflow forms, and what later PowerPCs dropped or never had.
UNKNOWN_TO_CAPSTONE = {
    "mcrxr", "lswx", "stswx", "fcmpo", "mtfsb0.", "mtfsb1.", "eciwx", "ecowx",
    "lvlx", "lvlxl", "lvrx", "lvrxl", "stvlx", "stvlxl", "stvrx", "stvrxl",
    *(row.mnemonic for row in OWN if row.form == "XO" and row.opcode & 0x400),
}  # fmt: skip


def words_of(row: Encoding, draw: random.Random, count: int) -> list[int]:
    """Words of a row with random operands; whole fields stay zero at times, since some are reserved."""
    words = []
    for _ in range(count):
        fields = sum(draw.getrandbits(5) << shift for shift in (1, 6, 11, 16, 21) if draw.random() < 0.6)
        fields |= draw.getrandbits(1) & draw.getrandbits(1)
        words.append(row.opcode | fields & ~row.mask)
    return words


def test_the_table_has_the_rows_its_sources_count() -> None:
    counts = {kind: sum(row.kind is kind for row in table()) for kind in Kind}
    assert counts[Kind.REMOVED] == 22
    assert (counts[Kind.BASE], counts[Kind.FLOAT], counts[Kind.SYSTEM]) == (266, 92, 19)
    assert (counts[Kind.VMX], counts[Kind.VMX128]) == (155, 80)
    assert len(ROWS) == len(table()), "a mnemonic is one row"


def test_the_guide_states_the_counts_of_the_table() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "isa.md").read_text("utf-8")
    stated = {kind: int(count) for kind, count in re.findall(r"^\| (\w+) \| (\d+) \|", guide, re.MULTILINE)}
    assert stated == {
        kind.value: sum(row.kind is kind for row in OWN) for kind in Kind if kind not in NOT_ON_XENON
    }
    assert f"{sum(row.kind is Kind.ABSENT for row in table())} rows with their encodings" in guide


def test_no_row_has_opcode_bits_outside_of_its_mask() -> None:
    assert all(row.opcode & ~row.mask == 0 and row.mask >> 26 == 63 for row in table())


def test_rows_of_xenon_do_not_overlap_except_for_named_special_cases() -> None:
    overlaps = {}
    for first, second in combinations(OWN, 2):
        if (first.opcode ^ second.opcode) & first.mask & second.mask == 0:
            special, general = sorted((first, second), key=lambda row: -row.mask.bit_count())
            assert special.mask & general.mask == general.mask
            overlaps[special.mnemonic] = general.mnemonic
    assert overlaps == SPECIAL


def test_foreign_rows_overlap_with_vmx128_alone() -> None:
    others = [row for row in table() if row.kind in NOT_ON_XENON]
    shared = {
        (own.kind, own.mnemonic, other.mnemonic)
        for own in OWN
        for other in others
        if (own.opcode ^ other.opcode) & own.mask & other.mask == 0
    }
    assert {entry for entry in shared if entry[0] is not Kind.VMX128} == {(Kind.VMX, "vaddubs", "evaddw")}
    assert (Kind.VMX128, "lvx128", "vcmpequd") in shared
    assert (Kind.VMX128, "vsldoi128", "maddld") in shared


def test_a_word_with_any_operands_decodes_to_its_row() -> None:
    for row in OWN:
        for word in words_of(row, random.Random(row.opcode), 50):
            chosen = encoding(word)
            assert chosen is row or (chosen is not None and SPECIAL.get(chosen.mnemonic) == row.mnemonic)


def test_record_overflow_and_link_forms_are_told_apart() -> None:
    add = 0x7C642A14
    names = [encoding(add | bits).mnemonic for bits in (0, 1, 0x400, 0x401)]  # type: ignore[union-attr]
    assert names == ["add", "add.", "addo", "addo."]
    assert [ROWS[name].opcode & 3 for name in ("b", "bl", "ba", "bla")] == [0, 1, 2, 3]


@given(st.integers(0, 0xFFFFFFFF))
def test_decode_agrees_with_a_search_through_every_row(word: int) -> None:
    matching = sorted((row for row in OWN if row.matches(word)), key=lambda row: -row.mask.bit_count())
    assert encoding(word) is (matching[0] if matching else None)


def test_capstone_calls_a_word_by_the_name_of_its_row() -> None:
    disassembler = capstone.Cs(capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_BIG_ENDIAN)
    unexplained, unknown = {}, set()
    for row in (row for row in table() if row.kind not in (Kind.VMX128, Kind.ABSENT)):
        names = set()
        for word in words_of(row, random.Random(360), 300 if WHOLE else 100):
            if encoding(word) in (row, None):
                names |= {name for _, _, name, _ in disassembler.disasm_lite(word.to_bytes(4, "big"), 0)}
        alias = ALIASES.get(row.mnemonic, "$")
        other = {name for name in names if name != row.mnemonic and not re.fullmatch(alias, name)}
        if other:
            unexplained[row.mnemonic] = other
        if not names:
            unknown.add(row.mnemonic)
    assert unexplained == {}
    assert unknown == UNKNOWN_TO_CAPSTONE


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_vmx_instruction_is_flagged(name: str) -> None:
    for word in words_of(ROWS[name], random.Random(22), 20):
        (finding,) = scan([word])
        assert (finding.name, finding.why) == (name, Why.REMOVED)


def test_every_absent_instruction_is_flagged_unless_xenon_has_its_word() -> None:
    for row in (row for row in table() if row.kind is Kind.ABSENT and row.mnemonic != "evaddw"):
        for word in words_of(row, random.Random(970), 20):
            (finding,) = scan([word])
            named, own = foreign(word), encoding(word)
            assert named is not None
            assert finding.name == named.mnemonic
            assert named is row or named.mask.bit_count() >= row.mask.bit_count()
            assert finding.why is (Why.ABSENT if own is None else Why.AMBIGUOUS)


def test_every_other_name_of_an_absent_instruction_leads_to_a_row() -> None:
    text = resources.files("xenon.powerpc").joinpath("isa.tsv").read_text()
    targets = re.findall(r"^\S+\tabsent\talias=([^;]+);", text, flags=re.MULTILINE)
    assert len(targets) == 20
    assert all(ROWS[target].kind is Kind.ABSENT for target in targets)


def test_the_absent_list_of_the_reference_is_named() -> None:
    assert {scan([ROWS[name].opcode])[0].name for name in REFERENCE_ABSENT} == REFERENCE_ABSENT


def test_a_word_that_the_table_lacks_is_named_by_capstone() -> None:
    (finding,) = scan([0xFE025008])
    assert (finding.name, finding.why) == ("xsaddqp", Why.FOREIGN)


def test_an_unknown_word_has_no_name_and_zero_is_padding() -> None:
    (finding,) = scan([NOP, 0, 0x00000001], 0x100)
    assert (finding.address, finding.name, finding.why) == (0x108, "", Why.UNKNOWN)


def test_a_word_with_two_meanings_counts_only_without_other_vmx128() -> None:
    vcmpequd = ROWS["lvx128"].opcode | 4
    assert [finding.name for finding in scan([vcmpequd, NOP])] == ["vcmpequd"]
    assert scan([vcmpequd, ROWS["vmaddfp128"].opcode]) == []
