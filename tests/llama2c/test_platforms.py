"""The two guests, for Linux and for bare metal, are one port: the same sources, the same flags."""

from __future__ import annotations

from pathlib import Path

import llama2c
from llama2c.build import LINUX, PORT, SOURCES, XELL, guest_arguments
from xenon.powerpc.elf import SYMBOL_FUNCTION, Elf
from xenon.profile.scan import scan_program


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
    # Where the program's mark is, behind the branch at its first byte.
    marks = [finding.symbol for finding in scan_program(llama2c.xell_program().read_bytes())]
    assert marks == ["_start"]


def test_every_function_of_the_port_is_in_both_with_the_same_size() -> None:
    linux, xell = functions(llama2c.guest_program()), functions(llama2c.xell_program())
    # Those of platform_linux.c and start.S, which the other guest has in its own way or not at all.
    own = {"_start", "system_call", "map", "run_task"}
    port = {name for name in linux if not name.startswith("platform_")} - own
    assert {"main", "forward", "rows_vmx", "parallel_for", "tokenizer_encode"} < port
    assert {name: xell.get(name) for name in port} == {name: linux[name] for name in port}
