"""The list of hot functions, compared with the guest's symbols and with what stories execute."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from llama2c.facts import HOT_FUNCTIONS, hot_functions
from xenon.console import Console, CpuKind
from xenon.linux.program import Program
from xenon.profile.profiler import Profiler
from xenon.stories.session import Matmul, Session


def test_every_hot_function_is_one_symbol_of_the_guest(guest: Path) -> None:
    with guest.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        names = Counter(
            symbol.name for symbol in table.iter_symbols() if symbol["st_info"]["type"] == "STT_FUNC"
        )
    assert {name: names[name] for name in HOT_FUNCTIONS} == dict.fromkeys(HOT_FUNCTIONS, 1)


def test_a_run_has_the_rows_of_its_own_matmul_only() -> None:
    assert set(HOT_FUNCTIONS) - set(hot_functions("vmx")) == {"rows_scalar"}
    assert set(HOT_FUNCTIONS) - set(hot_functions("scalar")) == {"rows_vmx"}
    with pytest.raises(KeyError):
        hot_functions("fast")


@pytest.mark.parametrize("matmul", list(Matmul))
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_stories_spend_their_instructions_in_hot_functions(matmul: Matmul, temperature: float) -> None:
    profilers: list[Profiler] = []

    def watch(console: Console, guest: Program) -> None:
        profilers.append(Profiler(console, guest))
        profilers[0].start()

    session = Session(None, threads=2, matmul=matmul, cpu=CpuKind.UNICORN)
    session.watch = watch
    list(session.generate("Once", temperature=temperature, steps=24, seed=1, ignore_eos=True))
    profile = profilers[0].stop()
    other = {
        function.name: function.instructions / profile.instructions
        for function in profile.functions
        if function.name not in hot_functions(matmul.value)
    }
    assert max(other.values()) < 0.002, other
    assert sum(other.values()) < 0.005, other
