"""The comparison with llama.cpp, with work that is known instead of engines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from systems import PROGRAM_SCRIPTS

SCRIPT = Path(__file__).parents[2] / "scripts" / "measuring" / "compare_llama_cpp.py"
sys.path.insert(0, str(SCRIPT.parent))

import compare_llama_cpp  # noqa: E402
from compare_llama_cpp import Turn, Work  # noqa: E402
from llama_cpp_worker import HINT  # noqa: E402

import llama2c  # noqa: E402

# 2 s to start, 0.01 s for a token of a prompt, 0.05 s for a generated one.
KNOWN = Turn(Work(496, 4.96), Work(64, 3.2))


def engine(words: int, generated: int) -> Work:
    return Work(words + generated, 2 + 0.01 * words + 0.05 * generated)


def test_a_turn_leaves_out_the_start_and_the_short_prompt() -> None:
    turn = compare_llama_cpp.turn(engine)
    assert (turn.prompt.tokens, turn.generation.tokens) == (496, 64)
    assert turn.prompt.speed == pytest.approx(100)
    assert turn.generation.speed == pytest.approx(20)


def test_ratios_are_of_medians_and_stand_beside_their_targets() -> None:
    slow, fast = Turn(Work(496, 49.6), Work(64, 64.0)), Turn(Work(496, 0.496), Work(64, 0.64))
    theirs = [Turn(Work(496, 2.48), Work(64, 1.28))] * 3  # 200 and 50 a second
    figures = compare_llama_cpp.compared(2, [slow, KNOWN, fast], theirs)
    ratios = [figure for figure in figures if figure.target]
    assert [ratio.value for ratio in ratios] == pytest.approx([0.5, 0.4])
    assert [(ratio.target, ratio.met) for ratio in ratios] == [
        ("at least 0.3", True),
        ("at least 0.5", False),
    ]
    assert [figure.value for figure in figures if not figure.target] == pytest.approx([100, 200, 20, 50])


@pytest.mark.parametrize("work", [Work(0, 1.0), Work(64, 0.0), Work(64, -0.1)])
def test_a_speed_of_nothing_is_refused(work: Work) -> None:
    with pytest.raises(SystemExit, match="measure again"):
        _ = work.speed


def test_our_engine_counts_the_tokens_that_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, source in (("model", llama2c.bundled_model()), ("tokenizer", llama2c.bundled_tokenizer())):
        (tmp_path / f"{name}.bin").write_bytes(source.read_bytes())
    monkeypatch.setattr(compare_llama_cpp, "WORD", "a")
    run = compare_llama_cpp.console(tmp_path, 1)
    short, longer = run(16, 0), run(16, 8)
    assert (longer - short).tokens == 8
    assert short.seconds > 0


@PROGRAM_SCRIPTS
def test_without_xllamacpp_there_is_a_hint(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    words = [sys.executable, str(SCRIPT), "model.gguf", "--python", str(python)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{HINT}\n"
    assert "pip install xllamacpp" in done.stderr
