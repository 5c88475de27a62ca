"""HTTP/1.1 for uvicorn with what it leaves open: a time limit of heads, a bound of connections, JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from xenon.serve.api_error import BAD_REQUEST, UNAVAILABLE, ApiError


def protocol_class(head_seconds: float, connections: int) -> type[asyncio.Protocol]:
    """A protocol that closes a connection whose head is not there after a time, and one that is too many."""

    class BoundedProtocol(H11Protocol):
        """One connection."""

        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > connections:
                self._refuse(UNAVAILABLE, "too many connections are open")
                return
            self._wait_for_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                if self._head_timer is None and self.conn.trailing_data[0]:
                    self._wait_for_head()
            else:
                self._stop_waiting()

        def send_400_response(self, msg: str) -> None:
            self._refuse(BAD_REQUEST, "this is no HTTP request")

        def _wait_for_head(self) -> None:
            self._head_timer = self.loop.call_later(head_seconds, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _refuse(self, status: int, message: str) -> None:
            """Answer in the place of the application, and close."""
            body = json.dumps(ApiError(status, message).body()).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
            ]
            events: list[Any] = [
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ]
            for event in events:
                data = self.conn.send(event)
                if data:
                    self.transport.write(data)
            self.transport.close()

    return BoundedProtocol
