"""The two guests, for Linux and for bare metal, are one port: the same sources, flags and machine code."""

from __future__ import annotations

import struct
from pathlib import Path

import llama2c
from llama2c.build import LINUX, PORT, SOURCES, XELL, guest_arguments
from llama2c.facts import HOT_FUNCTIONS
from xenon.powerpc.abi import LOCAL_ENTRY_BYTES
from xenon.powerpc.elf import SEGMENT_LOAD, SYMBOL_FUNCTION, Elf
from xenon.profile.scan import scan_program

PORT_ADDRESS = 0x11000  # src/guest.ld, src/xell.ld


def functions(path: Path) -> dict[str, int]:
    """The size of each function by its name."""
    elf = Elf(str(path), path.read_bytes())
    return {s.name: s.size for s in elf.symbols(elf.sections()) if s.type == SYMBOL_FUNCTION}


def test_both_are_compiled_from_the_same_sources_with_the_same_flags() -> None:
    linux, xell = guest_arguments(LINUX), guest_arguments(XELL)
    assert linux[: -len(LINUX)] == xell[: -len(XELL)]
    assert {f"{name}.c" for name in PORT} < set(linux)


def test_a_platform_is_its_own_sources_and_the_places_of_its_parts() -> None:
    for platform in (LINUX, XELL):
        sources, script = platform[:-1], platform[-1]
        assert script.startswith("-Wl,-T,")
        assert not {name.removesuffix(".c") for name in sources} & {*PORT, "main"}
        assert all((SOURCES / name).is_file() for name in (*sources, script.removeprefix("-Wl,-T,")))


def test_the_guest_for_bare_metal_has_only_instructions_of_the_console() -> None:
    assert scan_program(llama2c.xell_program().read_bytes()) == []


def test_every_function_of_the_port_is_in_both_with_the_same_size() -> None:
    linux, xell = functions(llama2c.guest_program()), functions(llama2c.xell_program())
    # Those of platform_linux.c and start.S, which the other guest has in its own way or not at all.
    own = {"_start", "system_call", "map", "run_task"}
    port = {name for name in linux if not name.startswith("platform_")} - own
    assert {"main", "forward", "rows_vmx", "parallel_for", "tokenizer_encode"} < port
    assert {name: xell.get(name) for name in port} == {name: linux[name] for name in port}


def code_of(path: Path) -> dict[str, tuple[int, list[int]]]:
    """Address and words of each function by its name."""
    image = path.read_bytes()
    elf = Elf(str(path), image)
    loaded = [segment for segment in elf.program_headers() if segment.type == SEGMENT_LOAD]
    code = {}
    for symbol in elf.symbols(elf.sections()):
        if symbol.type == SYMBOL_FUNCTION:
            segment = next(s for s in loaded if s.address <= symbol.value < s.address + s.file_size)
            start = symbol.value - segment.address + segment.offset
            words = struct.unpack_from(f">{symbol.size // 4}I", image, start)
            code[symbol.name] = symbol.value, list(words)
    return code


def test_the_port_is_the_same_machine_code_at_the_same_addresses_but_for_calls_of_the_platform() -> None:
    linux, xell = code_of(llama2c.guest_program()), code_of(llama2c.xell_program())
    named = [{address: name for name, (address, _) in code.items()} for code in (linux, xell)]

    def target(names: dict[int, str], place: int, word: int) -> str:
        distance = word & 0x03FF_FFFC
        address = place + distance - (distance >> 25 << 26)
        return names.get(address) or names[address - LOCAL_ENTRY_BYTES]

    port = [name for name, (address, _) in linux.items() if address >= PORT_ADDRESS]
    platform = {name for name in HOT_FUNCTIONS if name.startswith("platform_")} | {"system_call"}
    assert set(HOT_FUNCTIONS) - platform < set(port)
    for name in port:
        assert linux[name][0] == xell[name][0]
        for index, words in enumerate(zip(linux[name][1], xell[name][1], strict=True)):
            if words[0] != words[1]:  # bl
                assert [word >> 26 for word in words] == [18, 18], name
                place = linux[name][0] + 4 * index
                called = {target(names, place, word) for names, word in zip(named, words, strict=True)}
                assert len(called) == 1 and called.pop().startswith("platform_"), name
