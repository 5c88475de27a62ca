"""Where the host has no address space left, a machine is refused by an error, and the process goes on."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys

import pytest
from systems import LIMITS

from xenon.hardware.host_memory import show_repeated
from xenon.host.memory import anonymous

SCRIPT = """
import resource, sys
from xenon.console import Console, MachineSettings
from xenon.errors import XenonError
from xenon.recompiler.cpu_kind import CpuKind
limit = int(sys.argv[1]) << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    Console(MachineSettings(cpu=CpuKind(sys.argv[2]), threads=int(sys.argv[3])))
except XenonError as error:
    print(error.code, error.message)
"""


@LIMITS
@pytest.mark.parametrize("cpu", ["unicorn", "recompiler"])
@pytest.mark.parametrize(
    ("mib", "threads", "what"),
    [
        (400, 1, "the console's RAM needs 512 MiB"),
        (1600, 1, "a hardware thread needs"),
        (3600, 4, "a hardware thread needs"),
    ],
)
def test_a_limit_on_address_space_is_an_error(cpu: str, mib: int, threads: int, what: str) -> None:
    command = [sys.executable, "-B", "-c", SCRIPT, str(mib), cpu, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"no-address-space {what}"), done


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone repeats pages")
def test_nothing_beside_the_range_is_touched_where_the_pages_of_the_host_are_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = anonymous(8 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_uint8.from_buffer(memory))
    size = 4 * mmap.PAGESIZE
    assert show_repeated(address, size, b"ab")
    assert memory[:size] == b"ab" * (size // 2)
    monkeypatch.setattr(mmap, "PAGESIZE", 2 * size)
    assert not show_repeated(address, size, b"cd")
    assert memory[:] == b"ab" * (size // 2) + bytes(size)
