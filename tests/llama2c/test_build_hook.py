"""The build hook names the files that it makes so that hatchling finds them, on every system."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

pathspec = pytest.importorskip("pathspec", reason="hatchling brings pathspec: pip install hatchling")
pytest.importorskip("hatchling", reason="the hook is hatchling's: pip install hatchling")

NAME = "llama2c/guest/llama2.elf"


def test_a_made_file_is_among_the_artifacts_wherever_the_checkout_is() -> None:
    from llama2c import hatch_build

    for root in (PureWindowsPath("C:\\Users\\Joe\\xenon llm"), PurePosixPath("/home/joe/xenon llm")):
        artifacts = pathspec.GitIgnoreSpec.from_lines([hatch_build.pattern(root / NAME, root)])
        assert artifacts.match_file(NAME)
        assert not artifacts.match_file("llama2c/guest/other.elf")
    assert Path(hatch_build.__file__).is_file()
