"""What docs/serve.md shows is what happens: curl and OpenAI's client, against a server."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xenon.serve.server import ApiServer

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "serve.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8360"
TRANSCRIPTS = re.findall(r"^```console\n\$ (.*?[^\\])\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
_TEXT_OF = 'python3 -c \'import json, sys; print(json.load(sys.stdin)["choices"][0]["text"])\''


def test_there_are_some() -> None:
    assert (len(TRANSCRIPTS), len(EXAMPLES)) == (2, 1)


@pytest.mark.parametrize("number", range(len(TRANSCRIPTS)))
def test_the_transcript_is_real(server: ApiServer, number: int) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this computer")
    command, shown = TRANSCRIPTS[number]
    assert ADDRESS in command
    command = command.replace(ADDRESS, server.address)
    if shutil.which("jq") is None:
        command = command.replace("jq -r .choices[0].text", _TEXT_OF)
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == shown


def test_the_client_prints_what_it_claims(server: ApiServer) -> None:
    pytest.importorskip("openai", reason="the client is openai: pip install openai")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(EXAMPLES[0].replace(ADDRESS, server.address), "docs/serve.md", "exec"), {})
    assert printed.getvalue().split() == ["True", "4", "True"]
