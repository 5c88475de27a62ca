"""Every instruction of the table has a class."""

from __future__ import annotations

import pytest

from xenon.powerpc.isa import Kind, table
from xenon.powerpc.mix import InstructionClass as Class
from xenon.powerpc.mix import class_of, name_and_class

EXAMPLES = {
    "add": Class.INTEGER, "rlwinm.": Class.INTEGER, "cmpi": Class.INTEGER, "lwarx": Class.LOAD, "lfsu":
    Class.LOAD, "lvx": Class.LOAD, "lvlx128": Class.LOAD, "stwcx.": Class.STORE, "stvewx": Class.STORE,
    "bclr": Class.BRANCH, "bc": Class.BRANCH, "crxor": Class.CONDITION, "mcrf": Class.CONDITION, "fmadds":
    Class.FLOAT, "fcmpu": Class.FLOAT, "vmaddfp": Class.VECTOR_FLOAT, "vmsum3fp128": Class.VECTOR_FLOAT,
    "vcmpgtfp.": Class.VECTOR_FLOAT, "vcfsx": Class.VECTOR_FLOAT, "vadduwm": Class.VECTOR_INTEGER,
    "vcmpequw128": Class.VECTOR_INTEGER, "vxor": Class.VECTOR_INTEGER, "vperm": Class.VECTOR_PERMUTE,
    "lvsl": Class.VECTOR_PERMUTE, "vspltw128": Class.VECTOR_PERMUTE, "mfspr": Class.SPECIAL, "mffs":
    Class.SPECIAL, "lwsync": Class.CACHE, "dcbt": Class.CACHE, "sync": Class.CACHE, "sc": Class.SYSTEM,
    "tw": Class.SYSTEM, "mtmsr": Class.SYSTEM,
}  # fmt: skip


@pytest.mark.parametrize(("mnemonic", "expected"), EXAMPLES.items())
def test_instructions_are_in_their_classes(mnemonic: str, expected: Class) -> None:
    rows = [row for row in table() if row.mnemonic == mnemonic and row.kind is not Kind.ABSENT]
    assert rows
    assert {class_of(row) for row in rows} == {expected}


def test_units_and_classes_agree() -> None:
    memory = {Class.LOAD, Class.STORE, Class.SPECIAL, Class.VECTOR_PERMUTE, Class.CACHE}
    vectors = {Class.VECTOR_FLOAT, Class.VECTOR_INTEGER, Class.VECTOR_PERMUTE}
    for row in table():
        work = class_of(row)
        if row.kind is Kind.FLOAT:
            assert work in {Class.FLOAT, *memory}, row
        elif row.kind in (Kind.VMX, Kind.VMX128):
            assert work in {*vectors, *memory}, row
        elif row.kind is Kind.BASE:
            assert work not in {Class.FLOAT, *vectors}, row
        elif row.kind in (Kind.REMOVED, Kind.ABSENT):
            assert work is Class.FOREIGN


def test_words_that_are_no_instruction_of_xenon_are_foreign() -> None:
    assert name_and_class(0x10042848) == ("vmulouh", Class.FOREIGN)
    assert name_and_class(0x00000001)[1] is Class.FOREIGN
