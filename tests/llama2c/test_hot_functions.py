"""The list of hot functions, compared with the guest's symbols and with what stories execute."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

import llama2c
from llama2c.facts import (
    BYTE_PAIR_FUNCTIONS,
    HOT_FUNCTIONS,
    XELL_DEVICE_FUNCTIONS,
    XELL_FUNCTIONS,
    functions_to_prepare,
    hot_functions,
)
from loader import synthetic
from loader.synthetic import Shape
from xenon.console import Bytes, Console, CpuKind, MachineSettings
from xenon.profile.profile import Profile
from xenon.profile.profiler import Profiler

BUNDLED = llama2c.bundled_model(), llama2c.bundled_tokenizer()


def functions(guest: Path) -> Counter[str]:
    with guest.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return Counter(
            symbol.name for symbol in table.iter_symbols() if symbol["st_info"]["type"] == "STT_FUNC"
        )


def test_every_hot_function_is_one_symbol_of_the_guest(guest: Path) -> None:
    names, hot = functions(guest), (*HOT_FUNCTIONS, *BYTE_PAIR_FUNCTIONS, *functions_to_prepare())
    assert {name: names[name] for name in hot} == dict.fromkeys(hot, 1)
    names = functions(llama2c.xell_program())
    bare = (*XELL_FUNCTIONS, *XELL_DEVICE_FUNCTIONS)
    assert {name: names[name] for name in bare} == dict.fromkeys(bare, 1)


def test_a_run_has_its_own_kernels_only() -> None:
    names = "rows batch rmsnorm rope divide softmax attend swiglu add argmax".split()
    scalar, vmx = ({f"{name}_{kernel}" for name in names} for kernel in ("scalar", "vmx"))
    parts = {f"{name}_{floats}" for name in ("scores", "values") for floats in (4, 8, 16, 32, 48, 64)}
    assert set(HOT_FUNCTIONS) - set(hot_functions("vmx")) == scalar | {"expf"}
    assert set(HOT_FUNCTIONS) - set(hot_functions("scalar")) == vmx | parts
    with pytest.raises(KeyError):
        hot_functions("fast")


@pytest.mark.parametrize("matmul", ["scalar", "vmx"])
@pytest.mark.parametrize("temperature", ["0", "0.9"])
def test_stories_spend_their_instructions_in_hot_functions(matmul: str, temperature: str) -> None:
    profile = _profile(BUNDLED, matmul, temperature, 24)
    other = {
        function.name: function.instructions / profile.instructions
        for function in profile.functions
        if function.name not in hot_functions(matmul)
    }
    assert max(other.values()) < 0.002, other
    assert sum(other.values()) < 0.005, other


@pytest.mark.parametrize("matmul", ["scalar", "vmx"])
@pytest.mark.parametrize("temperature", ["0", "0.9"])
def test_a_token_calls_hot_functions_only(matmul: str, temperature: str) -> None:
    short, long = (_profile(BUNDLED, matmul, temperature, steps) for steps in (6, 24))
    assert {"forward", "printer_print", "system_call"} <= grown(short, long, 18)
    assert grown(short, long, 18) - set(hot_functions(matmul)) == set()


def test_sharing_work_calls_hot_functions_only(tmp_path: Path) -> None:
    config = replace(
        Shape.STORIES_260K.config, vocab_size=4096, n_layers=1
    )  # a matrix that is worth two threads
    paths = tmp_path / "model.bin", tmp_path / "tokenizer.bin"
    synthetic.write_model(config, paths[0])
    synthetic.write_tokenizer(config.vocab_size, paths[1])
    short, long = (_profile(paths, "vmx", "0", steps) for steps in (10, 30))
    assert "dismiss" in grown(short, long, 20)
    assert grown(short, long, 20) - set(hot_functions("vmx")) == set()


def grown(short: Profile, long: Profile, calls: int) -> set[str]:
    """The functions that the longer run calls so many times more often."""
    before = {function.address: function.calls for function in short.functions}
    return {
        function.name
        for function in long.functions
        if function.calls - before.get(function.address, 0) >= calls
    }


@cache
def _profile(paths: tuple[Path, Path], matmul: str, temperature: str, steps: int) -> Profile:
    """What a story of so many steps executes; `paths` are those of the model and its tokenizer."""
    console = Console(MachineSettings(cpu=CpuKind.UNICORN, threads=2, measured=True))
    for name, path in zip("mt", paths, strict=True):
        console.disc.add(name, Bytes(path.read_bytes()))
    words = ["m", "-z", "t", "-i", "Once", "-t", temperature, "-s", "1", "-n", str(steps), "-e", "-k", matmul]
    profiler = Profiler(console, console.boot(llama2c.guest_program(), words))
    profiler.start()
    for _ in console.run(timeout=60):
        pass
    return profiler.stop()
