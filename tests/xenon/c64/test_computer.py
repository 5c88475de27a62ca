"""The Commodore 64 in the console: programs of our own, faults, and what the command line makes of them."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from assembler import basic_program
from c64_parts import run_on_host
from c64_programs import matrix_program
from c64_story import story_program
from command_line import run_command_text

from xenon.c64.computer import C64, cartridge
from xenon.c64.network import matmul
from xenon.c64.oscar64 import bits_of
from xenon.c64.records import Memory, Stop
from xenon.console import CpuKind, LimitReached, MachineSettings
from xenon.errors import ErrorCode, XenonError

KIB = 1 << 10
ROWS, COLUMNS = 12, 16


@pytest.fixture
def matrix(tmp_path: Path) -> tuple[Path, Path, bytes]:
    """The program file, the expansion's contents, and the bytes of the sums that are to come."""
    rng = np.random.default_rng(64)
    weights, x = bits_of(rng.normal(0, 1, (ROWS, COLUMNS))), bits_of(rng.normal(0, 1, COLUMNS))
    program, reu = tmp_path / "matrix.prg", tmp_path / "rows.reu"
    program.write_bytes(matrix_program(ROWS, COLUMNS))
    reu.write_bytes(np.concatenate([x, weights.reshape(-1)]).astype("<u4").tobytes())
    return program, reu, matmul(weights, x[None])[0].astype("<u4").tobytes()


@pytest.mark.parametrize("cpu", CpuKind)
def test_a_program_ends_with_the_same_memory_as_on_the_host(
    cpu: CpuKind, matrix: tuple[Path, Path, bytes], c64_folder: Path
) -> None:
    program, reu, sums = matrix
    machine = C64(program, cartridge(reu, None), dump=True, settings=MachineSettings(cpu=cpu))
    memories = {record.name: record.data for record in machine.run() if isinstance(record, Memory)}
    host = run_on_host(c64_folder, program.read_bytes(), reu.read_bytes().ljust(128 * KIB, b"\0"))
    assert memories == {"ram": host.ram, "reu": host.reu}
    size = reu.stat().st_size
    assert memories["reu"][size : size + len(sums)] == sums
    assert machine.ending is not None and machine.ending.stop is Stop.ENDED
    assert (machine.ending.cycles, machine.ending.instructions) == (host.cycles, host.instructions)


def test_a_fault_names_the_address_and_the_entry(tmp_path: Path) -> None:
    program = tmp_path / "loads.prg"
    program.write_bytes(basic_program("JSR $FFD5"))
    done = run_command_text("c64", program)
    assert done.returncode == 3
    assert done.stderr == "error: loads.prg: $FFD5 (LOAD): an entry of a ROM that is not served\n"
    program.write_bytes(basic_program("NOP : .BYTE $A7"))
    done = run_command_text("c64", program)
    assert done.returncode == 3
    assert done.stderr.startswith("error: loads.prg: $080E: opcode $A7 is none of the 6510's documented")


def test_a_program_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    program = tmp_path / "loop.prg"
    program.write_bytes(basic_program("loop: JMP loop"))
    machine = C64(program)
    with pytest.raises(LimitReached):
        list(machine.run(timeout=0.3))
    picture = tmp_path / "loop.txt"
    done = run_command_text("c64", program, "--timeout", "0.3", "--screen", picture)
    assert done.returncode == 124 and picture.read_text() == "\n" * 25


def test_a_story_is_typed_and_told(tmp_path: Path) -> None:
    program = tmp_path / "story.prg"
    program.write_bytes(story_program())
    screen = tmp_path / "screen.txt"
    done = run_command_text("c64", program, "Zoo 7", "--screen", screen, "--cycles")
    assert (done.returncode, done.stdout) == (0, "Zoo 7!\n")
    lines = screen.read_text().splitlines()
    assert (lines[2], lines[10]) == ("Zoo 7", "Zoo 7!")
    assert "a PAL machine, at 985,248 Hz, takes 0:00:0" in done.stderr
    told = json.loads(run_command_text("c64", program, "Zoo", "-t", "0.1", "--json").stdout)
    assert told["story"] == "Zoo!" and told["end"] == "ended" and len(told["screen"]) == 25
    assert told["pal_seconds"] == round(told["cycles"] / 985_248, 3)


def test_the_screen_is_printed_and_saved(tmp_path: Path, matrix: tuple[Path, Path, bytes]) -> None:
    program, reu, _ = matrix
    picture = tmp_path / "screen.png"
    done = run_command_text("c64", program, "--reu", reu, "--screen", picture)
    assert (done.returncode, done.stdout) == (0, "OK" + "\n" * 25)
    data = picture.read_bytes()
    assert struct.unpack(">II", data[16:24]) == (384, 464)
    start = data.index(b"IDAT") + 4
    size = int.from_bytes(data[start - 8 : start - 4], "big")
    pixels = np.frombuffer(zlib.decompress(data[start : start + size]), np.uint8).reshape(464, 1 + 3 * 384)
    colours = {tuple(pixel) for pixel in pixels[:, 1:].reshape(-1, 3).tolist()}
    assert len(colours) == 2  # border and text are light blue, the background is blue


def test_a_dump_holds_memory_and_what_was_run(tmp_path: Path, matrix: tuple[Path, Path, bytes]) -> None:
    program, reu, sums = matrix
    folder = tmp_path / "dump"
    done = run_command_text("c64", program, "--reu", reu, "--reu-size", "256K", "--dump", folder)
    assert done.returncode == 0
    held = (folder / "weights.reu").read_bytes()
    assert len(held) == 256 * KIB and sums in held
    assert (folder / "ram.bin").stat().st_size == 65536
    assert json.loads((folder / "run.json").read_text())["prompt"] is None


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["-t", "0.5"], "error: --temperature, --top-p and --steps are typed before a PROMPT"),
        (["Zoo", "-t", "0.55"], "error: temperature 0.55, expected a multiple of 0.1 from 0 to 1"),
        (["--reu-size", "100K"], "error: a RAM expansion of 102400 bytes, expected a power of two"),
    ],
)
def test_a_wrong_command_line_is_one_line(tmp_path: Path, words: list[str], what: str) -> None:
    program = tmp_path / "story.prg"
    program.write_bytes(story_program())
    done = run_command_text("c64", program, *words)
    assert done.returncode == 2 and done.stderr.startswith(what)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    missing, empty, huge = tmp_path / "none.prg", tmp_path / "empty.prg", tmp_path / "huge.prg"
    empty.write_bytes(b"\x01")
    huge.write_bytes(bytes(70000))
    for path, what in (
        (missing, f"{missing}: no such file or directory"),
        (empty, f"{empty}: byte 0: does not fit into memory at its address"),
        (huge, f"{huge}: 70000 bytes, expected at most 65538"),
    ):
        done = run_command_text("c64", path)
        assert (done.returncode, done.stderr.splitlines()[0]) == (1, f"error: {what}")
    large = tmp_path / "large.reu"
    large.write_bytes(bytes(200 * KIB))
    with pytest.raises(XenonError, match="expected at most the 131072") as caught:
        cartridge(large, 128 * KIB)
    assert caught.value.code is ErrorCode.BAD_INPUT
