"""The 6510 of the Commodore 64: every documented opcode in every mode, on the host and on the console."""

from __future__ import annotations

import ctypes
import itertools
from pathlib import Path

import numpy as np
import pytest
from assembler import IMMEDIATE, INDIRECT_X, INDIRECT_Y, OPCODES, RELATIVE, ZERO_PAGE_X, ZERO_PAGE_Y
from c64_parts import console_parts, library
from numpy.typing import NDArray
from processor_model import CASE, RESULT, expected
from support import WHOLE, compiling_quickly

from xenon.console import Console, HostFile

FLAGS = [sum(bits) for bits in itertools.product((0, 1), (0, 2), (0, 4), (0, 8), (0, 0x40), (0, 0x80))]
OPERANDS = [0x00, 0x01, 0x09, 0x0F, 0x10, 0x42, 0x50, 0x7F, 0x80, 0x81, 0x99, 0x9A, 0xBD, 0xF0, 0xFF]
INDEXES = [0, 1, 0x0E, 0x7F, 0x80, 0xFE, 0xFF]
ZERO_PAGE_BASES, BASES = [0x05, 0x7D, 0xF2], [0x2000, 0x20F3, 0xFEFF]
UNDOCUMENTED = 3


def cases_of(name: str, mode: str, rng: np.random.Generator) -> NDArray[np.void]:
    """All flags with pairs of operands, at addresses and with indexes that each occur often; in the long form
    with all pairs."""
    flags, left, right = (grid.reshape(-1) for grid in np.meshgrid(FLAGS, OPERANDS, OPERANDS, indexing="ij"))
    if not WHOLE:
        some = rng.random(len(flags)) < 1 / 12
        flags, left, right = flags[some], left[some], right[some]
    cases = np.zeros(len(flags), CASE)
    cases["pc"] = rng.choice([0x1000, 0x10FB, 0x1080], len(cases))
    cases["p"], cases["a"], cases["s"] = flags, left, rng.choice([0xFF, 0x80, 0x02, 0x01, 0x00], len(cases))
    cases["x"], cases["y"] = rng.choice(INDEXES, (2, len(cases)))
    if name in ("STX", "CPX", "INX", "DEX", "TXA", "TXS"):
        cases["x"] = left
    if name in ("STY", "CPY", "INY", "DEY", "TYA"):
        cases["y"] = left
    cases["code"][:, 0] = OPCODES[name, mode]
    _set_operand(name, mode, cases, right, rng)
    for number in range(3):  # the port, and cells that the stack's bytes share, belong to no operand
        cases = cases[cases[f"at{number}"] > 1]
        cases = cases[cases[f"at{number}"] != cases[f"at{(number + 1) % 3}"]]
    if name in ("RTS", "RTI", "PLA", "PLP"):
        return cases
    for number in range(3):
        cases = cases[cases[f"at{number}"] >> 8 != 1]
    return cases


def _set_operand(
    name: str, mode: str, cases: NDArray[np.void], values: NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Code bytes and pokes, so that the operand is `values`."""
    count = len(cases)
    low, base = (np.asarray(rng.choice(among, count), np.int64) for among in (ZERO_PAGE_BASES, BASES))
    x, y = (cases[part].astype(np.int64) for part in "xy")
    cases["at0"], cases["at1"], cases["at2"] = 0x3000, 0x3001, 0x3002
    cases["code"][:, 1], cases["code"][:, 2] = base & 255, base >> 8
    index = x if mode[-1] == "x" else y if mode[-1] == "y" else 0
    if name in ("RTS", "RTI", "PLA", "PLP"):
        for number in range(3):
            cases[f"at{number}"] = 0x100 + (cases["s"].astype(np.int64) + 1 + number & 255)
            cases[f"value{number}"] = values if number == 0 else rng.choice(OPERANDS, count)
    elif name == "BRK":
        cases["at0"], cases["value0"], cases["at1"], cases["value1"] = 0xFFFE, values, 0xFFFF, 0x34
    elif mode in (IMMEDIATE, RELATIVE):
        cases["code"][:, 1] = values
    elif mode in (ZERO_PAGE_X, ZERO_PAGE_Y, "zero page"):
        cases["code"][:, 1] = low
        cases["at0"], cases["value0"] = low + index & 255, values
    elif mode in (INDIRECT_X, INDIRECT_Y):
        cases["code"][:, 1] = low
        pointer = low + (x if mode == INDIRECT_X else 0)
        cases["at1"], cases["value1"] = pointer & 255, base & 255
        cases["at2"], cases["value2"] = pointer + 1 & 255, base >> 8
        cases["at0"] = base + (y if mode == INDIRECT_Y else 0) & 0xFFFF
        cases["value0"] = values
    elif mode == "indirect":
        cases["at0"], cases["value0"] = base, values
        cases["at1"], cases["value1"] = (base & 0xFF00) | (base + 1 & 255), 0x40
    elif mode.startswith("absolute"):
        cases["at0"], cases["value0"] = base + index & 0xFFFF, values


def all_cases() -> dict[tuple[str, str], NDArray[np.void]]:
    rng = np.random.default_rng(6510)
    return {(name, mode): cases_of(name, mode, rng) for name, mode in OPCODES}


def on_the_host(cases: NDArray[np.void], folder: Path) -> NDArray[np.void]:
    results = np.zeros(len(cases), RESULT)
    pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (cases, results))
    given, made = pointers
    library(folder).c64_cases(given, ctypes.c_uint64(len(cases)), made)
    return results


def compare(name: str, mode: str, cases: NDArray[np.void], results: NDArray[np.void]) -> None:
    wanted = expected(name, mode, cases)
    wrong = np.flatnonzero(results != wanted)
    assert not len(wrong), (
        f"{name} {mode}: {cases[wrong[0]]}: {results[wrong[0]]}, expected {wanted[wrong[0]]}"
    )


def test_every_documented_opcode_on_the_host(c64_folder: Path) -> None:
    assert len(OPCODES) == len(set(OPCODES.values())) == 151
    for (name, mode), cases in all_cases().items():
        assert len(cases) > 500, f"{name} {mode}"
        compare(name, mode, cases, on_the_host(cases, c64_folder))


@pytest.mark.parametrize("name", ["ADC", "SBC"])
def test_all_sums_and_differences_in_both_modes(name: str, c64_folder: Path) -> None:
    a, m, p = (grid.reshape(-1) for grid in np.meshgrid(range(256), range(256), (0, 1, 8, 9), indexing="ij"))
    cases = np.zeros(len(a), CASE)
    cases["pc"], cases["a"], cases["p"], cases["s"] = 0x1000, a, p, 0xFF
    cases["code"][:, 0], cases["code"][:, 1] = OPCODES[name, IMMEDIATE], m
    cases["at0"], cases["at1"], cases["at2"] = 0x3000, 0x3001, 0x3002
    compare(name, IMMEDIATE, cases, on_the_host(cases, c64_folder))


def test_every_other_opcode_stops_the_processor(c64_folder: Path) -> None:
    cases = np.zeros(256 - 151, CASE)
    cases["pc"], cases["p"] = 0x1000, 0x20
    cases["at0"], cases["at1"], cases["at2"] = 0x3000, 0x3001, 0x3002
    cases["code"][:, 0] = sorted(set(range(256)) - set(OPCODES.values()))
    results = on_the_host(cases, c64_folder)
    assert (results["stop"] == UNDOCUMENTED).all() and (results["pc"] == 0x1000).all()
    assert not results["cycles"].any()


def test_every_documented_opcode_on_the_console(c64_folder: Path, tmp_path: Path) -> None:
    every = 1 if WHOLE else 11
    tables = {form: cases[::every] for form, cases in all_cases().items()}
    path = tmp_path / "cases"
    path.write_bytes(b"".join(cases.tobytes() for cases in tables.values()))
    console = Console()
    console.disc.add("/cases", HostFile(path))
    console.boot(console_parts(c64_folder), ["/cases"], hot=["processor_run", "run_case"])
    with compiling_quickly():
        results = np.frombuffer(b"".join(output.data for output in console.run(timeout=100)), RESULT)
    assert console.exit_status == 0
    start = 0
    for (name, mode), cases in tables.items():
        compare(name, mode, cases, results[start : start + len(cases)])
        start += len(cases)
    assert start == len(results)
