"""The self-test in the console: what it prints is what Python computes, on both kinds of CPU."""

from __future__ import annotations

import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import estimate_tables
import numpy as np
import pytest
from support import NATIVE, image_bytes
from systems import RECOMPILER
from xell_files import screen_lines

import loader
from llama2c.reference import Reference
from xenon.hardware.display import SCREENS, Screen
from xenon.hardware.memory_map import CACHE_LINE_BYTES
from xenon.hardware.smc import CLOCK_START
from xenon.hardware.special_registers import PROCESSOR_VERSION, TIME_BASE_HERTZ
from xenon.machine import MachineSettings
from xenon.pack.plan import ELF_NAME, plan, self_test
from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories.console_figures import measured_console
from xenon.stories.selftest_facts import CODES, page_facts
from xenon.stories.selftest_page import PageLine, SelfTestPage, parse_page
from xenon.xell.console import Clocks, XellConsole
from xenon.xell.layout import Loader
from xenon.xell.personality import MSR_AT_ENTRY

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "real-console.md"
STEP = 1_000_000  # nanoseconds that pass each time that somebody looks
LATE = 200  # looks in which threads get time to arrive


class CountingClock:
    """A clock of both kinds that goes on by a step whenever it is read: what is measured repeats."""

    def __init__(self) -> None:
        self._now = 0
        self._lock = threading.Lock()

    def nanoseconds(self) -> int:
        with self._lock:
            self._now += STEP
            if self._now < LATE * STEP:
                time.sleep(0.004)
            return self._now

    def unix_seconds(self) -> float:
        return CLOCK_START + 1 + self.nanoseconds() / 1e9


def printed(folder: Path, kind: CpuKind, screen: Screen) -> tuple[str, XellConsole]:
    """What the serial port says, of two threads, and the console at the end."""
    (folder / ELF_NAME).write_bytes(plan(self_test()).files[ELF_NAME])
    clock = CountingClock()
    settings = MachineSettings(cpu=kind, threads=2)
    console = XellConsole(settings, Loader.NEW, screen, Clocks(clock.nanoseconds, clock.unix_seconds))
    console.boot(folder)
    return b"".join(console.run(120)).decode().replace("\r\n", "\n"), console


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that the serial port says, on Unicorn."""
    text, console = printed(tmp_path_factory.mktemp("usb"), CpuKind.UNICORN, Screen())
    assert "self-test 1 " in "".join(screen_lines(console))  # the whole page is on the screen
    return text


@pytest.fixture(scope="module")
def page(text: str) -> SelfTestPage:
    return parse_page("page.txt", text.encode())


def words(page: SelfTestPage, label: str) -> tuple[str, ...]:
    line = page.line(label)
    assert line is not None
    return line.words


def test_the_page_stands_between_its_marks_and_has_every_line(text: str, page: SelfTestPage) -> None:
    assert "---- self-test ----\nself-test 1 " in text
    assert text.endswith("---- end of self-test ----\nthe end: switch the console off\n")
    assert [line.label for line in page.all_lines] == (
        "self-test pvr msr hid4 hid6 lpcr threads memory vmaddfp vnmsubfp divide vrefp vrsqrtefp vlogefp "
        "vexptefp fres frsqrte timebase chain dcbz reservation latency cached load read read "
        "logits-scalar logits-vmx logits-vmx"
    ).split()


def test_registers_and_threads_are_the_consoles(page: SelfTestPage) -> None:
    assert words(page, "pvr") == (f"{PROCESSOR_VERSION:08x}",)
    assert int(words(page, "msr")[0], 16) == MSR_AT_ENTRY
    assert words(page, "threads") == ("03",)
    assert [line.words[0] for line in page.lines("read")] == ["01", "03"]


def draws() -> Iterator[Fraction]:
    """The operands of codes_of_rounding in llama2c/src/xell_codes.c, exactly."""
    drawn = 1
    while True:
        drawn = (drawn * 1664525 + 1013904223) % 2**32
        exponent = 124 + (drawn >> 29)
        drawn = (drawn * 1664525 + 1013904223) % 2**32
        yield Fraction(2**23 + (drawn >> 9)) * Fraction(2) ** (exponent - 127 - 23)


def rounded(value: Fraction) -> bytes:
    """The nearest float of 32 bits, the even one of two, in big-endian order; the value is no denormal."""
    sign, value, exponent = value < 0, abs(value), 127
    while value >= 2:
        value, exponent = value / 2, exponent + 1
    while 0 < value < 1:
        value, exponent = value * 2, exponent - 1
    mantissa = round(value * 2**23)  # to even
    bits = (exponent << 23) + mantissa - 2**23 if mantissa else 0
    return struct.pack(">I", sign << 31 | bits)


def rounding_codes(product: Callable[[Fraction], Fraction]) -> tuple[str, str, str]:
    """The words of the lines vmaddfp and vnmsubfp, when a product becomes this before it is added."""
    source, sums, differences = draws(), b"", b""
    for _ in range(1024):
        a, b, c = ([next(source) for _ in range(4)] for _ in range(3))
        for x, y, z in zip(a, b, c, strict=True):
            sums += rounded(product(x * y) + z)
            differences += rounded(z - product(x * y))
    x = Fraction(struct.unpack(">f", struct.pack(">f", 1.1))[0])
    codes = zlib.crc32(sums), zlib.crc32(differences)
    return rounded(product(x * x) + x).hex(), f"{codes[0]:08x}", f"{codes[1]:08x}"


def nearest(value: Fraction) -> Fraction:
    return Fraction(struct.unpack(">f", rounded(value))[0])


def test_multiply_add_is_rounded_once_and_the_codes_of_twice_are_known(page: SelfTestPage) -> None:
    once = rounding_codes(lambda product: product)
    assert (*words(page, "vmaddfp"), *words(page, "vnmsubfp")) == once
    known = CODES["vmaddfp"][0], CODES["vmaddfp"][1], CODES["vnmsubfp"][0]
    for codes, place in ((once, 0), (rounding_codes(nearest), 1)):
        assert codes == tuple(list(table)[place] for table in known)
        meaning = ("rounded once", "rounded twice")[place]
        assert all(table[code].startswith(meaning) for table, code in zip(known, codes, strict=True))


def test_known_codes_of_estimates_and_logits_are_those_that_are_computed(page: SelfTestPage) -> None:
    for label, table in estimate_tables.TABLES.items():
        exact = [estimate_tables.EXACT[label]] if label in estimate_tables.EXACT else []
        assert list(CODES[label][0]) == [estimate_tables.checksum(label, each) for each in (table, *exact)]
    for label in ("logits-scalar", "logits-vmx"):
        assert list(CODES[label][1]) == [words(page, label)[1]]
    codes = page_facts(page)["codes"]
    assert isinstance(codes, dict) and set(codes) == {
        *CODES,
        "divide",
        "dcbz",
        "reservation",
        "RAM in real mode",
    }
    assert all(codes[label].endswith("as in the emulated console") for label in CODES)


def test_cache_instructions_clear_a_line_and_reservations_hold(page: SelfTestPage) -> None:
    assert words(page, "dcbz") == ("32", str(CACHE_LINE_BYTES))
    assert words(page, "reservation") == ("1",)


@pytest.mark.parametrize("name", estimate_tables.TABLES)
def test_estimates_of_this_console_are_those_of_the_tables(page: SelfTestPage, name: str) -> None:
    assert words(page, name)[0] == estimate_tables.checksum(name, estimate_tables.TABLES[name])


def test_the_time_base_is_measured_by_the_clock(page: SelfTestPage) -> None:
    assert int(words(page, "timebase")[0]) == pytest.approx(TIME_BASE_HERTZ, rel=0.002)


def test_logits_are_the_references(
    page: SelfTestPage, reference: Reference, joe260K: loader.Model, joe_tokenizer: loader.Tokenizer
) -> None:
    files = {"m": image_bytes(joe260K, NATIVE), "t": image_bytes(joe_tokenizer, NATIVE)}
    story = ["m", "-z", "t", "-l", "-t", "0", "-n", "12", "-i", "Sleepy Joe said"]
    for kernel, lines in (("scalar", 1), ("vmx", 2)):
        status, logits, _ = reference.run(files, [*story, "-k", kernel])
        assert status == 0
        code = zlib.crc32(np.frombuffer(logits, "f4").astype(">f4").tobytes())
        assert [line.words[1] for line in page.lines(f"logits-{kernel}")] == [f"{code:08x}"] * lines


@RECOMPILER
def test_both_kinds_of_cpu_print_the_same_and_a_small_screen_in_two_parts(
    page: SelfTestPage, tmp_path: Path
) -> None:
    text, console = printed(tmp_path, CpuKind.RECOMPILER, SCREENS["640x480"])
    shown = screen_lines(console)
    assert any(line.startswith("(photograph this") for line in shown) and "photograph" not in text
    assert any(line.startswith("timebase ") for line in shown)
    other = parse_page("other.txt", text.encode())

    def codes(page: SelfTestPage) -> list[tuple[str, ...]]:
        return [code_of(line) for line in page.all_lines]

    assert codes(page) == codes(other)


def code_of(line: PageLine) -> tuple[str, ...]:
    """What of a line is no measurement."""
    if line.label in ("timebase", "chain", "latency", "cached"):
        return (line.label,)
    if line.label in ("load", "read"):
        return (line.label, line.words[0])
    return (line.label, *line.words[: 2 if line.label.startswith("logits") else None])


def test_an_estimate_takes_the_page(page: SelfTestPage) -> None:
    figures = measured_console(page)
    assert figures.cores.value == 1
    assert figures.miss.source == f"measured: page.txt, line {page.lines('latency')[0].number}"


def test_the_guide_has_the_codes_of_the_tables_and_of_exact_estimates() -> None:
    rows = dict(re.findall(r"^\| `(v?f?\w+)` \| (.*) \|$", GUIDE.read_text(), re.MULTILINE))
    for name, table in estimate_tables.TABLES.items():
        here, exact = map(str.strip, rows[name].split("|"))
        assert here == f"`{estimate_tables.checksum(name, table)}`"
        if name in estimate_tables.EXACT:
            assert exact == f"`{estimate_tables.checksum(name, estimate_tables.EXACT[name])}`"
