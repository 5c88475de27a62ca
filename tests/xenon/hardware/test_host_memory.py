"""Where the host has no address space left, a machine is refused by an error, and the process goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from systems import LIMITS

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
