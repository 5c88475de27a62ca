"""The compiler of this system for Python for Windows: answers the calls of zig.c, which stands for zig.exe.

Wine 8 starts zig.exe, and the clang and the linker in it run. But its cache locks files by NtLockFile with an
IO_STATUS_BLOCK, which Wine 8 does not implement (STATUS_NOT_IMPLEMENTED; `zig cc` says "manifest_create
Unexpected"). The same version of zig for this system compiles in its place; each call names its target.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).with_name("zig.c")
_FLAGS = (
    "-target x86_64-windows-gnu -O1 -g0 -nostdlib -fno-builtin -fno-stack-protector -fno-sanitize=all"
    " -lkernel32 -Wl,-e,start -Wall -Wextra -Werror"
).split()
_PATIENCE = 0.02  # seconds between two looks
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_DRIVE = re.compile(r"(?:\b|(?<=-I))([A-Za-z]):[\\/]([^;]*)")
_METADATA = "Metadata-Version: 2.1\nName: ziglang\nVersion: {}\n"


class Compiler:
    """Answers calls while the `with` block lasts. `wine` is the folder of Wine's files."""

    def __init__(self, folder: Path, wine: Path) -> None:
        self.folder = folder
        self._wine = wine
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            path.unlink()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._is_over.wait(_PATIENCE):
            for call in self.folder.glob("*.call"):
                here, cache, line = call.read_text("utf-8").splitlines()
                call.unlink()
                threading.Thread(target=self._compile, args=(call, here, cache, line), daemon=True).start()

    def _compile(self, call: Path, here: str, cache: str, line: str) -> None:
        words = [self._own(word.replace('"', "")) for word in _WORD.findall(line)][1:]
        caches = (
            dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), self._own(cache)) if cache else {}
        )
        done = subprocess.run(
            [sys.executable, "-m", "ziglang", *words],
            cwd=self._own(here),
            env=os.environ | caches,
            capture_output=True,
            check=False,
        )
        unfinished = call.with_suffix(".said")
        unfinished.write_bytes(b"%d" % (done.returncode != 0) + done.stderr)
        unfinished.rename(call.with_suffix(".answer"))

    def _own(self, text: str) -> str:
        """A word in which paths are those of this system."""
        return _DRIVE.sub(self._own_path, text)

    def _own_path(self, match: re.Match[str]) -> str:
        drive, path = match[1].lower(), match[2].replace("\\", "/")
        return f"/{path}" if drive == "z" else str(self._wine / f"drive_{drive}" / path)


def install(packages: Path, version: str) -> None:
    """Put a package `ziglang` among those for Windows, whose zig.exe calls the compiler of this system."""
    package = packages / "ziglang"
    facts = packages / f"ziglang-{version}.dist-info"
    for folder in (package, facts):
        folder.mkdir(exist_ok=True)
    (facts / "METADATA").write_text(_METADATA.format(version))
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import subprocess, sys\nfrom pathlib import Path\n"
        "sys.exit(subprocess.call([str(Path(__file__).with_name('zig.exe')), *sys.argv[1:]]))\n"
    )
    command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, str(SOURCE), "-o", str(package / "zig.exe")]
    subprocess.run(command, check=True)
