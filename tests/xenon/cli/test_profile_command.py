"""`xenon-llm profile` and `xenon-llm scan --recompiler` as a user has them, wrong input included."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import COMMAND
from command_line import run_command_text as run
from support import Made
from systems import RIGHTS, SIGNALS

from xenon.cli.app import app

STORY = ["--cpu", "unicorn", "--threads", "1", "-n", "12"]


@pytest.fixture(scope="module")
def program(build: Callable[..., Path]) -> Path:
    return build("hot", "musl", "-O2")


def test_output_goes_to_stdout_and_the_report_to_stderr(program: Path) -> None:
    done = run("profile", "--cpu", "unicorn", "--top", "3", program, "pointer", "3000")
    plain = run("run", program, "pointer", "3000")
    assert done.returncode == 0
    assert done.stdout == plain.stdout != ""
    for words in ("counted exactly", "  dot", "instructions by class", "lfs f", "more (--top)"):
        assert words in done.stderr


def test_json_is_the_only_thing_on_stdout(program: Path) -> None:
    done = run("profile", "--cpu", "unicorn", "--json", program, "pointer", "20")
    facts = json.loads(done.stdout)
    assert list(facts) == [
        "program", "cpu", "seconds", "samples", "sample_period", "samples_by_tier", "instructions",
        "instructions_compiled", "threads", "functions", "classes", "mnemonics", "blocks", "exits", "stacks",
    ]  # fmt: skip
    assert facts["program"] == str(program)
    assert sum(row["instructions"] for row in facts["functions"]) == facts["instructions"]
    assert {row["name"]: row["calls"] for row in facts["functions"]}["dot"] == 20
    assert done.stderr == run("run", program, "pointer", "20").stdout


def test_every_json_key_is_documented(program: Path) -> None:
    facts = json.loads(run("profile", "--cpu", "unicorn", "--json", program, "pointer", "900").stdout)
    page = (Path(__file__).parents[3] / "docs" / "profile.md").read_text("utf-8")

    def keys(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(keys, value))
        if isinstance(value, dict):
            return {*value} | set().union(*map(keys, value.values()))
        return set()

    facts["classes"] = {}
    assert {key for key in keys(facts) if f"`{key}`" not in page} == set()


def test_report_and_drawing_are_written_to_files(program: Path, tmp_path: Path) -> None:
    report, drawing = tmp_path / "report.txt", tmp_path / "flame.svg"
    words: list[str | Path] = ["-o", report, "--flame", drawing, program, "pointer", "900"]
    done = run("profile", "--cpu", "unicorn", *words)
    assert done.stderr == ""
    assert report.read_text().startswith(f"profile of {program}")
    assert ElementTree.parse(drawing).getroot().tag.endswith("svg")
    assert sorted(tmp_path.iterdir()) == [drawing, report]


def test_a_story_is_profiled_and_told_as_generate_tells_it() -> None:
    done = run("profile", *STORY, "-i", "Sleepy Joe")
    told = run("generate", *STORY, "-t", "0", "-s", "1", "--quiet", "Sleepy Joe")
    assert done.returncode == 0, done.stderr
    assert done.stdout == told.stdout
    assert "rows_vmx" in done.stderr
    assert run("profile", *STORY, "-i", "-", stdin=b"Sleepy Joe\n").stdout == told.stdout


def test_a_model_of_ones_own_is_told_from_a_program(make_model: Callable[..., Made]) -> None:
    made = make_model()
    done = run("profile", *STORY, "--matmul", "scalar", "-z", made.tokenizer, made.model)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"profile of {made.model}: ")
    assert "rows_scalar" in done.stderr


@pytest.mark.usefixtures("hot_functions_alone")
def test_warm_code_is_compiled_from_the_first_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    """In this process: to compile as a command does takes a quarter of a minute."""
    words = ["profile", "--warm", "--threads", "1", "-n", "12", "--json"]
    with pytest.raises(SystemExit) as ended:
        app(words)
    assert ended.value.code == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["instructions_compiled"] > 0.98 * facts["instructions"]
    assert {row["name"]: row["tier"] for row in facts["functions"]}["rows_vmx"] == "compiled"


def test_a_fault_and_a_limit_come_after_the_report(program: Path, tmp_path: Path) -> None:
    fault = run("profile", "--cpu", "unicorn", program, "fault")
    assert fault.returncode == 3
    assert 0 <= fault.stderr.index("counted exactly") < fault.stderr.index("error: ")
    late = run("profile", "--cpu", "unicorn", "--timeout", "0.5", "-o", tmp_path / "r", program, "forever")
    assert late.returncode == 124
    assert late.stderr.startswith("error: ")
    assert "  main" in (tmp_path / "r").read_text()


def test_the_exit_status_is_the_program_s(small_elf: bytes, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(small_elf)
    assert run("profile", tmp_path / "small").returncode == 7


@SIGNALS
def test_ctrl_c_prints_what_there_is(misdeeds: Path) -> None:
    words = [*COMMAND, "profile", "--cpu", "unicorn", str(misdeeds), "spin"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "spinning\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "counted exactly" in told
    assert "  run" in told
    assert told.endswith("error: interrupted\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["missing"], 1, "missing: no such file or directory"),
        (["."], 1, ".: is a directory"),
        (["empty"], 1, "empty: empty file"),
        (["text"], 1, "text: is a text file, not a llama2.c checkpoint"),
        (["x86"], 1, "x86: byte 18: is a program for x86-64, expected 64-bit big-endian PowerPC"),
        (["cut"], 1, "cut: truncated"),
        (["--top", "0"], 2, "Invalid value for '--top'"),
        (["--blocks", "-1"], 2, "Invalid value for '--blocks'"),
        (
            ["--cpu", "dolphin"],
            2,
            "Invalid value for '--cpu': 'dolphin' is not one of 'unicorn', ",
        ),
        (["--threads", "7", "small"], 2, "7 hardware threads"),
        (["--memory", "much", "small"], 2, "--memory 'much': not a size"),
        (["--matmul", "fast"], 2, "Invalid value for '--matmul': 'fast' is not one of 'scalar', 'vmx'."),
        (["-n", "100000"], 1, "100000 steps"),
        (["-t", "0.5", "small"], 2, "--temperature: small is a program"),
        (["--warm", "small"], 2, "--warm: small is a program"),
        (["--env", "A=1"], 2, "--env: for a program"),
        (["--env", "A", "small"], 2, "--env 'A': expected NAME=VALUE"),
        (["--file", "missing", "small"], 1, "missing: no such file or directory"),
        (["--flame", "no/such/place.svg", "small"], 1, "no/such/place.svg: no such file or directory"),
        (["--flame", ".", "small"], 1, ".: is a directory"),
        (["-o", "small", "small"], 1, "small: is an input of this command"),
        (["-o", "a", "--flame", "./a", "small"], 2, "--output and --flame are the same file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line(
    words: list[str], code: int, message: str, small_elf: bytes, tmp_path: Path
) -> None:
    files = {
        "small": small_elf,
        "cut": small_elf[:100],
        "x86": small_elf[:18] + b"\0\x3e" + small_elf[20:],
        "text": b"hello\n",
        "empty": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    if "x86" in words:
        (tmp_path / "x86").write_bytes(small_elf[:5] + b"\1" + small_elf[6:18] + b"\x3e\0" + small_elf[20:])
    done = run("profile", *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(f"error: {message}")
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) <= 2
    assert {path.name for path in tmp_path.iterdir()} == files.keys()


@RIGHTS
def test_a_file_that_cannot_be_written_is_found_before_the_run(program: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    done = run("profile", "--flame", tmp_path / "a.svg", program, "forever")
    assert (done.returncode, done.stdout) == (1, "")


def test_scan_says_what_keeps_functions_from_being_compiled(program: Path) -> None:
    done = run("scan", "--recompiler", program)
    assert done.returncode == 0
    assert re.search(r"isel at 0x[0-9a-f]+ is not Xenon.s", done.stdout)
    assert "isel: in " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("the recompiler takes ")
    facts = json.loads(run("scan", "--recompiler", "--json", program).stdout)
    assert list(facts) == ["program", "total", "compiled", "missing", "functions"]
    assert facts["total"]["functions"] == len(facts["functions"])
    assert facts["compiled"]["functions"] == sum(row["compiles"] for row in facts["functions"])
    assert facts["total"]["bytes"] == 4 * facts["total"]["instructions"]
    for row in facts["functions"]:
        assert row["compiles"] is (row["obstacles"] == [])


def test_scan_for_the_recompiler_needs_no_llvmlite(program: Path) -> None:
    script = "import sys; sys.modules['llvmlite'] = None; from xenon.cli.app import main; main()"
    words = [sys.executable, "-c", script, "scan", "--recompiler", str(program)]
    assert subprocess.run(words, capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("name", ["missing", ".", "text"])
def test_scan_for_the_recompiler_refuses_what_is_no_program(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    done = run("scan", "--recompiler", name, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {name}: ")
