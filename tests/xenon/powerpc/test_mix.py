"""Every instruction of the table has a class."""

from __future__ import annotations

import pytest

from xenon.powerpc.isa import Kind, table
from xenon.powerpc.mix import Work, name_and_work, work_of

EXAMPLES = {
    "add": Work.INTEGER, "rlwinm.": Work.INTEGER, "cmpi": Work.INTEGER, "lwarx": Work.LOAD, "lfsu": Work.LOAD,
    "lvx": Work.LOAD, "lvlx128": Work.LOAD, "stwcx.": Work.STORE, "stvewx": Work.STORE, "bclr": Work.BRANCH,
    "bc": Work.BRANCH, "crxor": Work.CONDITION, "mcrf": Work.CONDITION, "fmadds": Work.FLOAT,
    "fcmpu": Work.FLOAT, "vmaddfp": Work.VECTOR_FLOAT, "vmsum3fp128": Work.VECTOR_FLOAT,
    "vcmpgtfp.": Work.VECTOR_FLOAT, "vcfsx": Work.VECTOR_FLOAT, "vadduwm": Work.VECTOR_INTEGER,
    "vcmpequw128": Work.VECTOR_INTEGER, "vxor": Work.VECTOR_INTEGER, "vperm": Work.VECTOR_PERMUTE,
    "lvsl": Work.VECTOR_PERMUTE, "vspltw128": Work.VECTOR_PERMUTE, "mfspr": Work.SPECIAL,
    "mffs": Work.SPECIAL,
    "lwsync": Work.CACHE, "dcbt": Work.CACHE, "sync": Work.CACHE, "sc": Work.SYSTEM, "tw": Work.SYSTEM,
    "mtmsr": Work.SYSTEM,
}  # fmt: skip


@pytest.mark.parametrize(("mnemonic", "work"), EXAMPLES.items())
def test_instructions_are_in_their_classes(mnemonic: str, work: Work) -> None:
    rows = [row for row in table() if row.mnemonic == mnemonic and row.kind is not Kind.ABSENT]
    assert rows
    assert {work_of(row) for row in rows} == {work}


def test_units_and_classes_agree() -> None:
    memory = {Work.LOAD, Work.STORE, Work.SPECIAL, Work.VECTOR_PERMUTE, Work.CACHE}
    vectors = {Work.VECTOR_FLOAT, Work.VECTOR_INTEGER, Work.VECTOR_PERMUTE}
    for row in table():
        work = work_of(row)
        if row.kind is Kind.FLOAT:
            assert work in {Work.FLOAT, *memory}, row
        elif row.kind in (Kind.VMX, Kind.VMX128):
            assert work in {*vectors, *memory}, row
        elif row.kind is Kind.BASE:
            assert work not in {Work.FLOAT, *vectors}, row
        elif row.kind in (Kind.REMOVED, Kind.ABSENT):
            assert work is Work.FOREIGN


def test_words_that_are_no_instruction_of_xenon_are_foreign() -> None:
    assert name_and_work(0x10042848) == ("vmulouh", Work.FOREIGN)
    assert name_and_work(0x00000001)[1] is Work.FOREIGN
