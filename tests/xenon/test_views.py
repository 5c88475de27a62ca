"""The console's physical views: 0x80000000, 0xA0000000, 0xC0000000 and 0xE0000000 are the same RAM."""

from __future__ import annotations

from pathlib import Path

import pytest
from sharing import build_program

from xenon.console import Console, MachineSettings
from xenon.hardware.memory_map import RAM_BYTES, VIEWS, physical
from xenon.linux.faults import GuestFault


def test_views_alias_ram_and_the_last_begins_with_the_second_page() -> None:
    assert physical(0x1234) == 0x1234
    assert [physical(address) for address in (0x8000_1234, 0xA000_1234, 0xC000_1234)] == [0x1234] * 3
    assert physical(0xE000_0234) == 0x1234
    assert physical(0xFFFF_EFFF) == RAM_BYTES - 1
    assert physical(0x1_0000_0000) == 0x1_0000_0000
    assert max(view.end for view, _ in VIEWS) < 1 << 32


def test_a_program_sees_one_memory_through_every_view(tmp_path: Path) -> None:
    program = build_program(
        tmp_path / "views", Path(__file__).parent / "programs" / "views.c", ("memory", "text")
    )
    for threads in (1, 2):
        console = Console(MachineSettings(threads=threads))
        console.boot(program)
        written = b""
        with pytest.raises(GuestFault, match="read of 1 byte at 0x81000000: not mapped"):
            for output in console.run(timeout=20):
                written += output.data
        assert written.decode() == "4096 8192\n4097 8194\n4098 8196\n4099 8198\nby a view\n"
