"""Frozen instruction cases, in compiled code alone and on Unicorn alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from laboratory.differential import DEVIATING, STATUS_FORMS, XENON_ONLY, forms
from laboratory.frozen import (
    PUBLISHED,
    STATUS_CASES,
    XENON_CASES,
    Case,
    Values,
    read_cases,
    run_compiled,
    run_handed_over,
    run_interpreted,
    run_noted,
    run_optimised,
)
from support import WHOLE, compiling_quickly, sample
from systems import RECOMPILER

from xenon.lifter.fpscr import MODES
from xenon.lifter.status_forms import NOTING
from xenon.powerpc.isa import Kind, table

ALL = read_cases()
STATUS = read_cases(STATUS_CASES)
"""Cases with FPSCR."""
XENON = [*read_cases(XENON_CASES), *read_cases(PUBLISHED)]
"""Cases that Unicorn cannot execute, or ends otherwise."""
BATCH = 64  # cases in one compiled function


Run = Callable[[Sequence[Case]], list[Values]]


def batches(cases: Sequence[Case]) -> list[tuple[int, Run]]:
    """Where each batch starts, and what compiles it: most of them quickly, and a sixth in each of both ways
    that programs are compiled, chosen anew in each run; all in both ways in the long form."""
    starts = range(0, len(cases), BATCH)
    ordinary = sample(starts, len(starts) // 6)
    optimised = sample(
        starts if WHOLE else [start for start in starts if start not in ordinary], len(ordinary)
    )
    rest = [start for start in starts if start not in (*ordinary, *optimised)]
    ways = ((run_quickly, rest), (run_compiled, ordinary), (run_optimised, optimised))
    return [(start, run) for run, chosen in ways for start in chosen]


def run_quickly(cases: Sequence[Case]) -> list[Values]:
    with compiling_quickly():
        return run_compiled(cases)


def wrong(cases: Sequence[Case], run: Run) -> Iterator[str]:
    """What each case that ends otherwise than the file says should have been."""
    for case, result in zip(cases, run(cases), strict=True):
        expected = case.expected()
        for name, value in result.items():
            if name == "fpscr" and name not in case.after:
                continue  # a form that changes it by the way: the cases with FPSCR are in status.tsv
            if value != expected[name]:
                yield f"{case.row()}: {name} is {value:x}, expected {expected[name]:x}"


@RECOMPILER
@pytest.mark.parametrize(("start", "run"), batches(ALL))
def test_compiled_code_ends_as_the_file_says(start: int, run: Run) -> None:
    assert list(wrong(ALL[start : start + BATCH], run)) == []


@RECOMPILER
@pytest.mark.parametrize(("start", "run"), batches(XENON))
def test_compiled_code_does_what_only_xenon_does(start: int, run: Run) -> None:
    assert list(wrong(XENON[start : start + BATCH], run)) == []


def test_unicorn_ends_as_the_file_says() -> None:
    assert list(wrong(ALL, run_interpreted)) == []


@RECOMPILER
@pytest.mark.parametrize(("start", "run"), batches(STATUS))
def test_compiled_code_leaves_in_fpscr_what_the_processor_does(start: int, run: Run) -> None:
    assert list(wrong(STATUS[start : start + BATCH], run)) == []


@RECOMPILER
def test_functions_note_for_others_what_the_processor_leaves_in_fpscr() -> None:
    """Compiled code is entered in the usual modes alone."""
    usual = [case for case in STATUS if case.mnemonic in NOTING and not case.before["fpscr"] & MODES]
    assert len(usual) > 100
    assert list(wrong(usual, run_noted)) == []


@pytest.mark.usefixtures("quick_code")
@pytest.mark.parametrize("cases", [ALL, XENON, STATUS], ids=["all", "xenon", "status"])
def test_cold_code_ends_as_the_files_say(cases: list[Case]) -> None:
    """On Unicorn, which hands over what it does not do as Xenon does."""
    runnable = [case for case in cases if case.mnemonic != "lmw"]  # it would load the harness's registers
    assert list(wrong(runnable, run_handed_over)) == []


WITHOUT_CASES = {
    **dict.fromkeys(
        "b bl ba bla bc bcl bca bcla bclr bclrl bcctr bcctrl sc".split(), "branches: whole programs test them"
    ),
    **dict.fromkeys("tw twi td tdi".split(), "traps: test_traps.py"),
    **dict.fromkeys("lwarx ldarx stwcx. stdcx.".split(), "reservations: test_atomics.py"),
    **dict.fromkeys(
        "dcbt dcbtst dcbst dcbf icbi isync sync lwsync ptesync eieio cctpl cctpm cctph".split()
        + "db8cyc db10cyc db12cyc db16cyc".split(),
        "change no register",
    ),
    **dict.fromkeys(("mftb", "mftbu"), "read a clock"),
    **dict.fromkeys(
        ("lswx", "stswx", "mcrxr"), "Unicorn executes them: they take the length, or SO, from XER"
    ),
    **dict.fromkeys(("mfspr", "mtspr"), "cases go by mflr, mfctr, mfvrsave and so on; XER is Unicorn's"),
    **dict.fromkeys("attn dcbi mfmsr mtmsr mtmsrd".split(), "privileged"),
}
"""Forms of Xenon's that no case is frozen of, and why."""


def test_every_form_of_the_table_has_a_case_or_a_reason() -> None:
    covered = {case.mnemonic for case in (*ALL, *XENON, *STATUS)}
    kinds = (Kind.BASE, Kind.FLOAT, Kind.VMX, Kind.VMX128)
    missing = {row.mnemonic for row in table() if row.kind in kinds} - covered
    assert missing == set(WITHOUT_CASES)


def test_every_form_has_cases() -> None:
    counts = Counter(case.mnemonic for case in ALL)
    assert set(counts) == set(forms()) - DEVIATING - XENON_ONLY - STATUS_FORMS
    assert len(ALL) > 3 * len(counts)
    others = Counter(case.mnemonic for case in read_cases(XENON_CASES))
    assert set(others) == XENON_ONLY | DEVIATING
    assert min(others.values()) > 3


@pytest.mark.parametrize("run", [pytest.param(run_compiled, marks=RECOMPILER), run_interpreted])
def test_a_wrong_bit_of_the_file_would_be_seen(run: Run) -> None:
    case = next(case for case in ALL if case.mnemonic == "add")
    (name,) = case.after
    changed = Case(case.mnemonic, case.word, case.before, {name: case.after[name] ^ 1})
    assert len(list(wrong([changed], run))) == 1
