"""Requests that are wrong get a JSON error with a status, and the next request is served."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from api_server import MODEL, api_server, ask, connection, send_raw

from xenon.errors import XenonError
from xenon.serve.settings import ServeSettings

if TYPE_CHECKING:
    from xenon.serve.server import ApiServer

GOOD: dict[str, Any] = {"model": MODEL, "prompt": "a", "max_tokens": 2}
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
KEY = "a key of a test"


@pytest.fixture(autouse=True)
def still_served(server: ApiServer) -> Iterator[None]:
    yield
    assert ask(server.address, "/v1/completions", GOOD).status == 200


BODIES: dict[str, tuple[bytes, int]] = {
    "no JSON": (b"{", 400),
    "nothing": (b"", 400),
    "not UTF-8": (b'{"model": "\xff"}', 400),
    "a list": (b"[]", 400),
    "nested without end": (b"[" * 100_000, 400),
    "not a number": (b'{"model": "joe260K", "temperature": NaN}', 400),
    "an integer of a million digits": (b'{"model": "joe260K", "seed": ' + b"9" * 900_000 + b"}", 400),
    "10 MB": (b" " * 10_000_000, 413),
}
COMPLETIONS: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "unknown model": ({"model": "gpt-4"}, 404, "model"),
    "no model": ({"model": None}, 400, "model"),
    "prompt of numbers": ({"prompt": [1, 2]}, 400, "prompt"),
    "several prompts": ({"prompt": ["a", "b"]}, 400, "prompt"),
    "a prompt with a zero": ({"prompt": "a\0b"}, 400, "prompt"),
    "half a surrogate pair": ({"prompt": "\ud800"}, 400, "prompt"),
    "a prompt beyond the context": ({"prompt": "a b " * 900}, 400, "prompt"),
    "a prompt beyond a request of the guest": ({"prompt": "a" * 100_000}, 400, None),
    "no tokens": ({"max_tokens": 0}, 400, "max_tokens"),
    "tokens beyond all numbers": ({"max_tokens": 10**30}, 400, "max_tokens"),
    "half a token": ({"max_tokens": 1.5}, 400, "max_tokens"),
    "true tokens": ({"max_tokens": True}, 400, "max_tokens"),
    "cold": ({"temperature": -1}, 400, "temperature"),
    "hot": ({"temperature": 1e308}, 400, "temperature"),
    "top_p": ({"top_p": 2}, 400, "top_p"),
    "text for a number": ({"temperature": "1"}, 400, "temperature"),
    "seed": ({"seed": -1}, 400, "seed"),
    "large seed": ({"seed": 1 << 63}, 400, "seed"),
    "17 stops": ({"stop": ["a"] * 17}, 400, "stop"),
    "an empty stop": ({"stop": ""}, 400, None),
    "a stop of numbers": ({"stop": [1]}, 400, "stop"),
    "several answers": ({"n": 2}, 400, "n"),
    "a bias": ({"logit_bias": {"1": 100}}, 400, "logit_bias"),
    "a penalty": ({"frequency_penalty": 1}, 400, "frequency_penalty"),
    "likelihoods and stop": ({"logprobs": 1, "stop": "a"}, 400, "stop"),
    "21 likelihoods": ({"logprobs": 21}, 400, "logprobs"),
    "unknown field": ({"frobnicate": 1}, 400, "frobnicate"),
    "stream of text": ({"stream": "yes"}, 400, "stream"),
}
MESSAGES: dict[str, Any] = {
    "none": [],
    "text": "hello",
    "text in the list": ["hello"],
    "no role": [{"content": "a"}],
    "a role that is none": [{"role": "king", "content": "a"}],
    "no content": [{"role": "user"}],
    "nothing said": [{"role": "user", "content": ""}],
    "a picture": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    "the assistant last": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    "two users": [{"role": "user", "content": "a"}] * 2,
    "system in between": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}],
}
PATHS = (
    *("/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.css/../../settings.py", "//etc/passwd"),
    *("/page/../server.py", "/v1/models/..%2f..%2fetc%2fpasswd", "/index.html", "/v1", "/page.js%00"),
)


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_request(server: ApiServer, name: str) -> None:
    body, status = BODIES[name]
    try:
        reply = ask(server.address, "/v1/completions", body, method="POST")
    except (BrokenPipeError, ConnectionResetError):  # the server does not read on
        assert status == 413
        return
    assert reply.status == status
    assert reply.error


@pytest.mark.parametrize("name", COMPLETIONS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_field_that_is_wrong(server: ApiServer, name: str, stream: bool) -> None:
    fields, status, param = COMPLETIONS[name]
    reply = ask(server.address, "/v1/completions", GOOD | {"stream": stream} | fields)
    assert (reply.status, reply.error["param"]) == (status, param), reply.data


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_that_are_none(server: ApiServer, name: str) -> None:
    reply = ask(server.address, "/v1/chat/completions", CHAT | {"messages": MESSAGES[name]})
    assert (reply.status, reply.error["param"]) == (400, "messages")


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_files(server: ApiServer, path: str) -> None:
    reply = ask(server.address, path)
    assert reply.status == 404
    assert reply.error
    assert b"root:" not in reply.data


def test_methods_types_and_garbage(server: ApiServer) -> None:
    assert ask(server.address, "/v1/completions").status == 405
    assert ask(server.address, "/health", {}, method="DELETE").error
    plain = ask(server.address, "/v1/completions", GOOD, {"Content-Type": "text/plain"})
    assert plain.status == 415
    assert plain.error
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9\r\n\r\n", b"A" * 100_000 + b"\r\n\r\n"):
        received = send_raw(server.address, garbage, shut=True)
        if received:
            head, _, body = received.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert json.loads(body)["error"]["message"]


@pytest.mark.parametrize("lie", [b"-1", b"99999999999999999999", b"1e3"])
def test_lengths_that_lie(server: ApiServer, lie: bytes) -> None:
    received = send_raw(
        server.address,
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + lie + b"\r\n\r\n{}",
        shut=True,
    )
    assert received.split(b" ")[1] in (b"400", b"413")


def test_a_body_in_chunks_is_bounded(server: ApiServer) -> None:
    opened = connection(server.address)
    opened.putrequest("POST", "/v1/completions")
    opened.putheader("Content-Type", "application/json")
    opened.putheader("Transfer-Encoding", "chunked")
    opened.endheaders()
    try:
        for _ in range(40):
            opened.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        opened.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        return
    assert opened.getresponse().status == 413


def test_a_head_that_comes_slowly_ends_the_connection(server: ApiServer) -> None:
    split = urlsplit(server.address)
    start = time.monotonic()
    with socket.create_connection((split.hostname or "", split.port or 0), timeout=30) as opened:
        opened.sendall(b"GET / HTTP/1.1\r\n")
        assert opened.recv(100) == b""
    assert time.monotonic() - start < 25


def test_a_body_that_comes_slowly_ends_in_408(server: ApiServer) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"
    assert send_raw(server.address, head).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8360"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8360"}, 200),
    ],
)
def test_other_names_and_other_pages_are_refused(
    server: ApiServer, headers: dict[str, str], status: int
) -> None:
    reply = ask(server.address, "/v1/completions", GOOD, headers)
    assert reply.status == status
    assert "access-control-allow-origin" not in reply.headers
    assert "default-src 'none'" in reply.headers["content-security-policy"]


def test_a_key_is_asked_for() -> None:
    with api_server(key=KEY, names=("stories.example",)) as server:
        for authorization in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
            for path, body in (("/v1/models", None), ("/console", None), ("/metrics", None), ("/v1/x", {})):
                reply = ask(server.address, path, body, authorization)
                assert reply.status == 401
                assert reply.error["code"] == "invalid_api_key"
        good = {"Authorization": f"Bearer {KEY}"}
        assert ask(server.address, "/v1/completions", GOOD, good).status == 200
        assert ask(server.address, "/v1/models", None, good | {"Host": "stories.example"}).status == 200
        assert ask(server.address, "/health").status == 200


def test_settings_that_cannot_be() -> None:
    with pytest.raises(XenonError, match="no API key"):
        ServeSettings("0.0.0.0")
    with pytest.raises(XenonError, match="cannot be one"):
        ServeSettings(key="short")
    for fields in ({"port": 70000}, {"consoles": 0}, {"waiting": -1}, {"seconds": float("nan")}):
        with pytest.raises(XenonError, match="expected"):
            ServeSettings(**fields)
    ServeSettings("::1")
    ServeSettings("0.0.0.0", key=KEY)


def test_a_port_that_is_taken_is_an_error(server: ApiServer) -> None:
    port = urlsplit(server.address).port
    from xenon.serve.server import ApiServer as Starting
    from xenon.stories.runnable import RunnableModel

    with pytest.raises(XenonError, match="in use"):
        Starting(RunnableModel(), MODEL, ServeSettings(port=port or 0))
