"""Compiles the port with ziglang from PyPI: the big-endian guest, and the same sources as a host library.

`python -m llama2c.build` writes the guests to the place where an installation has them; with `--debug` it
writes the same code with what a debugger needs, as llama2.debug.elf and so on, beside them.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "src"
GUEST = Path(__file__).resolve().parent / "guest" / "llama2.elf"
XELL_GUEST = GUEST.with_name("xell.elf")
C64_SOURCES = SOURCES.with_name("c64")
C64_GUEST = GUEST.with_name("c64.elf")

PORT = (
    *"allocations checkpoint evaluate figures forward forward_cpu forward_dump forward_gpu gpu".split(),
    *"halves header int8_products kernels_scalar kernels_vmx maths matmul memory parallel".split(),
    *"sampler sort tensor_types text transformer".split(),
    *"byte_pairs byte_pairs_check char_classes merge pieces printer split tokenizer utf8".split(),
    *"answer conversation inference options records stops story".split(),
    "fp32",  # the tensor types, a line each
    "f16",
    "bf16",
    "q4_0",
    "q4_1",
    "q5_0",
    "q5_1",
    "q8_0",
    "int8",
)

# Every floating-point operation means the same on both sides: no contraction, no reassociation, no library
# calls. Without -fno-math-errno a square root is a call. The flag must follow -fno-fast-math, which resets
# it.
COMMON = (
    "-std=c11 -O3 -g0 -ffreestanding -fno-fast-math -ffp-contract=off -fno-math-errno -fno-stack-protector"
    " -fno-sanitize=all -fno-unwind-tables -fno-asynchronous-unwind-tables -nostdlib"
    " -I. -Wall -Wextra -Werror -Wl,--build-id=none"
).split()
# Compilers do not know Xenon; the PowerPC 970 with AltiVec is the nearest processor they know. A test scans
# the guest for instructions that Xenon lacks. Only functions marked `inline` are inlined, so that profiles
# name the functions of the source and the recompiler compiles each of them.
XENON = (
    "-target powerpc64-freestanding-none -mcpu=970 -maltivec -mno-vsx -static -fno-pic"
    " -finline-hint-functions"
).split()
# What differs between the guests.
LINUX = ("platform_linux.c", "start.S", "-Wl,-T,guest.ld")
XELL = (
    *"platform_xell.c xell_arguments.c xell_exceptions.c xell_files.c xell_font.c xell_heap.c".split(),
    *"xell_screen.c xell_smc.c xell_threads.c xell_tree.c xell_uart.c".split(),
    *"xell_codes.c xell_page.c xell_selftest.c xell_speeds.c".split(),
    *("xell_start.S", "-Wl,-T,xell.ld"),
)
# A Commodore 64 (docs/c64.md). Its processor is one function, which the recompiler takes whole: trees of
# comparisons in the place of jump tables.
C64 = ("bus", "kernal", "machine", "processor", "reu")
C64_CONSOLE = "-fno-jump-tables -DCONSOLE".split()
ON_WINDOWS = sys.platform == "win32"
# On Windows by the GNU compiler's conventions, which need no library of Microsoft's.
HOST = ["-shared", *("-target x86_64-windows-gnu" if ON_WINDOWS else "-fPIC -fvisibility=hidden").split()]
HOST_PARTS = [str(SOURCES / "platform_windows.c")] if ON_WINDOWS else []


class BuildError(RuntimeError):
    """The compiler is missing or reports errors; the message contains them."""


def zig_program() -> str:
    """The program that ziglang brings, started without a Python in between. Raises BuildError."""
    package = importlib.util.find_spec("ziglang")
    if package is None or package.origin is None:
        raise BuildError("the C compiler is missing: pip install ziglang")
    return str(Path(package.origin).resolve().with_name("zig.exe" if ON_WINDOWS else "zig"))


def zig_cache(work: str) -> str:
    """Where zig keeps what it compiles in a build in the folder `work`: every build starts with nothing."""
    return f"{work}/cache"


def _zig(arguments: Sequence[str], target: Path) -> Path:
    """Run `zig cc` in the folder of the sources; replace `target` only when the output is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as work:
        output = Path(work) / target.name
        caches = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), zig_cache(work))
        command = [zig_program(), "cc", *arguments, "-o", str(output)]
        result = subprocess.run(
            command, cwd=SOURCES, env=os.environ | caches, capture_output=True, check=False
        )
        if result.returncode != 0:
            raise BuildError(f"{' '.join(command)}\n{result.stderr.decode(errors='replace')}")
        output.replace(target)
    return target


def build_guest(target: Path = GUEST, main: Path = SOURCES / "main.c", debug: bool = False) -> Path:
    """Compiles the guest, a static ELF64 (ABI v2) for big-endian PowerPC, to `target`.

    `main` is the source file with the main function; another file makes another program of the port's parts.
    Two builds give the same bytes; `debug` adds what a debugger needs to the same code. Raises BuildError.
    """
    return _zig(guest_arguments(LINUX, main, debug), target)


def build_xell_guest(target: Path = XELL_GUEST, debug: bool = False) -> Path:
    """Compiles the same program for a console without an operating system, as XeLL starts it, to `target`.

    It is the ELF64 file that xenon.pack puts into a container. Raises BuildError.
    """
    return _zig(guest_arguments(XELL, debug=debug), target)


def build_c64_guest(
    target: Path = C64_GUEST, main: Path = C64_SOURCES / "main.c", debug: bool = False
) -> Path:
    """Compiles the Commodore 64, a program as the guest is, to `target`; with another `main`, its parts.

    Raises BuildError.
    """
    parts = [str(C64_SOURCES / f"{name}.c") for name in C64]
    arguments = [
        *_common(debug),
        *XENON,
        *C64_CONSOLE,
        f"-I{C64_SOURCES}",
        str(main),
        *parts,
        "memory.c",
        "text.c",
    ]
    return _zig([*arguments, *LINUX], target)


def build_c64_library(target: Path, main: Path) -> Path:
    """Compiles the Commodore 64's parts for this machine as a shared library, to `target`, with the functions
    of `main`. Raises BuildError."""
    parts = [str(C64_SOURCES / f"{name}.c") for name in C64]
    return _zig([*COMMON, *HOST, f"-I{C64_SOURCES}", str(main), *parts, "memory.c", *HOST_PARTS], target)


def guest_arguments(
    platform: Sequence[str], main: Path = SOURCES / "main.c", debug: bool = False
) -> list[str]:
    """The compiler's arguments for a guest: the port, the same for each, and one of the platforms."""
    return [*_common(debug), *XENON, str(main), *(f"{name}.c" for name in PORT), *platform]


def _common(debug: bool) -> list[str]:
    return ["-g" if debug and word == "-g0" else word for word in COMMON]


def build_reference(target: Path) -> Path:
    """Compiles the same sources for this machine as a shared library, to `target`; see reference.c.

    Raises BuildError.
    """
    sources = [f"{name}.c" for name in (*PORT, "main", "platform_host", "reference")]
    return _zig([*COMMON, *HOST, *sources, *HOST_PARTS], target)


def reference_name() -> str:
    """The file name of the shared library on this machine."""
    suffix = ".dll" if ON_WINDOWS else sysconfig.get_config_var("SHLIB_SUFFIX")
    return f"libllama2{suffix or '.so'}"


if __name__ == "__main__":
    debug = "--debug" in sys.argv[1:]
    for build, target in ((build_guest, GUEST), (build_xell_guest, XELL_GUEST), (build_c64_guest, C64_GUEST)):
        print(build(target.with_suffix(".debug.elf") if debug else target, debug=debug))
