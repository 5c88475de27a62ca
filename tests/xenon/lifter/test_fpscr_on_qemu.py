"""The frozen cases of FPSCR on qemu-ppc64, another emulator, but for what it is known to do otherwise."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from laboratory import float_model as model
from laboratory.frozen import STATUS_CASES, Case, read_cases

from xenon.lifter.status_forms import CONVERSIONS, ESTIMATES, SINGLE

QEMU = shutil.which("qemu-ppc64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="needs qemu-ppc64")

HEADERS = 64 + 56  # bytes
BEFORE, AFTER = 32, 16  # bytes a case: f2, f3, f4 and FPSCR; f1 and FPSCR
MFFS_F0, MTFSF_F0, SC = 0xFC00_048E, 0xFDFE_058E, 0x4400_0002
CLASS, RESERVED = 1 << 16, 1 << 11


def program(content: bytes) -> bytes:
    """A static ELF file (ABI v2) of one segment, which its own headers begin, as Linux maps it."""
    start, size = 0x1000_0000, HEADERS + len(content)
    ident = b"\x7fELF\2\2\1".ljust(16, b"\0")
    header = struct.pack(">16s2HI3QI6H", ident, 2, 21, 1, start + HEADERS, 64, 0, 2, 64, 56, 1, 0, 0, 0)
    return header + struct.pack(">2I6Q", 1, 5, 0, start, start, size, size, 0x10000) + content


def on_qemu(cases: list[Case], path: Path) -> list[tuple[int, int]]:
    """f1 and FPSCR after each case, by a program that writes them to standard output from its stack."""
    words = [0x4800_0005, 0x7FE8_02A6, 0, 0, 0x3BC1_8000, 0x7FDD_F378]  # bl; mflr r31; addi r30, r1; mr r29
    data = b""
    for case in cases:
        fprs = [case.before.get(f"f{number}", 0) for number in (2, 3, 4)]
        data += struct.pack(">4Q", *fprs, case.before["fpscr"])
        words += [50 << 26 | number << 21 | 31 << 16 | 8 * (number - 2) for number in (2, 3, 4)]
        words += [50 << 26 | 31 << 16 | 24, MTFSF_F0, case.word, MFFS_F0]  # lfd f0
        words += [54 << 26 | 1 << 21 | 29 << 16, 54 << 26 | 29 << 16 | 8]  # stfd f1; stfd f0
        words += [0x3BFF_0000 | BEFORE, 0x3BBD_0000 | AFTER]  # addi r31; addi r29
    size = AFTER * len(cases)
    words += [0x3860_0001, 0x7FC4_F378, 0x38A0_0000 | size, 0x3800_0004, SC]  # write(1, r30, size)
    words += [0x3860_0000, 0x3800_0001, SC]  # exit(0)
    offset = 4 * len(words) - 4  # of the data from where r31 points to
    words[2:4] = [0x3FFF_0000 | (offset + 0x8000) >> 16, 0x3BFF_0000 | offset & 0xFFFF]  # addis; addi r31
    path.write_bytes(program(struct.pack(f">{len(words)}I", *words) + data))
    path.chmod(0o700)
    assert QEMU is not None
    run = subprocess.run([QEMU, path], capture_output=True, timeout=60, check=True)
    assert len(run.stdout) == size < 0x8000
    return [struct.unpack_from(">2Q", run.stdout, AFTER * index) for index in range(len(cases))]


def known_otherwise(case: Case) -> int:
    """The bits of FPSCR that qemu 7.2 leaves otherwise than the books.

    It never sets FR. It sets FX for exceptions
    that were noted before, and not by mtfsb1. Invalid conversions set FPRF, and fcmpo of NaN the class
    bit. Denormal singles are normal to it, the estimates are divisions, and a reserved bit is dropped.
    """
    name = case.mnemonic.rstrip(".")
    bits = model.FR | RESERVED
    if name == "mtfsb1" or not case.after["fpscr"] & model.FX:
        bits |= model.FX
    if name in CONVERSIONS:
        bits |= model.FPRF
    if name == "fcmpo" or name in SINGLE:
        bits |= CLASS
    if name in ESTIMATES:
        bits |= model.XX | model.FI | model.FX | model.FPRF
    return bits


def test_qemu_leaves_the_same_in_fpscr(tmp_path: Path) -> None:
    cases = [case for case in read_cases(STATUS_CASES) if "fpscr" in case.after]
    wrong = []
    for case, (_, status) in zip(cases, on_qemu(cases, tmp_path / "program"), strict=True):
        if (status ^ case.after["fpscr"]) & 0xFFFF_FFFF & ~known_otherwise(case):
            wrong.append(f"{case.row()}: {status:08x}")
    assert wrong == []
