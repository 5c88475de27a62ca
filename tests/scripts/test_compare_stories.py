"""The comparison of stories with run.c, with a stand-in for run.c that tells known stories."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support import GOLDEN, WHOLE
from systems import PROGRAM_SCRIPTS

SCRIPT = Path(__file__).parents[2] / "scripts" / "measuring" / "compare_stories.py"
sys.path.insert(0, str(SCRIPT.parent))

import compare_stories  # noqa: E402

import llama2c  # noqa: E402
import loader  # noqa: E402

pytestmark = pytest.mark.usefixtures("library")


@pytest.fixture(scope="module")
def teller() -> compare_stories.Teller:
    model, tokenizer = llama2c.bundled_model(), llama2c.bundled_tokenizer()
    return compare_stories.Teller(loader.open(model), loader.open_tokenizer(tokenizer))


def requests() -> list[tuple[compare_stories.Request, str]]:
    cases = json.loads(GOLDEN.read_text("utf-8"))["cases"]
    return [(compare_stories.Request(**case), text) for case in cases for text in [case.pop("text")]]


def test_the_picks_of_the_script_are_those_of_the_sampler(teller: compare_stories.Teller) -> None:
    """A story that is taken for another one up to its end parts at its last pick, whatever sampled it."""
    for request, text in requests() if WHOLE else requests()[:4]:
        if request.steps < 16:
            continue
        told = text.encode().removesuffix(b"\n")
        position, picked = teller.parting(request, told[:-1])
        piece = teller.tokenizer.pieces[picked.token].text
        assert told.endswith(piece) or picked.token == compare_stories.BOS, (request, position, picked)


def test_a_wide_gap_explains_nothing(teller: compare_stories.Teller) -> None:
    request, text = requests()[0]
    kind, reason = compare_stories._reason(teller, request, text.encode()[:40] + b"#")
    assert kind == "unexplained", reason


@PROGRAM_SCRIPTS
@pytest.mark.parametrize(("text", "status"), [("", 1), ("known", 0)])
def test_the_exit_status_says_whether_all_is_explained(tmp_path: Path, text: str, status: int) -> None:
    run = tmp_path / "run"
    told = f"{sys.executable} {tmp_path / 'tell.py'}" if text else "true"
    run.write_text(f'#!/bin/sh\nexec {told} "$@"\n')
    run.chmod(run.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "tell.py").write_text(
        "import sys\nfrom llama2c.reference import Reference\n"
        "files = {'m': open(sys.argv[1], 'rb').read(), 't': open(sys.argv[3], 'rb').read()}\n"
        "words = ['m', '-z', 't', '-k', 'scalar', *sys.argv[4:]]\n"
        "sys.stdout.buffer.write(Reference.build().run(files, words)[1])\n"
    )
    command = [sys.executable, str(SCRIPT), str(run), "--stories", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == status, done.stderr
    assert ("2 equal" in done.stdout) is (status == 0)
