"""Programs on bare metal as XeLL starts them: on both kinds of CPU, both loaders, one and six threads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from systems import RECOMPILER
from xell_files import Stick

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.display import SCREENS
from xenon.hardware.smc import CLOCK_START
from xenon.hardware.special_registers import TIME_BASE_HERTZ
from xenon.hardware.unicorn import waiting_hints
from xenon.machine import LimitReached, MachineSettings
from xenon.recompiler.cpu_kind import CpuKind, installed
from xenon.recompiler.outcome import Tier
from xenon.xell.console import Clocks, XellConsole
from xenon.xell.faults import BareProgramFault
from xenon.xell.layout import Loader

KINDS = [CpuKind.UNICORN, *([CpuKind.RECOMPILER] if installed() else [])]
OBJCOPY = "powerpc64-linux-gnu-objcopy"
PATIENCE = 120.0  # seconds; nothing here takes long on a computer with time to spare


def boot(
    folder: Path,
    kind: CpuKind = CpuKind.UNICORN,
    loader: Loader = Loader.NEW,
    threads: int = 1,
    screen: str = "1280x720",
    clocks: Clocks | None = None,
) -> XellConsole:
    console = XellConsole(MachineSettings(cpu=kind, threads=threads), loader, SCREENS[screen], clocks)
    console.boot(folder)
    return console


def text_of(console: XellConsole) -> str:
    return b"".join(console.run(PATIENCE)).decode()


@pytest.mark.parametrize("threads", [1, 6])
@pytest.mark.parametrize("loader", list(Loader))
@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_arrive_are_numbered_as_pir_says(
    stick: Stick, kind: CpuKind, loader: Loader, threads: int
) -> None:
    console = boot(stick(f"threads {threads}"), kind, loader, threads)
    assert int(text_of(console), 16) == threads


@pytest.mark.parametrize("loader", list(Loader))
def test_a_program_gets_its_arguments_and_its_initrd(stick: Stick, loader: Loader) -> None:
    folder = stick("start -i  Once  upon a=b", initrd=b"weights\n")
    fifth, magic, count, *rest = text_of(boot(folder, loader=loader)).splitlines()
    assert (int(fifth, 16), int(magic, 16), int(count, 16)) == (0, 0x5F617267, 1)
    assert rest == ["uda0:/xenon-llm.elf", "start -i Once upon a=b", "weights"]


def test_a_single_file_is_started_without_a_command_line(tmp_path: Path, elf32: bytes) -> None:
    (tmp_path / "any.elf32").write_bytes(elf32)
    assert text_of(boot(tmp_path / "any.elf32")) == "hello\n"


def test_a_container_by_gnu_objcopy_boots(tmp_path: Path, elf64: Path) -> None:
    if shutil.which(OBJCOPY) is None:
        pytest.skip(f"no {OBJCOPY}: Debian has it in binutils-powerpc64-linux-gnu")
    program = tmp_path / "xenon.elf"
    subprocess.run([OBJCOPY, "-O", "elf32-powerpc", elf64, program], check=True)
    for loader in Loader:
        assert text_of(boot(tmp_path, loader=loader)) == "hello\n"


@pytest.mark.parametrize("kind", KINDS)
def test_special_registers_are_the_consoles(stick: Stick, kind: CpuKind) -> None:
    version, number, msr, hid6, lpcr = text_of(boot(stick("registers"), kind)).splitlines()
    assert int(version, 16) >> 16 == 0x71
    assert int(number, 16) == 0
    assert int(msr, 16) & 0x9000_0000_0200_E030 == 0x9000_0000_0200_2000  # SF HV VEC FP, not EE PR IR DR
    assert (int(hid6, 16), int(lpcr, 16)) == (0x0001_8038_0000_0000, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_time_passes_and_the_controller_knows_the_date(stick: Stick, kind: CpuKind) -> None:
    console = boot(stick("time"), kind, clocks=Clocks(unix_seconds=lambda: CLOCK_START + 123.5))
    later, milliseconds = text_of(console).splitlines()
    assert (later, int(milliseconds, 16)) == ("later", 123_500)
    assert console.smc.lights == 0x81


def test_the_time_base_runs_at_its_frequency(stick: Stick) -> None:
    now = [0]

    def nanoseconds() -> int:
        now[0] += 10**9
        return now[0]

    console = boot(stick("threads 1"), clocks=Clocks(nanoseconds))
    assert text_of(console).strip() == "0000000000000001"
    registers = console._registers
    first, second = registers.read(268, 0), registers.read(268, 0)
    assert second - first == TIME_BASE_HERTZ
    assert registers.read(269, 0) == registers.read(268, 0) >> 32


@pytest.mark.parametrize("screen", ["1280x720", "640x480", "1280x1024"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_is_what_a_program_draws_by_the_registers(
    stick: Stick, kind: CpuKind, screen: str
) -> None:
    console = boot(stick("draw"), kind, screen=screen)
    assert text_of(console) == ""
    picture = console.picture()
    width, height = SCREENS[screen].width, SCREENS[screen].height
    y, x = np.mgrid[:height, :width]
    expected = np.stack([x & 255, y & 255, (x + y) & 255], axis=-1)
    assert np.array_equal(picture, expected)


def test_memory_that_nobody_wrote_is_not_zero(stick: Stick) -> None:
    assert int(text_of(boot(stick("stale"))), 16) == 0x03A5_5AFF


FAULTS = {
    "jump-zero": "jump to 0x0: stale bytes, where nobody has written code",
    "flash": "write of 4 bytes at 0x80000200c8000000: flash, which this console has no model of",
    "view": "write of 4 bytes at 0x80010000: there are no views of RAM in real mode",
    "beyond": "write of 4 bytes at 0x20000000: RAM ends at 0x20000000",
    "southbridge": "southbridge: read at 0x200ea001200: no model of this register",
    "display": "display: write at 0x200ec806134: no model of this",
    "call": "sc: there is no operating system to call",
    "translation": "CPU: mtmsrd changes IR, DR of MSR: the console has no model of that",
    "decrementer": "CPU: read of the special register DEC (22): it has no model",
    "hid": "CPU: write of 0x0 to the special register HID6 (1017): it has no model",
    "interrupt": "CPU: rfid: translation and interrupts have no model",
    "message": "SMC: message 55 00 00",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", FAULTS)
def test_what_has_no_model_is_a_fault_that_names_it(stick: Stick, task: str, kind: CpuKind) -> None:
    console = boot(stick(task), kind)
    with pytest.raises(BareProgramFault) as caught:
        list(console.run(PATIENCE))
    assert FAULTS[task] in caught.value.message
    assert " on hardware thread 0 (PC 0x" in caught.value.message
    assert caught.value.code is ErrorCode.GUEST_FAULT
    assert "r31" in caught.value.report


def test_a_program_ends_when_every_thread_sleeps(stick: Stick) -> None:
    assert text_of(boot(stick("asleep"), threads=3)) == ""


def test_a_time_limit_ends_a_program_that_writes_without_end(stick: Stick) -> None:
    console = boot(stick("endless"))
    pieces: list[bytes] = []
    with pytest.raises(LimitReached, match=r"xenon-llm\.elf: time limit of 0\.5 s reached"):
        pieces.extend(console.run(0.5))
    assert set(b"".join(pieces)) <= {ord("x")}


def test_a_reader_that_leaves_stops_the_program(stick: Stick) -> None:
    pieces = boot(stick("endless"), threads=2).run()
    assert next(pieces).startswith(b"x")
    pieces.close()


@RECOMPILER
def test_functions_of_a_bare_program_are_compiled(stick: Stick) -> None:
    console = boot(stick("work"), CpuKind.RECOMPILER)
    recompiler = console.machine.recompiler
    assert recompiler is not None
    (write_hex,) = recompiler.functions.addresses_of({"write_hex"})
    assert recompiler.compile(write_hex).tier is Tier.COMPILED
    compiled = text_of(console)
    assert compiled == text_of(boot(stick("work")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_that_waits_rests_longer_and_longer(
    stick: Stick, kind: CpuKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    monkeypatch.setattr(waiting_hints, "time", SimpleNamespace(sleep=rests.append, perf_counter=lambda: 0.0))
    assert text_of(boot(stick("wait"), kind)) == ""
    assert (len(rests), rests[0]) == (9, 0.0)
    assert rests[1] > 0 and rests[3] == 2 * rests[2] == 4 * rests[1] and rests[-1] == rests[-2]


@RECOMPILER
def test_a_function_that_waits_is_left_to_the_engine_that_sees_it(stick: Stick) -> None:
    recompiler = boot(stick("wait"), CpuKind.RECOMPILER).machine.recompiler
    assert recompiler is not None
    (run,) = recompiler.functions.addresses_of({"run"})
    for place in (run, run + 64):
        outcome = recompiler.compile(place)
        assert (outcome.tier, outcome.reason) == (Tier.UNICORN, "it waits for other hardware threads")


@RECOMPILER
def test_functions_that_use_devices_can_be_left_to_the_engine(stick: Stick) -> None:
    console = XellConsole(MachineSettings(cpu=CpuKind.RECOMPILER))
    console.boot(stick("work"), interpreted=["write_hex", "none_of_this_name"])
    recompiler = console.machine.recompiler
    assert recompiler is not None
    (write_hex,) = recompiler.functions.addresses_of({"write_hex"})
    assert recompiler.compile(write_hex).reason == "it is to be left to Unicorn"


def test_a_console_boots_once_and_runs_what_it_has_booted(stick: Stick) -> None:
    with pytest.raises(XenonError, match="nothing to run"):
        next(XellConsole().run())
    console = boot(stick("hello"))
    with pytest.raises(XenonError, match="has booted already"):
        console.boot(stick("hello"))
    console.machine.stop()
