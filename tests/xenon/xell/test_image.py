"""What either loader of XeLL takes, and the rule that each refusal names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import pytest
from xell_files import HEADER, SECTION, SEGMENT

from xenon.errors import XenonError
from xenon.hardware.memory_map import MIB
from xenon.machine import MachineSettings
from xenon.recompiler.cpu_kind import CpuKind
from xenon.xell.console import XellConsole
from xenon.xell.image import parse_image
from xenon.xell.layout import LARGEST_FILE, PLACES, Loader
from xenon.xell.stick import Start, find_start

CODE = bytes(256)


@dataclass(frozen=True)
class Shape:
    """A program of one segment and one section, whose fields may be wrong."""

    address: int = 0x10000
    physical: int | None = None
    entry: int = 0x10000
    size: int = len(CODE)
    type: int = 1
    bits: int = 1
    order: int = 2
    machine: int = 20
    file_size: int = len(CODE)
    sections: int = 2
    flags: int = 6
    second: int | None = None  # the address of one more section
    copies: int = 0  # of a section of 16 MiB without bytes in the file

    def build(self) -> bytes:
        physical = self.address if self.physical is None else self.physical
        start = HEADER.size + SEGMENT.size
        rows = [
            (0,) * 10,
            (
                0,
                1,
                self.flags,
                self.address,
                start,
                self.size if self.size < 4096 else len(CODE),
                0,
                0,
                128,
                0,
            ),
        ]
        if self.second is not None:
            rows.append((0, 1, self.flags, self.second, start, 16, 0, 0, 128, 0))
        rows += [(0, 8, self.flags, 0x100000, 0, 16 * MIB, 0, 0, 128, 0)] * self.copies
        count = len(rows) if self.sections else 0
        ident = bytes([0x7F, *b"ELF", self.bits, self.order, 1]) + bytes(9)
        header = HEADER.pack(
            ident, 2, self.machine, 1, self.entry, HEADER.size, start + len(CODE), 0, HEADER.size,
            SEGMENT.size, 1, SECTION.size, count, 0,
        )  # fmt: skip
        segment = (self.type, start, self.address, physical, self.file_size, self.size, 7, 128)
        return header + SEGMENT.pack(*segment) + CODE + b"".join(SECTION.pack(*row) for row in rows)


GOOD = Shape()


def refusal(data: bytes, loader: Loader) -> str:
    with pytest.raises(XenonError) as caught:
        parse_image("xenon.elf", data, loader)
    assert caught.value.message.startswith("xenon.elf: ")
    return caught.value.message


@pytest.mark.parametrize("loader", list(Loader))
@pytest.mark.parametrize("machine", [20, 21])
def test_a_good_file_is_placed_at_its_physical_address(loader: Loader, machine: int) -> None:
    image = parse_image("xenon.elf", replace(GOOD, machine=machine).build(), loader)
    assert [(block.address, block.size, bytes(block.data)) for block in image.blocks] == [
        (0x10000, len(CODE), CODE)
    ]
    assert (image.entry, image.end) == (0x10000, 0x10000 + len(CODE))


def test_the_new_loader_goes_by_the_physical_address_and_the_old_one_by_sections() -> None:
    data = replace(GOOD, address=0x20000, physical=0x10000, entry=0x10000).build()
    assert parse_image("xenon.elf", data, Loader.NEW).blocks[0].address == 0x10000
    assert "outside of the program" in refusal(data, Loader.OLD)


def test_the_old_loader_drops_the_top_bit_of_an_address() -> None:
    data = replace(GOOD, address=0x8001_0000, entry=0x10000).build()
    assert parse_image("xenon.elf", data, Loader.OLD).blocks[0].address == 0x10000


BOTH = {
    "ELF64": (replace(GOOD, bits=2), "is ELF64 (class 2), XeLL takes ELF32"),
    "little-endian": (replace(GOOD, order=1), "little-endian"),
    "x86": (replace(GOOD, machine=62), "byte 18"),
    "entry 0": (replace(GOOD, entry=0), "the entry point is 0"),
    "odd entry": (replace(GOOD, entry=0x10002), "expected a multiple of 4"),
    "entry outside": (replace(GOOD, entry=0x40000), "outside of the program"),
    "high entry": (replace(GOOD, entry=0x8001_0000), "outside of the program"),
    "no room for arguments": (replace(GOOD, entry=0x10000 + len(CODE) - 8), "outside of the program"),
}
NEW = {
    "high address": (replace(GOOD, address=0x8001_0000), "crashes on those from 0x80000000 on"),
    "image too large": (replace(GOOD, size=48 * MIB), "an end of at most 0x3000000"),
    "high image": (replace(GOOD, address=0x2FF_FFF0, entry=0x2FF_FFF0), "an end of at most 0x3000000"),
    "segment outside": (replace(GOOD, file_size=4096, size=4096), "truncated"),
    "more in the file": (replace(GOOD, size=16), "256 bytes in the file, 16 in RAM"),
    "nothing to load": (replace(GOOD, type=0x6474_E551), "no segments to load"),
}
OLD = {
    "no sections": (replace(GOOD, sections=0), "no sections to load"),
    "no section takes memory": (replace(GOOD, flags=0), "no sections to load"),
    "below the page table": (replace(GOOD, address=0x1000, entry=0x1000), "!PT"),
    "two below": (replace(GOOD, second=0x1000), "!PT"),
    "over the loader": (replace(GOOD, second=0x07F8_0000), "overlaps the old loader's loader"),
    "over the device tree": (replace(GOOD, second=0x07FD_FFF8), "overlaps the old loader's device tree"),
    "over the copy": (replace(GOOD, second=0x0900_0000), "overlaps the old loader's copy"),
    "over the framebuffer": (replace(GOOD, second=0x1E00_0000), "an end of at most 0x1e000000"),
}


@pytest.mark.parametrize("loader", list(Loader))
@pytest.mark.parametrize("case", BOTH)
def test_both_loaders_refuse(case: str, loader: Loader) -> None:
    shape, rule = BOTH[case]
    assert rule in refusal(shape.build(), loader)


@pytest.mark.parametrize("case", NEW)
def test_the_new_loader_refuses(case: str) -> None:
    shape, rule = NEW[case]
    assert rule in refusal(shape.build(), Loader.NEW)


@pytest.mark.parametrize("case", OLD)
def test_the_old_loader_refuses(case: str) -> None:
    shape, rule = OLD[case]
    assert rule in refusal(shape.build(), Loader.OLD)


@pytest.mark.parametrize("loader", list(Loader))
def test_a_file_cut_at_any_byte_is_refused_or_whole(loader: Loader) -> None:
    data = GOOD.build()
    for size in range(0, len(data), 3):
        try:
            image = parse_image("xenon.elf", data[:size], loader)
        except XenonError:
            continue
        assert size >= HEADER.size + SEGMENT.size + len(CODE)
        assert len(image.blocks[0].data) == len(CODE)


def test_thousands_of_sections_over_each_other_are_refused() -> None:
    assert "its parts overlap: 1024.0 MiB" in refusal(
        replace(GOOD, second=0x20000, copies=64).build(), Loader.OLD
    )


@pytest.mark.parametrize("loader", list(Loader))
def test_random_damage_ends_in_an_error_or_in_a_program_in_bounds(loader: Loader) -> None:
    random = Random(7)
    for _ in range(2000):
        data = bytearray(GOOD.build())
        for _ in range(random.randrange(1, 4)):
            place = random.choice((random.randrange(HEADER.size + SEGMENT.size), random.randrange(len(data))))
            data[place] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        try:
            image = parse_image("xenon.elf", bytes(data), loader)
        except XenonError:
            continue
        assert all(0 <= block.address <= block.end <= PLACES[loader].image.end for block in image.blocks)
        assert all(len(block.data) <= block.size for block in image.blocks)


def test_compressed_files_are_refused() -> None:
    assert "gzip" in refusal(b"\x1f\x8b\x08" + bytes(100), Loader.NEW)


def test_a_file_that_reaches_to_the_arguments_is_refused() -> None:
    data = GOOD.build()
    large = data + bytes(32 * MIB - len(data))
    assert parse_image("xenon.elf", large, Loader.OLD).entry == GOOD.entry
    assert "has 33554433 bytes, expected at most 33554432" in refusal(large + b"\0", Loader.OLD)
    assert parse_image("xenon.elf", large + b"\0", Loader.NEW).entry == GOOD.entry


def test_an_initrd_over_the_program_is_refused() -> None:
    data = replace(GOOD, second=0x0600_0000).build()
    console = XellConsole(MachineSettings(cpu=CpuKind.UNICORN), Loader.OLD)
    with pytest.raises(XenonError, match=r"section 2 lies at 0x6000000 .* initrd \(0x5fe0000 to 0x6000001\)"):
        console.load(Start("xenon.elf", data, b"uda0:/xenon.elf", b"", bytes(0x20001)))
    console.load(Start("xenon.elf", data, b"uda0:/xenon.elf", b"", bytes(0x20000)))


def test_a_file_of_48_mib_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("large") / "xenon.elf"
    with path.open("wb") as file:
        file.write(GOOD.build())
        file.truncate(LARGEST_FILE)
    with pytest.raises(XenonError, match=r"has 50331648 bytes, XeLL takes fewer"):
        find_start(path, Loader.NEW)


def test_zeros_follow_the_bytes_of_a_segment() -> None:
    image = parse_image("xenon.elf", replace(GOOD, size=4096).build(), Loader.NEW)
    assert (image.blocks[0].size, len(image.blocks[0].data)) == (4096, len(CODE))
