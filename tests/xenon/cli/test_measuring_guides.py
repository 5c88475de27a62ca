"""What docs/estimate.md and docs/benchmarks.md show is what the commands do."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import run_command_text
from selftest_pages import PAGE
from support import LONG, Made, sample

import loader
from loader import synthetic
from xenon.stories.budget import longest_context
from xenon.stories.session import Session
from xenon.stories.settings import Setup

pytestmark = pytest.mark.usefixtures("library")

DOCS = Path(__file__).parents[3] / "docs"
SHOWN = [
    line.strip()
    for name in ("estimate.md", "benchmarks.md")
    for line in re.findall(r"^    (xenon-llm .+)$", (DOCS / name).read_text("utf-8"), re.MULTILINE)
]


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_command_text(*shlex.split(line)[1:], cwd=folder)


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=LONG) if "bench -m" in line else line for line in sample(SHOWN, 5)]
)
def test_a_command_of_the_guides_works(make_model: Callable[..., Made], tmp_path: Path, line: str) -> None:
    made = make_model(seq_len=600)
    for name in ("stories15M.bin", "stories110M.bin", "tokenizer.bin"):
        source = made.tokenizer if name.startswith("tok") else made.model
        (tmp_path / name).write_bytes(source.read_bytes())
    (tmp_path / "page.txt").write_text(PAGE)
    line = line.replace("--shape stories15M -p 8 -n 8", "--shape stories260K -p 3 -n 3")
    result = run(line, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_the_estimate_in_the_guide_is_what_the_command_prints(tmp_path: Path) -> None:
    block = re.search(r"```console\n\$ (.*?)\n(.*?)```", (DOCS / "estimate.md").read_text("utf-8"), re.DOTALL)
    assert block is not None
    assert run(block[1], tmp_path).stdout == block[2]


def test_the_context_that_the_guide_names_for_stories110M(
    make_model: Callable[..., Made], tmp_path: Path
) -> None:
    made = make_model()
    run_ = Session(made.model, made.tokenizer, Setup(threads=2)).budget(b"x" * 64).run
    config = synthetic.Shape.STORIES_110M.config
    synthetic.write_tokenizer(config.vocab_size, tmp_path / "tokenizer.bin")
    model = loader.open(made.model)
    model.config = config
    model.tensors = loader.layout.tensors(config, loader.Format.V0)
    large = replace(
        run_, model=model, tokenizer=loader.open_tokenizer(tmp_path / "tokenizer.bin"), context=None
    )
    assert f"runs with {longest_context(large)}" in (DOCS / "estimate.md").read_text("utf-8")
