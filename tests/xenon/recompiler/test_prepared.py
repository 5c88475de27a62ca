"""Code compiled when the package is built: what is taken of it, and what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sharing import building_from_nothing
from support import WHOLE
from systems import RECOMPILER

import llama2c
import xenon
from llama2c.build import BuildError, zig_program
from xenon.console import Console, MachineSettings
from xenon.pack.container import container
from xenon.pack.plan import bare_program
from xenon.recompiler import prepared as module
from xenon.recompiler import recompiler
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.prepared import Prepared, PreparedUnit, host_kinds, prepared
from xenon.recompiler.recompiler import Recompiler
from xenon.stories.prepare import prepare
from xenon.stories.settings import Setup
from xenon.xell.console import XellConsole
from xenon.xell.stick import Start

pytestmark = RECOMPILER

FUNCTIONS = ("strlen", "memcpy")
BOTH_WAYS = "help"  # calls the platform, which lies elsewhere in the other guest
KIND = next(host_kinds(), None)
STEPS = 40 if WHOLE else 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_with(FUNCTIONS, tmp_path_factory)


@pytest.fixture(scope="module")
def folder_of_others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_with((*FUNCTIONS, BOTH_WAYS, "rows_vmx", "tokenizer_encode"), tmp_path_factory)


def folder_with(functions: tuple[str, ...], factory: pytest.TempPathFactory) -> Path:
    try:
        zig_program()
    except BuildError as error:
        pytest.skip(str(error))
    if KIND is None:
        pytest.skip("no code is prepared for this computer")
    made = factory.mktemp("prepared")
    prepare(made, [KIND], functions)
    return made


@pytest.fixture
def booted() -> Recompiler:
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    console.boot(llama2c.guest_program(), ["llama2"])
    assert console.machine.recompiler is not None
    return console.machine.recompiler


@pytest.fixture
def on_bare_metal() -> Recompiler:
    console = XellConsole(MachineSettings(cpu=CpuKind.RECOMPILER))
    console.load(Start("xenon.elf", container(bare_program(), b""), b"xenon.elf"))
    assert console.machine.recompiler is not None
    return console.machine.recompiler


def changed(folder: Path, target: Path, **fields: object) -> Path:
    """A copy of the folder whose record has other fields."""
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    record = target / f"{KIND}.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | fields))
    return target


def units(folder: Path) -> list[PreparedUnit]:
    return [PreparedUnit.read(row) for row in json.loads((folder / f"{KIND}.json").read_text())["units"]]


def taken(unit: PreparedUnit, library: Prepared | None, code: Recompiler) -> bool:
    assert library is not None
    return library.unit(unit.entries, code.fetch, code.code_at) is not None


def test_two_builds_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    with building_from_nothing():
        again = prepare(tmp_path, [str(KIND)], FUNCTIONS)
    assert len(again) == 2
    for path in again:
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_functions_whose_instructions_are_in_memory_are_taken(folder: Path, booted: Recompiler) -> None:
    library = prepared(folder)
    rows = units(folder)
    assert len(rows) == len(FUNCTIONS)  # which both guests have alike
    for row in rows:
        assert taken(row, library, booted)
        assert library is not None
        unit = library.unit(row.entries, booted.fetch, booted.code_at)
        assert unit is not None and unit.points == row.points
        assert unit.instructions == sum(count for _, count in row.runs)


def test_one_copy_serves_both_guests(folder: Path, on_bare_metal: Recompiler) -> None:
    assert all(taken(row, prepared(folder), on_bare_metal) for row in units(folder))


def test_a_function_that_differs_is_there_for_each_guest(
    folder_of_others: Path, booted: Recompiler, on_bare_metal: Recompiler
) -> None:
    library = prepared(folder_of_others)
    assert library is not None
    (address,) = booted.functions.addresses_of({BOTH_WAYS})
    rows = [row for row in units(folder_of_others) if row.entries[0] == address]
    assert len(rows) == 2 and rows[0].entries == rows[1].entries
    served = [library.unit(rows[0].entries, guest.fetch, guest.code_at) for guest in (booted, on_bare_metal)]
    assert None not in served and len({unit and unit.function for unit in served}) == 2


def test_a_function_whose_instructions_have_changed_is_not_taken(folder: Path, booted: Recompiler) -> None:
    row = units(folder)[0]
    start = row.runs[0][0]
    booted.pages.memory.view[start + 3] ^= 1
    assert not taken(row, prepared(folder), booted)


def test_a_function_on_a_page_that_is_no_code_is_not_taken(folder: Path, booted: Recompiler) -> None:
    library, row = prepared(folder), units(folder)[0]
    assert library is not None
    assert library.unit(row.entries, lambda _: None, booted.code_at) is None


def test_a_library_of_another_generator_is_left_alone(folder: Path, tmp_path: Path) -> None:
    assert prepared(folder) is not None
    assert prepared(changed(folder, tmp_path, version="0" * 64)) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"version": 1, "units": 5}', "[" * 100_000, '{"version":"","units":[1]}'],
)
def test_a_record_that_is_none_is_left_alone(folder: Path, tmp_path: Path, text: str) -> None:
    place = changed(folder, tmp_path)
    (place / f"{KIND}.json").write_text(text)
    assert prepared(place) is None


def test_a_run_outside_of_memory_is_refused(folder: Path, tmp_path: Path) -> None:
    rows = json.loads((folder / f"{KIND}.json").read_text())["units"]
    rows[0]["runs"][0][1] = 1 << 40
    assert prepared(changed(folder, tmp_path, units=rows)) is None


def test_without_its_library_a_record_is_nothing(folder: Path, tmp_path: Path) -> None:
    place = changed(folder, tmp_path)
    (place / f"{KIND}.so").write_bytes(b"no library")
    assert prepared(place) is None


def test_only_kinds_whose_features_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    levels = module._LEVELS
    for names, kinds in (
        ("sse2", []),
        (levels["x86_64_v3"], ["x86_64_v3"]),
        (levels["x86_64_v4"], [*levels]),
    ):
        monkeypatch.setattr(module, "features", lambda names=names: frozenset(names.split()))
        assert list(host_kinds()) == kinds


def test_a_story_is_the_same_with_and_without(
    folder_of_others: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = prepared(folder_of_others)
    assert library is not None
    entered: list[tuple[int, ...]] = []
    publish = Recompiler.enter

    def entering(self: Recompiler, entries: tuple[int, ...], *rest: object) -> object:
        entered.append(entries)
        return publish(self, entries, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Recompiler, "enter", entering)
    setup = Setup(cpu=CpuKind.RECOMPILER)
    monkeypatch.setattr(recompiler, "prepared", lambda: library)
    told = list(xenon.Session(setup=setup).generate("One day", seed=7, steps=STEPS))
    assert set(library._units) <= set(entered)
    monkeypatch.setattr(recompiler, "prepared", lambda: None)
    assert "".join(xenon.Session(setup=setup).generate("One day", seed=7, steps=STEPS)) == "".join(told)


# A slow run may find other functions hot: which, depends on the time that it gets.
STORY_OF_HOT_FUNCTIONS = """
import sys, xenon
from xenon.recompiler import tier
tier._SHORT_PATIENCE, tier._HOT = 0, sys.maxsize
not_prepared = []
class TierUp(tier.TierUp):
    def start(self):
        named = {function.name: function.address for function in self._recompiler.functions}
        self._remembered = lambda key: [(named["refuse"], None, False)]  # hot with another model
        super().start()
        not_prepared.append(self._first)
from xenon import machine
machine.TierUp = TierUp
list(xenon.Session().generate("Sleepy Joe said", seed=1, steps=40))
slow_to_import = {
    *("llvmlite", "xenon.lifter.rules", "asyncio", "numpy", "socket", "secrets"),
    *("loader.synthetic", "loader.byte_pairs", "loader.gguf.file", "loader.safetensors.folder"),
    *("loader.conversion", "xenon.models.catalogue", "xenon.stories.loaded"),
    "xenon.hardware.gpu.command_processor",
}
print(not_prepared, slow_to_import & set(sys.modules))
"""


def test_a_story_of_prepared_code_needs_no_compiler(tmp_path: Path) -> None:
    if prepared() is None:
        pytest.skip("nothing is prepared in this folder: python -m xenon.stories.prepare")
    words = [sys.executable, "-c", STORY_OF_HOT_FUNCTIONS]
    nothing_remembered = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=nothing_remembered)
    assert done.stdout == "[[]] set()\n"


def test_counting_code_is_never_the_prepared_one(
    folder: Path, booted: Recompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recompiler, "prepared", lambda: prepared(folder))
    addresses = [unit.entries[0] for unit in units(folder)]
    booted.counting = True
    assert booted.take_prepared(addresses) == addresses
    booted.counting = False
    assert booted.take_prepared(addresses) == []
