"""What only Xenon has, where nothing is there to execute it: a fault that says what it takes."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest
from elf_files import elf_file

from xenon.console import Console, CpuKind, MachineSettings
from xenon.linux.faults import GuestFault
from xenon.recompiler import hand_over


@pytest.mark.parametrize(
    ("word", "name"),
    [
        (0x14A218D0, "vmaddfp128"),
        (0x10A048C3, "lvx128"),  # which Unicorn takes for something that does nothing
        (0x7CA04C0E, "lvlx"),
    ],
)
def test_an_instruction_that_unicorn_lacks_is_a_fault_that_names_what_it_needs(
    word: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "installed", lambda: False)
    monkeypatch.setattr(hand_over, "prepared", lambda: None)
    path = tmp_path / "program"
    path.write_bytes(elf_file(struct.pack(">2I", word, 0x4E80_0020)))
    console = Console(MachineSettings(cpu=CpuKind.UNICORN))
    console.boot(path)
    with pytest.raises(GuestFault, match=rf"{name} \(0x{word:08x}\), which Xenon has .* llvmlite") as fault:
        list(console.run(timeout=60))
    assert fault.value.hint == "pip install llvmlite"


def test_what_was_executed_in_unicorns_way_is_named_once_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """divw is executed twice, at one place; divd is in the file, and never reached."""
    monkeypatch.setattr(hand_over, "installed", lambda: False)
    monkeypatch.setattr(hand_over, "prepared", lambda: None)
    words = (
        0x38800002, 0x7C8903A6,  # li r4, 2; mtctr r4
        0x7C6323D6, 0x4200FFFC,  # divw r3, r3, r4; bdnz to it
        0x38000001, 0x38600000, 0x44000002,  # exit(0)
        0x7C6323D2,  # divd r3, r3, r4
    )  # fmt: skip
    path = tmp_path / "program"
    path.write_bytes(elf_file(struct.pack(f">{len(words)}I", *words)))
    console = Console(MachineSettings(cpu=CpuKind.UNICORN))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        console.boot(path)
        assert not caught
        list(console.run(timeout=60))
    notes = [str(warning.message) for warning in caught]
    assert len(notes) == 1
    assert "in Unicorn's way, not in Xenon's: divw (docs/recompiler.md)" in notes[0]
