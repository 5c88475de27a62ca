"""The ELF32 container: what both loaders want of it, and what other people's readers say it is."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

import llama2c
from xenon.errors import XenonError
from xenon.pack.container import container, files_of, read_guest
from xenon.pack.limits import IMAGE_BASE
from xenon.pack.plan import bare_program
from xenon.powerpc.elf import Elf
from xenon.xell.image import parse_image
from xenon.xell.layout import Loader

ARCHIVE = bytes(range(256)) * 33  # no whole pages
TOOL = "powerpc64-linux-gnu-"


@pytest.fixture(scope="module")
def packed() -> bytes:
    return container(bare_program(), ARCHIVE)


def test_pyelftools_reads_what_both_loaders_want(packed: bytes) -> None:
    elf = ELFFile(io.BytesIO(packed))
    assert (elf.elfclass, elf.little_endian, elf["e_type"], elf["e_machine"]) == (
        32,
        False,
        "ET_EXEC",
        "EM_PPC",
    )
    segments = list(elf.iter_segments())
    loaded = [section for section in elf.iter_sections() if section["sh_flags"] & 2]
    assert len(segments) == len(loaded) == 2
    for segment, section in zip(segments, loaded, strict=True):
        assert segment["p_type"] == "PT_LOAD"
        assert segment["p_paddr"] == segment["p_vaddr"] == section["sh_addr"] >= IMAGE_BASE
        assert segment["p_filesz"] == segment["p_memsz"] == section["sh_size"]
        assert segment["p_offset"] == section["sh_offset"]
        assert section["sh_type"] == "SHT_PROGBITS"
        assert (segment["p_paddr"] - segment["p_offset"]) % segment["p_align"] == 0
        assert segment["p_paddr"] % 128 == 0
        assert segment.data() == section.data()
    assert segments[1].data() == ARCHIVE
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    names = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
    assert names["_start"] == elf["e_entry"] == IMAGE_BASE
    assert {"main", "forward"} < set(names)


def test_readelf_has_nothing_to_say_against_it(packed: bytes, tmp_path: Path) -> None:
    if shutil.which(f"{TOOL}readelf") is None:
        pytest.skip(f"{TOOL}readelf is not installed")
    path = tmp_path / "xenon.elf"
    path.write_bytes(packed)
    done = subprocess.run([f"{TOOL}readelf", "-aW", path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "Entry point address:               0x10000" in done.stdout


def test_objcopy_makes_the_same_header_fields_of_the_program(tmp_path: Path) -> None:
    if shutil.which(f"{TOOL}objcopy") is None:
        pytest.skip(f"{TOOL}objcopy is not installed")
    path = tmp_path / "objcopy.elf"
    subprocess.run([f"{TOOL}objcopy", "-O", "elf32-powerpc", llama2c.xell_program(), path], check=True)
    theirs, ours = ELFFile(io.BytesIO(path.read_bytes())), ELFFile(io.BytesIO(container(bare_program(), b"")))
    for field in ("e_type", "e_machine", "e_version", "e_entry", "e_ehsize", "e_phentsize", "e_shentsize"):
        assert theirs[field] == ours[field], field
    assert theirs["e_ident"]["EI_CLASS"] == ours["e_ident"]["EI_CLASS"] == "ELFCLASS32"
    segment = next(s for s in theirs.iter_segments() if s["p_type"] == "PT_LOAD")
    mine = ours.get_segment(0)
    for field in ("p_paddr", "p_vaddr", "p_memsz"):
        assert segment[field] == mine[field], field
    assert mine.data().startswith(segment.data())
    assert not mine.data()[segment["p_filesz"] :].strip(b"\0")  # .bss, in the file


@pytest.mark.parametrize("loader", Loader)
def test_either_loader_takes_it(packed: bytes, loader: Loader) -> None:
    image = parse_image("xenon.elf", packed, loader)
    assert image.entry == IMAGE_BASE


def test_the_program_is_told_where_its_files_are(packed: bytes) -> None:
    place = files_of(Elf("xenon.elf", packed))
    assert place == (bare_program().files_address, len(ARCHIVE))
    assert files_of(Elf("xenon.elf", container(bare_program(), b""))) == (0, 0)


def test_the_same_parts_give_the_same_bytes(packed: bytes) -> None:
    assert container(bare_program(), ARCHIVE) == packed


def test_another_elf_file_is_not_taken_for_the_program() -> None:
    linux = llama2c.guest_program()
    with pytest.raises(XenonError, match="not the program that is packed"):
        read_guest("llama2.elf", linux.read_bytes())
    assert files_of(Elf("llama2.elf", linux.read_bytes())) is None
