"""Who may import whom: imports go downwards only (docs/design.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"xenon", "loader", "llama2c"}

# What each place may import of ours besides itself; the first that a file's path begins with counts.
ALLOWED: dict[str, tuple[str, ...]] = {
    "loader/": (),
    "llama2c/": (),
    "xenon/powerpc/": ("xenon.errors",),
    "xenon/hardware/": ("xenon.errors",),
    "xenon/lifter/": ("xenon.powerpc", "xenon.hardware", "xenon.errors"),
    "xenon/recompiler/": ("xenon.lifter", "xenon.powerpc", "xenon.hardware", "xenon.errors"),
    "xenon/linux/": ("xenon.hardware", "xenon.powerpc", "xenon.errors"),
    "xenon/machine.py": ("xenon.recompiler", "xenon.hardware", "xenon.errors"),
    "xenon/console.py": (
        "xenon.machine",
        "xenon.linux",
        "xenon.recompiler",
        "xenon.hardware",
        "xenon.errors",
    ),
    "xenon/profile/": (
        *("xenon.console", "xenon.recompiler", "xenon.lifter", "xenon.linux", "xenon.hardware"),
        *("xenon.powerpc", "xenon.svg", "xenon.errors"),
    ),
    "xenon/stories/": (
        *("xenon.console", "xenon.recompiler", "xenon.linux", "xenon.hardware", "xenon.svg", "xenon.errors"),
        *("loader", "llama2c"),
    ),
    "xenon/cli/": ("xenon", "loader", "llama2c"),
}


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (
                [f"xenon.{alias.name}" for alias in node.names] if node.module == "xenon" else [node.module]
            )


def sources() -> list[Path]:
    return sorted(path for room in OURS for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    allowed = next((found for prefix, found in ALLOWED.items() if place.startswith(prefix)), None)
    room = place.removesuffix(".py").removesuffix("/__init__").split("/")
    own = ".".join(room[:2]) if room[0] == "xenon" else room[0]
    for module in imports(path):
        assert not module.startswith("xenon.cli") or place.startswith("xenon/cli/"), module
        if allowed is not None and module.split(".")[0] in OURS:
            names = (own, *allowed)
            assert any(module == name or module.startswith(f"{name}.") for name in names), module


def test_the_top_level_holds_the_rooms_and_nothing_else() -> None:
    expected = {"xenon", "loader", "llama2c", "scripts", "tests", "docs", "pyproject.toml"}
    expected |= {"README.md", "LICENSE", "CHANGELOG.md"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - {"dist", "build"} == expected
