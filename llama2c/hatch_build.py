"""The package's build hook: compiles the guests and their hot functions before hatchling packs the wheel."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path, PurePath
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_NAMES_AS_TEXT = "utf-8:surrogateescape"  # the code page of Windows lacks most letters


class GuestBuildHook(BuildHookInterface[Any]):
    """Runs for wheels and editable installs. A source distribution contains the sources only."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        # Loaded by path: the package being built is not importable in the build's own environment.
        path = Path(self.root) / "llama2c" / "build.py"
        spec = importlib.util.spec_from_file_location("llama2c_build", path)
        assert spec is not None and spec.loader is not None
        build = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(build)
        for guest in (build.build_guest(), build.build_xell_guest(), build.build_c64_guest()):
            build_data["artifacts"].append(pattern(guest, Path(self.root)))
        # In a Python of its own: there the package can be imported, and the hook's modules stay as they are.
        result = subprocess.run(
            [sys.executable, "-m", "xenon.stories.prepare"],
            cwd=self.root,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join([self.root, *sys.path])}
            | {"PYTHONIOENCODING": _NAMES_AS_TEXT},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        if result.returncode != 0:
            raise RuntimeError(f"the guest's hot functions cannot be prepared\n{result.stderr}")
        build_data["artifacts"] += [
            pattern(Path(line), Path(self.root)) for line in result.stdout.splitlines()
        ]


def pattern(file: PurePath, root: PurePath) -> str:
    """The file as one of hatchling's artifacts: patterns as git's, in which a backslash parts no folders."""
    return file.relative_to(root).as_posix()
