"""`xenon-llm run` as a user has it: a process with standard streams, signals and an exit status."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMAND, run_command
from support import sample
from systems import SHELL, SIGNALS, TERMINALS, need

from xenon.cli.output import parse_size
from xenon.cli.run import split_grant
from xenon.errors import XenonError

RUN = [*COMMAND, "run"]
JOBS = [
    "numbers",
    "sorting",
    "memory",
    "input",
    "times",
    "environment",
    "file",
    "data.bin",
    "file",
    "/etc/hostname-",
]
JOBS += ["error", "-x", "--help", "status", "5"]
INPUT = b"1\n2\n39\nno newline"


def _run(
    *words: str | Path, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return run_command("run", *words, stdin=stdin, cwd=cwd)


@pytest.mark.parametrize("how", sample(["musl", "glibc"], 1))
def test_ordinary_programs_do_as_under_qemu(build: Any, how: str, tmp_path: Path) -> None:
    if shutil.which("qemu-ppc64") is None:
        pytest.skip("no qemu-ppc64: Debian has it in qemu-user")
    program = build("hosted", how)
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 300 + b"end")
    ours = _run("--env", "GREETING=hi", "--file", "data.bin", program, *JOBS, stdin=INPUT, cwd=tmp_path)
    theirs = subprocess.run(
        ["qemu-ppc64", str(program), *JOBS],
        input=INPUT, capture_output=True, cwd=tmp_path, env={"GREETING": "hi"}, timeout=30,
    )  # fmt: skip
    assert ours.stdout == theirs.stdout
    assert ours.stderr == theirs.stderr == b"to stderr\n"
    assert ours.returncode == theirs.returncode == 5


@pytest.mark.parametrize("base", sample(["0x10000", "0x10000000"], 1))
def test_programs_run_wherever_they_are_linked(build: Any, base: str) -> None:
    program = build("hosted", "musl", f"-Wl,--image-base={base}")
    done = _run(program, "numbers", "sorting", "memory", "status", "3")
    assert b"7158955653310181488" in done.stdout
    assert (done.stderr, done.returncode) == (b"", 3)


def test_a_position_independent_program_runs(build: Any) -> None:
    program = build("misdeeds", "freestanding", "-fPIE", "-pie")
    assert program.read_bytes()[16:18] == b"\0\3"  # ET_DYN
    done = _run(program, "nothing")
    assert (done.stdout, done.stderr, done.returncode) == (b"survived\n", b"", 0)


@SIGNALS
@pytest.mark.parametrize("misdeed", ["spin", "calls", "sleep", "read", "flood"])
def test_ctrl_c_ends_what_would_never_end(misdeeds: Path, misdeed: str) -> None:
    process = subprocess.Popen(
        [*RUN, str(misdeeds), misdeed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in errors


def test_an_option_behind_the_name_of_a_program_that_fails_is_explained(build: Any) -> None:
    program = build("hosted", "musl")
    note = b"note: --file went to the program; an option of xenon-llm run goes before the program's name\n"
    cases = (
        (("status", "5", "--file", "x"), note),
        (("status", "5", "--file=x"), note),
        (("status", "0", "--file", "x"), b""),  # it may well have such an option
        (("status", "5", "--help"), b""),
    )
    for words, expected in sample(cases, 2):
        ended = _run(program, *words)
        assert (ended.returncode, ended.stderr) == (int(words[1]), expected)


def test_a_time_limit_ends_with_124_and_names_the_limit(misdeeds: Path) -> None:
    done = _run("--timeout", "0.2", misdeeds, "spin")
    assert (done.returncode, done.stdout) == (124, b"spinning\n")
    assert b"time limit of 0.2 s" in done.stderr


def test_an_instruction_limit_ends_with_124(misdeeds: Path) -> None:
    done = _run("--instructions", "100000", misdeeds, "spin")
    assert done.returncode == 124
    assert b"instruction limit" in done.stderr


def test_a_fault_prints_a_report_then_one_line_and_ends_with_3(misdeeds: Path) -> None:
    done = _run(misdeeds, "null")
    assert done.returncode == 3
    lines = done.stderr.decode().splitlines()
    assert any(line.startswith("  -> ") for line in lines)
    assert lines[-1].startswith("error: ")
    assert "read of 4 bytes at 0x10: null pointer (PC 0x" in lines[-1]


@SHELL
def test_a_reader_that_leaves_ends_it_quietly(misdeeds: Path) -> None:
    command = " ".join([*(f"'{word}'" for word in RUN), str(misdeeds), "flood", "| head -1"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=20)
    assert done.stdout.startswith(b"and on")
    assert done.stderr == b""


@SHELL
def test_a_program_may_run_with_no_standard_input(build: Any) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            " ".join([*(f"'{word}'" for word in RUN), str(build("hosted", "musl")), "input", "<&-"]),
        ],
        capture_output=True,
        timeout=20,
    )
    assert (done.stdout, done.stderr) == (b"0 lines, sum 0\n", b"")


def test_a_terminal_is_seen_as_one(build: Any) -> None:
    need(TERMINALS)
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [*RUN, str(build("hosted", "musl")), "terminal"], stdin=theirs, stdout=theirs, stderr=-1
    )
    done.communicate(timeout=20)
    assert os.read(ours, 100) == b"1 1 0\r\n"
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["missing"], 1, "missing: no such file or directory"),
        (["."], 1, ".: is a directory"),
        (["text"], 1, "text: byte 0: found bytes 6e 6f 74 20, expected an ELF program"),
        (["--file", "missing", "text"], 1, "missing: no such file or directory"),
        (["--file", ".", "text"], 1, ".: is a directory"),
        (["--file", "text=", "text"], 2, "expected HOST or HOST=GUEST"),
        (["--file", "text", "--file", "./text", "text"], 1, "/text: granted twice"),
        (["--env", "NAME", "text"], 2, "expected NAME=VALUE"),
        (["--memory", "lots", "text"], 2, "--memory 'lots': not a size"),
        (["--memory", "1G", "text"], 1, "memory of 1024 MiB, expected"),
        (["--memory", "1M", "text"], 1, "memory of 1 MiB, expected"),
        (["--timeout", "-1", "text"], 2, "--timeout"),
        (["--instructions", "0", "text"], 2, "--instructions"),
        (["--no-such-option", "text"], 2, "No such option"),
        ([], 2, "Missing argument"),
    ],
)
def test_bad_input_is_one_line_and_a_code(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    (tmp_path / "text").write_text("not a program\n")
    done = _run(*words, cwd=tmp_path)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == code
    assert message in lines[0]
    assert lines[0].startswith("error: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
    assert done.stdout == b""


def test_help_shows_how_to_build_a_program() -> None:
    done = _run("--help")
    assert done.returncode == 0
    assert b"powerpc64-linux-musl" in done.stdout


def test_sizes_and_grants_are_read() -> None:
    assert [parse_size("--memory", text) for text in ("256M", "1.5 MiB", "64k", "65536", "512MB")] == [
        256 << 20, 3 << 19, 64 << 10, 65536, 512 << 20,
    ]  # fmt: skip
    assert split_grant("a/b.bin") == ("a/b.bin", "a/b.bin")
    assert split_grant("a=b.bin=/c") == ("a=b.bin", "/c")
    for bad in ("", "-1M", "M", "1T", "1e9", "0x10"):
        with pytest.raises(XenonError):
            parse_size("--memory", bad)
