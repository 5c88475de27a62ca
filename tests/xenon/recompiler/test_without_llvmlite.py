"""What only Xenon has, where nothing is there to execute it: a fault that says what it takes."""

from __future__ import annotations

import struct
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
