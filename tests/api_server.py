"""Servers for tests: before the bundled model, and before a console that is slow enough to be interrupted."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories.runnable import RunnableModel
from xenon.stories.settings import Engine, Setup

if TYPE_CHECKING:
    from xenon.serve.server import ApiServer

MODEL = "joe260K"
SLOW = Setup(Engine.CPU, cpu=CpuKind.UNICORN, threads=1)


@contextmanager
def api_server(setup: Setup | None = None, **settings: Any) -> Iterator[ApiServer]:
    """A server at a free port, with these fields of ServeSettings."""
    from xenon.serve.server import serving
    from xenon.serve.settings import ServeSettings

    with serving(RunnableModel(setup=setup), MODEL, ServeSettings(port=0, **settings)) as server:
        yield server


@dataclass(frozen=True)
class Answered:
    """An answer of the server."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def error(self) -> Any:
        """The error of an answer that is one, in OpenAI's shape."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return error


def connection(address: str) -> http.client.HTTPConnection:
    split = urlsplit(address)
    assert split.hostname is not None
    return http.client.HTTPConnection(split.hostname, split.port, timeout=60)


def ask(
    address: str, path: str, body: object = None, headers: Mapping[str, str] = {}, method: str | None = None
) -> Answered:
    """Ask for a path as it is spelled; `body` is bytes or a value for JSON."""
    opened = connection(address)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | dict(headers)
    opened.request(method or ("GET" if data is None else "POST"), path, data, sent)
    answer = opened.getresponse()
    reply = Answered(
        answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    )
    opened.close()
    return reply


def send_raw(address: str, data: bytes, shut: bool = False) -> bytes:
    """Send bytes that need not be HTTP; all that comes back until the server closes."""
    split = urlsplit(address)
    with socket.create_connection((split.hostname or "", split.port or 0), timeout=60) as opened:
        opened.sendall(data)
        if shut:
            opened.shutdown(socket.SHUT_WR)
        received = b""
        while part := opened.recv(65536):
            received += part
        return received
