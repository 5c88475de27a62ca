"""`xenon-llm` itself: its help, and words that it does not know."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from command_line import COMMAND, run_command_text
from systems import NEWER_TYPER


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


def test_alone_it_prints_its_help_and_nothing_that_looks_like_an_error() -> None:
    bare, asked = run(), run("--help")
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout == asked.stdout
    assert 'xenon-llm generate "Sleepy Joe said"' in bare.stdout
    assert "error" not in bare.stdout.lower()


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["genrate"],
            ["error: no command 'genrate'", "hint: did you mean 'generate'? xenon-llm --help lists all"],
        ),
        (["frobnicate"], ["error: no command 'frobnicate'", "hint: xenon-llm --help lists all"]),
        (
            ["generate", "--sed", "3"],
            [
                "error: No such option: --sed",
                "hint: did you mean '--seed'? xenon-llm generate --help lists all",
            ],
        ),
        pytest.param(
            ["bench", "--engine", "gpu,natve"],
            [
                "error: Invalid value for '--engine': 'natve' is not one of 'unicorn', 'recompiler', 'gpu', "
                "'qemu-ppc64', 'native', 'llama2c'.",
                "hint: did you mean 'native'? xenon-llm bench --help lists all",
            ],
            marks=NEWER_TYPER,
        ),
        pytest.param(
            ["bench", "--threads", "1,two"],
            [
                "error: Invalid value for '--threads': '1,two': expected numbers such as 1,2",
                "hint: xenon-llm bench --help",
            ],
            marks=NEWER_TYPER,
        ),
        (
            ["estimate", "--shape", "stories16M"],
            [
                "error: Invalid value for '--shape': 'stories16M' is not one of 'stories260K', 'stories15M', "
                "'stories42M', 'stories110M'.",
                "hint: did you mean 'stories15M'? xenon-llm estimate --help lists all",
            ],
        ),
    ],
    ids=lambda value: value[-1][:12],
)
def test_a_mistyped_word_is_one_line_and_what_was_meant(words: list[str], lines: list[str]) -> None:
    done = run_command_text(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == lines


def test_the_shell_completes_commands_and_values() -> None:
    script = run("--show-completion", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1", SHELL="/bin/bash")
    assert script.returncode in (0, 2)  # 2: the test's shell is not one that typer knows
    words = {"_XENON_LLM_COMPLETE": "complete_bash", "COMP_WORDS": "xenon-llm gen", "COMP_CWORD": "1"}
    code = "import sys; sys.argv[0] = 'xenon-llm'; from xenon.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ | words
    )
    assert done.stdout.split() == ["generate"]


def test_choices_are_read_without_the_validation_that_takes_long_to_import() -> None:
    """Of `convert --to`, whose default is read in any case."""
    code = (
        "import sys; from xenon.cli.start import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('typer._adapters' in sys.modules)"
    )
    for words, imported in (("convert nothing --to little", "False"), ("convert nothing --to midle", "True")):
        done = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1:] == [imported], done.stderr
