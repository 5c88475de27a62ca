"""Who may import whom: imports go downwards only, as the table in docs/design.md says, for every file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = {"xenon", "loader", "llama2c"}
EVERYTHING = "everything"


def read_table() -> dict[str, frozenset[str]]:
    """Room: the rooms that it may import; the command line's is everything."""
    rows = re.findall(
        r"^\| `([\w.]+)` \| [^|]* \| ([^|]*) ?\|$", (ROOT / "docs/design.md").read_text("utf-8"), re.M
    )
    rooms = {room: frozenset(re.findall(r"`([\w.]+)`", allowed)) for room, allowed in rows}
    return rooms | {
        room: frozenset(rooms) - {room} for room, allowed in rows if allowed.strip() == EVERYTHING
    }


ROOMS = read_table()


def room_of(module: str) -> str:
    """The room of a module: `xenon.linux` of xenon.linux.files, `loader` of loader.image."""
    parts = module.split(".")
    if parts[0] != "xenon":
        return parts[0]
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ROOMS else "xenon"


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (
                [f"xenon.{alias.name}" for alias in node.names] if node.module == "xenon" else [node.module]
            )


def sources() -> list[Path]:
    return sorted(path for room in OURS for path in (ROOT / room).rglob("*.py"))


def test_imports_go_downwards() -> None:
    wrong = []
    for path in sources():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        room = room_of(module)
        if room == "xenon" != module:
            wrong.append(f"{module} is in no room of docs/design.md")
            continue
        ours = [name for name in imports(path) if name.split(".")[0] in OURS]
        allowed = {room, *ROOMS[room]}
        wrong += [f"{module}: {room} may not import {name}" for name in ours if room_of(name) not in allowed]
    assert wrong == []


def test_there_is_no_circle_of_rooms() -> None:
    order = list(TopologicalSorter(ROOMS).static_order())
    assert order[-1] == "xenon.cli"
    assert set(order) == set(ROOMS)


def test_the_top_level_holds_the_rooms_and_nothing_else() -> None:
    expected = {"xenon", "loader", "llama2c", "scripts", "tests", "docs", "pyproject.toml"}
    expected |= {"README.md", "LICENSE", "CHANGELOG.md"}
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert names - {"dist", "build"} == expected
