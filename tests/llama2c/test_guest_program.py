"""The guest as a file and as a program: reproducible, plain ppc64, within Xenon's instructions."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from sharing import building_from_nothing
from support import WHOLE, Made, image_bytes

import loader
from llama2c.build import build_guest
from xenon.console import Bytes, Console
from xenon.profile.scan import scan_program


def test_two_builds_give_the_same_bytes(tmp_path: Path, guest: Path) -> None:
    """The installed guest is the other one. In the short form zig may have compiled this one's files in an
    earlier run, in any case at another time and place than those of the installed one."""
    with building_from_nothing() if WHOLE else nullcontext():
        again = build_guest(tmp_path / "another place" / "guest").read_bytes()
    assert again == guest.read_bytes(), "the installed guest is not of these sources: pip install -e . again"


def test_the_guest_is_a_static_big_endian_program_linked_low(guest: Path) -> None:
    with guest.open("rb") as file:
        elf = ELFFile(file)
        assert (elf.elfclass, elf.little_endian, elf["e_machine"], elf["e_type"]) == (
            *(64, False, "EM_PPC64"),
            "ET_EXEC",
        )
        assert elf["e_flags"] & 3 == 2  # ABI v2
        assert {segment["p_type"] for segment in elf.iter_segments()} == {"PT_LOAD", "PT_GNU_STACK"}
        assert min(segment["p_vaddr"] for segment in elf.iter_segments("PT_LOAD")) == 0x10000
        flags = {segment["p_flags"] for segment in elf.iter_segments("PT_LOAD")}
        assert flags == {5, 6}  # nothing is both writable and executable


def test_the_guest_has_no_instruction_that_xenon_lacks(guest: Path) -> None:
    assert scan_program(guest.read_bytes()) == []


def test_the_vector_kernel_uses_the_vector_unit(guest: Path) -> None:
    """vmaddfp is primary opcode 4 with 46 in its last six bits; the kernel keeps four sums."""
    code = guest.read_bytes()
    words = (int.from_bytes(code[i : i + 4]) for i in range(0, len(code) - 3, 4))
    assert sum(word >> 26 == 4 and word & 0x3F == 46 for word in words) >= 4


def run(files: dict[str, bytes], *arguments: str) -> tuple[int | None, str]:
    """The guest's exit status and its messages, in the console."""
    import llama2c

    console = Console()
    for path, data in files.items():
        console.disc.add(path, Bytes(data))
    console.boot(llama2c.guest_program(), arguments)
    messages = b"".join(output.data for output in console.run(timeout=60) if output.fd == 2)
    return console.exit_status, messages.decode()


@pytest.mark.parametrize(
    "arguments",
    [(), ("m", "-t"), ("m", "-t", "-1"), ("m", "-p", "2"), ("m", "-s", "0"), ("m", "-n", "x"), ("m", "-q")],
    ids=" ".join,
)
def test_a_wrong_command_line_prints_the_usage(arguments: tuple[str, ...]) -> None:
    status, messages = run({}, *arguments)
    assert status == 2
    assert "usage: llama2 CHECKPOINT" in messages


@pytest.fixture(scope="module")
def files(make_model: Callable[..., Made]) -> dict[str, bytes]:
    made = make_model()
    opened: dict[str, loader.Model | loader.Tokenizer]
    opened = {"m": loader.open(made.model), "t": loader.open_tokenizer(made.tokenizer)}
    return {name: image_bytes(file, loader.ByteOrder.BIG) for name, file in opened.items()} | {
        "little": made.model.read_bytes(),
        "little-t": made.tokenizer.read_bytes(),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "error: nothing: cannot be opened"),
        (("t", "-z", "t"), "error: t: "),
        (("little", "-z", "t"), "error: little: dim "),
        (("m", "-z", "nothing"), "error: nothing: cannot be opened"),
        (("m", "-z", "little-t"), "error: little-t: byte 8: a piece's length"),
        (("m", "-z", "t", "-n", "33"), "error: 33 steps, the model's context holds 32"),
        (("m", "-z", "t", "-i", "x" * 40), "error: the prompt is 42 tokens, the model's context holds 32"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_file_or_prompt_is_named(
    files: dict[str, bytes], arguments: tuple[str, ...], message: str
) -> None:
    status, messages = run(files, *arguments)
    assert status == 1
    assert messages.startswith(message)


@pytest.mark.parametrize("length", [0, 3, 27, 28, 300])
def test_a_model_cut_short_is_refused_by_the_guest_itself(files: dict[str, bytes], length: int) -> None:
    status, messages = run(files | {"m": files["m"][:length]}, "m", "-z", "t")
    assert status == 1
    assert messages.startswith("error: m: ")


def test_the_same_program_tells_the_same_story_under_qemu(
    files: dict[str, bytes], tmp_path: Path, guest: Path
) -> None:
    """A second implementation of the machine, and Linux itself behind the system calls."""
    qemu = shutil.which("qemu-ppc64")
    if qemu is None:
        pytest.skip("qemu-ppc64 is not installed (Debian: qemu-user)")
    for name in ("m", "t"):
        (tmp_path / name).write_bytes(files[name])
    arguments = ["m", "-z", "t", "-i", "a bee", "-s", "7", "-n", "32", "-e"]
    for kernel in ("scalar", "vmx"):
        for logits in ([], ["-l"]):
            words = [*arguments, "-k", kernel, *logits]
            result = subprocess.run([qemu, os.fspath(guest), *words], cwd=tmp_path, capture_output=True)
            console = Console()
            for name in ("m", "t"):
                console.disc.add(name, Bytes(files[name]))
            console.boot(guest, words)
            written = b"".join(output.data for output in console.run(timeout=60) if output.fd == 1)
            assert result.returncode == console.exit_status == 0
            assert written == result.stdout
            assert len(written) > 10
