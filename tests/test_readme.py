"""What the README and the guide for ports show is what happens."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Made

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PORTING = (ROOT / "docs" / "porting.md").read_text("utf-8")
COMMAND = f"'{sys.executable}' -c 'from xenon.cli.app import main; main()'"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = re.sub(r"^xenon-llm", COMMAND, line)
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=100)


def words(text: str) -> list[str]:
    return text.split()


def transcript() -> tuple[str, str]:
    """The command of the transcript, and the story under it, wrapped for reading."""
    found = re.search(r"^    \$ (xenon-llm generate .*)\n((?:    .*\n)+)", README, re.MULTILINE)
    assert found is not None
    return found[1], found[2]


def test_the_two_install_commands_are_there_for_ci_to_run() -> None:
    assert '    pip install . && xenon-llm generate "Sleepy Joe said"\n' in README
    assert "    pip install -e '.[test]' && pytest\n" in README


def test_the_transcript_is_real(tmp_path: Path) -> None:
    command, story = transcript()
    result = shell(command, tmp_path)
    assert result.returncode == 0, result.stderr
    assert words(result.stdout) == words(story)


def test_the_python_example_tells_the_story_of_the_transcript() -> None:
    found = re.search(r"^    import xenon\n(?:\n|    .*\n)+", README, re.MULTILINE)
    assert found is not None
    code = re.sub("^    ", "", found[0], flags=re.MULTILINE)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert words(printed.getvalue()) == words(transcript()[1])


@pytest.mark.parametrize("page", ["README.md", "docs/porting.md"])
def test_the_commands_work_in_the_order_shown(
    page: str, make_model: Callable[..., Made], tmp_path: Path, guest: Path
) -> None:
    made = make_model(seq_len=300)
    (tmp_path / "stories15M.bin").write_bytes(made.model.read_bytes())
    (tmp_path / "tokenizer.bin").write_bytes(made.tokenizer.read_bytes())
    shutil.copy(guest, tmp_path / "run")  # takes llama2.c's command line
    lines = re.findall(r"^    (xenon-llm .+?)(?: +#.*)?$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert len(lines) >= 2
    for line in lines:
        result = shell(line, tmp_path)
        assert result.returncode == 0, (line, result.stderr)
        assert result.stdout or line.startswith("xenon-llm scan")
    assert (tmp_path / "stories15M.be.bin").is_file()


def test_every_page_that_the_readme_names_is_there() -> None:
    pages = re.findall(r"\]\(([^)]+)\)", README)
    assert len(pages) > 8
    assert [page for page in pages if not (ROOT / page).is_file()] == []
