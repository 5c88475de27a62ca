"""Requests wait in a bounded queue, nothing is lost or mixed, and a client that goes away stops its work."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from api_server import MODEL, SLOW, api_server, ask, connection
from load_server import drive

if TYPE_CHECKING:
    from xenon.serve.server import ApiServer

LONG = {"model": MODEL, "prompt": "One day", "max_tokens": 500, "ignore_eos": True}
SHORT = LONG | {"max_tokens": 3}


def begun(server: ApiServer, body: dict[str, Any] = LONG, stream: bool = True) -> http.client.HTTPConnection:
    """A request that was sent."""
    opened = connection(server.address)
    data = json.dumps(body | {"stream": stream}).encode()
    opened.request("POST", "/v1/completions", data, {"Content-Type": "application/json"})
    return opened


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(server: ApiServer) -> bool:
    return any(console.job is not None for console in server.desk.consoles)


def at_rest(server: ApiServer) -> bool:
    return not running(server) and not server.desk.waiting


def test_many_clients_get_their_own_texts(server: ApiServer) -> None:
    load = drive(server.address, MODEL, requests=40, clients=8, cut_off=6, tokens=20)
    assert (load.told, load.cut_off, load.wrong, load.lost) == (34, 6, 0, 0)
    assert load.most_waiting <= load.bound
    until(lambda: at_rest(server))


def test_the_queue_is_bounded_and_those_in_it_are_served(slow_server: ApiServer) -> None:
    first = begun(slow_server)
    until(lambda: running(slow_server))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask, slow_server.address, "/v1/completions", SHORT) for _ in range(2)]
        until(lambda: slow_server.desk.waiting == 2)
        for stream in (False, True):
            reply = ask(slow_server.address, "/v1/completions", SHORT | {"stream": stream})
            assert reply.status == 429
            assert reply.error["code"] == "queue_full"
            assert reply.headers["retry-after"] == "1"
        first.close()
        assert [answer.result().status for answer in waiting] == [200, 200]
    assert slow_server.desk.most_waiting == slow_server.desk.bound == 2


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_client_that_goes_away_stops_its_work(slow_server: ApiServer, stream: bool) -> None:
    opened = begun(slow_server, stream=stream)
    until(lambda: running(slow_server))
    opened.close()
    until(lambda: at_rest(slow_server))
    assert slow_server.desk.consoles[0].progress.tokens < 400


def test_a_client_that_waits_and_goes_away_leaves_the_queue(slow_server: ApiServer) -> None:
    first = begun(slow_server)
    until(lambda: running(slow_server))
    waiting = begun(slow_server, SHORT)
    line = waiting.getresponse().readline()
    assert line == b": waiting, 0 before\n"
    assert slow_server.desk.waiting == 1
    waiting.close()
    until(lambda: slow_server.desk.waiting == 0)
    first.close()
    until(lambda: at_rest(slow_server))


def test_a_request_has_a_time_limit_and_so_has_waiting() -> None:
    with api_server(SLOW, seconds=0.3) as server:
        with ThreadPoolExecutor(2) as pool:
            replies = list(pool.map(lambda _: ask(server.address, "/v1/completions", LONG), range(2)))
        for reply in replies:
            assert reply.status == 504
            assert reply.error["code"] == "time_limit"
        streamed = ask(server.address, "/v1/completions", LONG | {"stream": True})
        assert streamed.status == 200
        assert json.loads(streamed.data.split(b"data: ")[-2])["error"]["code"] == "time_limit"
        assert ask(server.address, "/v1/completions", SHORT | {"max_tokens": 1}).status == 200


def test_two_consoles_tell_at_once() -> None:
    with api_server(SLOW, consoles=2) as server:
        opened = [begun(server) for _ in range(2)]
        until(lambda: all(console.job is not None for console in server.desk.consoles))
        for connected in opened:
            connected.close()
        until(lambda: at_rest(server))


def test_the_server_ends_while_texts_are_told() -> None:
    with api_server(SLOW) as server:
        opened = [begun(server) for _ in range(3)]
        until(lambda: server.desk.waiting == 2)
    for connected in opened:
        connected.close()
    assert not any(console.is_alive() for console in server.desk.consoles)


def test_a_console_that_fails_is_booted_again() -> None:
    with api_server() as server:
        expected = ask(server.address, "/v1/completions", SHORT | {"seed": 1}).json["choices"]
        loaded = server.desk.consoles[0].loaded
        loaded.console.machine.stop()
        assert ask(server.address, "/v1/completions", SHORT).status == 500
        assert ask(server.address, "/v1/completions", SHORT | {"seed": 1}).json["choices"] == expected
