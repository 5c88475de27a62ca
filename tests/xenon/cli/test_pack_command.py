"""`xenon-llm pack`: the folder for a stick, what it refuses, and what inspect says of the files."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import run_command_text


def test_a_folder_is_made_and_inspect_says_what_is_in_it(tmp_path: Path) -> None:
    words = ["pack", "bundled", "Sleepy Joe said", "-t", "0", "-s", "5", "-n", "9"]
    done = run_command_text(*words, "-o", tmp_path / "usb")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in (tmp_path / "usb").iterdir()] == ["xenon.elf"]
    facts = json.loads(run_command_text("inspect", tmp_path / "usb" / "xenon.elf", "--json").stdout)
    assert facts["format"] == "program for XeLL"
    assert list(facts["files"]) == ["model.bin", "tokenizer.bin", "arguments"]
    assert facts["options"] == ["-t", "0.0", "-p", "0.9", "-s", "5", "-n", "9", "-i", "Sleepy Joe said"]
    run_command_text(*words, "-o", tmp_path / "again")
    files = [tmp_path / folder / "xenon.elf" for folder in ("usb", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_program_and_files_apart(tmp_path: Path) -> None:
    done = run_command_text("pack", "bundled", "--layout", "initrd", "-o", tmp_path)
    assert done.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"xenon.elf", "model.img", "kboot.conf"}
    assert "model.bin" in run_command_text("inspect", tmp_path / "model.img").stdout
    # A single xenon.elf beside that kboot.conf would not be started.
    refused = run_command_text("pack", "bundled", "-o", tmp_path, "--force")
    assert refused.returncode == 1
    assert "kboot.conf: XeLL would read it before xenon.elf" in refused.stderr


def test_a_self_test_takes_no_model_and_no_story(tmp_path: Path) -> None:
    done = run_command_text("pack", "--self-test", "--power-off", "--layout", "initrd", "-o", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(run_command_text("inspect", tmp_path / "model.img", "--json").stdout)
    assert facts["options"] == ["--self-test", "--power-off"]


def test_half_makes_a_smaller_file(tmp_path: Path) -> None:
    for folder, words in (("whole", []), ("half", ["--half"])):
        done = run_command_text("pack", "bundled", *words, "-o", tmp_path / folder)
        assert (done.returncode, done.stderr) == (0, "")
    sizes = [(tmp_path / folder / "xenon.elf").stat().st_size for folder in ("half", "whole")]
    assert 400_000 < sizes[1] - sizes[0] < 600_000
    again = run_command_text("pack", "bundled", "--half", "-o", tmp_path / "half")
    assert again.returncode == 1 and "exists already" in again.stderr


def test_a_dry_run_writes_nothing_and_shows_the_memory(tmp_path: Path) -> None:
    done = run_command_text("pack", "bundled", "--dry-run", "-o", tmp_path / "usb")
    assert "would write" in done.stdout and "1e000000 to 20000000" in done.stdout
    assert not (tmp_path / "usb").exists()
    facts = json.loads(run_command_text("pack", "bundled", "--dry-run", "--json").stdout)
    assert facts["layout"] == "one" and not facts["written"]
    assert facts["memory"][0]["start"] == 0x10000


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "xenon.elf").write_text("mine")
    done = run_command_text("pack", "bundled", "-o", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'xenon.elf'}: exists already\n")
    assert (tmp_path / "xenon.elf").read_text() == "mine"


def test_wrong_command_lines_end_in_a_line_and_a_hint(tmp_path: Path) -> None:
    for words, code in (
        (["bundled"], 2),
        (["bundled", "a", "-f", tmp_path, "-o", tmp_path], 2),
        (["bundled", "-n", "100000", "-o", tmp_path], 1),
        ([tmp_path / "missing.bin", "-o", tmp_path], 1),
        (["--half", "-o", tmp_path], 2),
        (["bundled", "--self-test", "-o", tmp_path], 2),
        (["--self-test", "-t", "0", "-o", tmp_path], 2),
        (["--self-test", "--half", "-o", tmp_path], 2),
        (["bundled", "-o", tmp_path / "no" / "folder"], 1),
    ):
        done = run_command_text("pack", *words)
        assert done.returncode == code, words
        assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_inspect_refuses_damaged_programs(tmp_path: Path) -> None:
    run_command_text("pack", "bundled", "-o", tmp_path)
    whole = (tmp_path / "xenon.elf").read_bytes()
    for damaged in (whole[:40], whole[:60], whole[:5000], whole[:0x1020] + b"\xff" * 16 + whole[0x1030:]):
        path = tmp_path / "damaged.elf"
        path.write_bytes(damaged)
        done = run_command_text("inspect", path)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
