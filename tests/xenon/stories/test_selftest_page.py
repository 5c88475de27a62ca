"""The page of a console's self-test: read back, mistyped in every way, and taken by an estimate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run_command_text
from selftest_pages import LINES, PAGE, page_of

from loader.synthetic import Shape
from xenon.errors import XenonError
from xenon.stories.console_figures import XBOX_360, measured_console
from xenon.stories.estimate import estimate
from xenon.stories.selftest_facts import page_facts
from xenon.stories.selftest_page import parse_page


def test_a_page_is_found_in_all_that_the_serial_port_said() -> None:
    log = f"\r\nxenon-llm: started by XeLL\r\n{PAGE.replace(chr(10), chr(13) + chr(10))}the end\r\n"
    page = parse_page("log", log.encode())
    assert [" ".join((line.label, *line.words)) for line in page.all_lines] == list(LINES)
    assert page.all_lines[0].number == 3


def test_spaces_empty_lines_and_upper_case_do_not_matter() -> None:
    typed = PAGE.upper().replace(" ", "   ").replace("\n", "  \n\n")
    assert parse_page("typed", typed.encode()).lines("read") != []


def test_every_wrong_character_is_noticed_in_its_line() -> None:
    for place, character in enumerate(PAGE):
        if character == "\n":
            continue
        other = "7" if character != "7" else "1"
        line = PAGE[:place].count("\n") + 1
        with pytest.raises(XenonError) as caught:
            parse_page("p", (PAGE[:place] + other + PAGE[place + 1 :]).encode())
        label_is_wrong = place < len("self-test ")
        expected = "p: 14 lines, none of them" if label_is_wrong else f"p: line {line}: "
        assert caught.value.message.startswith(expected)
        assert caught.value.hint


def test_a_page_that_is_cut_off_is_refused_wherever_that_is() -> None:
    for end in range(len(PAGE) - 1):
        with pytest.raises(XenonError):
            parse_page("p", PAGE[:end].encode())


def test_lines_that_are_missing_twice_or_exchanged_are_noticed() -> None:
    lines = PAGE.splitlines()
    for wrong, what in (
        (lines[:3] + lines[4:], r"p: line 13: 12 lines before it, expected 13"),
        (lines[:3] + lines[2:], r"p: line 15: 14 lines before it, expected 13"),
        ([*lines[:3], lines[4], lines[3], *lines[5:]], r"p: line 14: the lines before it have the checksum"),
        (lines[:-1], r"p: line 13: the page is cut off, expected a line 'end'"),
    ):
        with pytest.raises(XenonError, match=what):
            parse_page("p", "\n".join(wrong).encode())


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "p: 0 lines, none of them begins with 'self-test'"),
        (b"\x7fELF\0\xff\n" * 9, "p: 9 lines, none of them begins with 'self-test'"),
        (page_of("self-test 2").encode(), "p: line 1: a page of version '2', expected 1"),
        (page_of("self-test").encode(), "p: line 1: a page of version '', expected 1"),
    ],
)
def test_what_is_no_page_of_this_version_is_named(data: bytes, what: str) -> None:
    with pytest.raises(XenonError) as caught:
        parse_page("p", data)
    assert caught.value.message == what


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("timebase", "found nothing as word 1 of 'timebase', expected a decimal number"),
        ("timebase -5", "found '-5' as word 1 of 'timebase', expected a decimal number"),
        ("timebase " + "9" * 16, "as word 1 of 'timebase', expected a decimal number"),
        ("latency 1 2 x", "found 'x' as word 3 of 'latency', expected a decimal number"),
        ("threads zz", "found 'zz' as word 1 of 'threads', expected a hexadecimal number"),
        ("read 01", "found nothing as word 2 of 'read', expected a decimal number"),
        ("chain 1", "found nothing as word 2 of 'chain', expected a decimal number"),
    ],
)
def test_a_value_that_cannot_be_is_named(line: str, what: str) -> None:
    with pytest.raises(XenonError) as caught:
        measured_console(parse_page("p", page_of("self-test 1", line).encode()))
    assert caught.value.message.startswith("p: line 2: ") and what in caught.value.message


def test_figures_are_those_of_the_page() -> None:
    figures = measured_console(parse_page("page.txt", PAGE.encode()))
    assert figures.clock.value == 64 * 50e6
    assert figures.clock.source == "measured: page.txt, line 5"
    assert figures.cores.value == 3
    assert figures.miss.value == pytest.approx(160e-9)
    assert figures.front_side_bus.value == 9600e6
    assert figures.outstanding.value == pytest.approx(4000e6 * 160e-9 / 128)
    assert figures.scalar_latency.value == pytest.approx(3e-9 * 3.2e9)
    assert figures.vmx_latency.value == pytest.approx(4e-9 * 3.2e9)
    assert figures.memory == XBOX_360.memory and figures.gpu_clock == XBOX_360.gpu_clock


def test_estimates_follow_the_page() -> None:
    figures = measured_console(parse_page("page.txt", PAGE.encode()))
    rows = {row.variant: row for row in estimate(Shape.STORIES_15M.config, figures=figures)}
    weights = 4 * 15_191_712
    assert rows["VMX, prefetched, one core"].tokens_per_second == pytest.approx(4000e6 / weights)
    assert rows["VMX, prefetched, one core"].limit == "memory latency, 5 misses at a time"
    assert rows["VMX, prefetched, three cores"].tokens_per_second == pytest.approx(9600e6 / weights)
    naive = weights / 128 * 160e-9 + 15_191_712 * 3e-9
    assert rows["naive scalar, one core"].tokens_per_second == pytest.approx(1 / naive, rel=1e-3)


def test_what_a_page_leaves_out_stays_as_published() -> None:
    figures = measured_console(parse_page("p", page_of("self-test 1", "timebase 0", "threads 05").encode()))
    assert figures.clock == XBOX_360.clock
    assert figures.cores.value == 2
    assert "VMX, prefetched, two cores" in [
        row.variant for row in estimate(Shape.STORIES_15M.config, figures=figures)
    ]
    with pytest.raises(XenonError, match="p: no speed in this page"):
        measured_console(parse_page("p", page_of("self-test 1", "timebase 0", "read 01 0").encode()))


def facts_of(*lines: str) -> dict[str, object]:
    return page_facts(parse_page("p", page_of("self-test 1", *lines).encode()))


def test_codes_that_nobody_knows_and_what_failed_are_said() -> None:
    codes = facts_of(
        "vmaddfp 4013d70a 9f0d4595",
        "logits-scalar 1 failed",
        "logits-vmx 1 05403bc1 7",
        "logits-vmx 6 00000001 9",
        "dcbz exception 600 128",
        "reservation exception 300",
        "divide 0 0 0 0 0 0",
        "cached 0",
    )["codes"]
    assert codes == {
        "vmaddfp": "rounded twice, which the emulated console does not; "
        "rounded once, as in the emulated console",
        "logits-scalar": "failed",
        "logits-vmx": "as in the emulated console; 00000001, unlike all that is known here",
        "divide": "0",
        "dcbz": "dcbz exception 600, dcbzl 128 bytes",
        "reservation": "exception 300",
        "RAM in real mode": "not cached, or as slow as if it were not",
    }


@pytest.mark.parametrize(
    "line", ["dcbz 32", "dcbz", "vmaddfp 4013d70b", "vrefp xyz", "read 3f", "logits-vmx 1"]
)
def test_lines_that_cannot_be_are_named(line: str) -> None:
    with pytest.raises(XenonError, match=r"^p: line 2: .*expected"):
        facts_of(line)


def test_inspect_says_what_a_page_means(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(f"\nxenon-llm: started by XeLL\n{PAGE}the end\n")
    done = run_command_text("inspect", tmp_path / "log.txt", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert facts["processor"] == "PVR 00710500: Falcon or Jasper"
    assert (facts["lines"], facts["hardware_threads"]) == (13, 6)
    assert facts["codes"]["logits-vmx"] == "as in the emulated console"
    assert facts["speeds"]["threads 0 2 4 read"] == "9,600 MB/s"
    assert facts["speeds"]["a load in 16 KiB, 256 KiB, 64 MiB"] == "1.56 ns, 12.4 ns, 160 ns"
    (tmp_path / "log.txt").write_text(PAGE[:40])
    done = run_command_text("inspect", tmp_path / "log.txt")
    assert done.returncode == 1 and done.stderr.startswith(f"error: {tmp_path / 'log.txt'}: line ")


def test_the_command_takes_a_page_or_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "page.txt"
    path.write_text(PAGE)
    words = ("estimate", "--shape", "stories15M", "--machine", path)
    done = run_command_text(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"160 ns  measured: {path}, line 7" in done.stdout
    facts = json.loads(run_command_text(*words, "--json").stdout)
    assert {row["name"]: row["value"] for row in facts["assumptions"]}["front-side bus, reading"] == 9600e6
    path.write_text(PAGE.replace("9600", "9800"))
    done = run_command_text(*words)
    assert (done.returncode, done.stdout) == (1, "")
    first, hint = done.stderr.splitlines()
    assert first.startswith(f"error: {path}: line 11: found 'read 15 9800 ")
    assert first.endswith(" at its end") and hint.startswith("hint: compare the line with the screen")
    done = run_command_text("estimate", "--machine", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {tmp_path}: is a directory\n")
