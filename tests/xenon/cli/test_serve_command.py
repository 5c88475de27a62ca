"""`xenon-llm serve` as it is typed: its line, its end, and what it refuses."""

from __future__ import annotations

import importlib.util
import marshal
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from api_server import MODEL, ask
from command_line import COMMAND, run_command_text
from systems import SIGNALS

for _module in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(_module, reason=f"serve needs {_module}: pip install 'xenon-llm[serve]'")


@SIGNALS
def test_it_says_where_it_is_and_ends_by_ctrl_c() -> None:
    words = [*COMMAND, "serve", "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None and server.stdout is not None
        line = server.stderr.readline()
        address = re.fullmatch(rf"(http://127\.0\.0\.1:\d+) serves {MODEL}; Ctrl-C ends it\n", line)
        assert address is not None, line
        host, port = address[1].removeprefix("http://").split(":")
        body = {"model": MODEL, "prompt": "a", "max_tokens": 400, "stream": True, "ignore_eos": True}
        for _ in range(3):  # clients that reset their connections do not end the server
            with socket.create_connection((host, int(port))) as opened:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                data = str(body).replace("'", '"').replace("True", "true").encode()
                head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
                opened.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
                opened.recv(10)
        assert ask(address[1], "/v1/models").status == 200
        server.send_signal(signal.SIGINT)
        assert server.stderr.read() == "error: interrupted\n"
        assert server.stdout.read() == ""
        assert server.wait(30) == 130


def test_another_address_needs_a_key() -> None:
    result = run_command_text("serve", "--host", "0.0.0.0", "--port", "0")
    assert result.returncode == 2
    assert result.stderr.startswith(
        "error: 0.0.0.0 can be reached from other computers, and there is no API key"
    )
    assert "Traceback" not in result.stderr


def test_a_damaged_package_is_not_taken_for_ctrl_c(tmp_path: Path) -> None:
    head = importlib.util.MAGIC_NUMBER + bytes(12)
    (tmp_path / "uvicorn.pyc").write_bytes(head + marshal.dumps(compile("1", "uvicorn", "exec"))[:-1])
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from xenon.cli.app import main; main()"
    words = [sys.executable, "-c", code, "serve"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stderr.endswith("\nEOFError: marshal data too short\n")


def test_without_its_packages_it_says_how_to_get_them() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from xenon.cli.app import main; main()"
    words = [sys.executable, "-c", code, "serve"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stderr == "error: serve needs uvicorn\nhint: pip install 'xenon-llm[serve]'\n"


@pytest.mark.parametrize(
    "words", [("--port", "70000"), ("--consoles", "0"), ("--queue", "-1"), ("--timeout", "0")]
)
def test_values_out_of_their_range_are_a_wrong_command_line(words: tuple[str, str]) -> None:
    result = run_command_text("serve", *words)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
