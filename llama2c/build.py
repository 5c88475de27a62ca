"""Compiles the port with ziglang from PyPI: the big-endian guest, and the same sources as a host library.

`python -m llama2c.build` writes the guest where an installation looks for it; so does the package's build.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "src"
GUEST = Path(__file__).resolve().parent / "guest" / "llama2.elf"

PORT = tuple(
    "allocations checkpoint figures forward forward_cpu forward_gpu gpu maths matmul memory parallel"
    " sampler sort text tokenizer transformer".split()
)

# One meaning of every floating-point operation on both sides: no contraction, no reassociation, no library
# calls. -fno-math-errno stands behind -fno-fast-math, which would take it back; without it a square root is
# a call.
COMMON = (
    "-std=c11 -O3 -g0 -ffreestanding -fno-fast-math -ffp-contract=off -fno-math-errno -fno-stack-protector"
    " -fno-sanitize=all -fno-unwind-tables -fno-asynchronous-unwind-tables -nostdlib"
    " -I. -Wall -Wextra -Werror -Wl,--build-id=none"
).split()
# PowerPC 970 with AltiVec is the nearest that compilers know to Xenon; a test scans the guest for what Xenon
# lacks. Only what says `inline` is: a profile names the functions that the source has, and the recompiler
# compiles them one by one.
XENON = (
    "-target powerpc64-freestanding-none -mcpu=970 -maltivec -mno-vsx -static -fno-pic"
    " -finline-hint-functions -Wl,-T,guest.ld"
).split()
HOST = "-shared -fPIC -fvisibility=hidden".split()


class BuildError(RuntimeError):
    """The compiler is missing, or it refused; the message says which and what it printed."""


def _zig(arguments: Sequence[str], target: Path) -> Path:
    """Runs `zig cc` in the folder of the sources and puts its output in place when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as work:
        output = Path(work) / target.name
        # A cache of its own: no trace of another build in ours, and none of ours left behind.
        environment = os.environ | {
            "ZIG_GLOBAL_CACHE_DIR": f"{work}/cache",
            "ZIG_LOCAL_CACHE_DIR": f"{work}/cache",
        }
        command = [sys.executable, "-m", "ziglang", "cc", *arguments, "-o", str(output)]
        result = subprocess.run(
            command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False
        )
        if "No module named ziglang" in result.stderr:
            raise BuildError("the C compiler is missing: pip install ziglang")
        if result.returncode != 0:
            raise BuildError(f"{' '.join(command)}\n{result.stderr}")
        output.replace(target)
    return target


def build_guest(target: Path = GUEST, main: Path = SOURCES / "main.c") -> Path:
    """Compiles the guest, a static ELF64 (ABI v2) for big-endian PowerPC, to `target`.

    `main` is the file with its main function: another one makes another program of the port's parts. Two
    builds give the same bytes. Raises BuildError.
    """
    sources = [str(main), *(f"{name}.c" for name in PORT), "platform_linux.c", "start.S"]
    return _zig([*COMMON, *XENON, *sources], target)


def build_reference(target: Path) -> Path:
    """Compiles the same sources for this machine as a shared library, to `target`; see reference.c.

    Raises BuildError.
    """
    sources = [f"{name}.c" for name in (*PORT, "main", "platform_host", "reference")]
    return _zig([*COMMON, *HOST, *sources], target)


def reference_name() -> str:
    """The file name that a shared library of this machine has."""
    return f"libllama2{sysconfig.get_config_var('SHLIB_SUFFIX') or '.so'}"


if __name__ == "__main__":
    print(build_guest())
