"""What stands before every request: whom it addresses, where it comes from, its key, its size and its time.

DNS rebinding: a page on the web may let its own name point here. So the Host header must be localhost, an IP
address or a name that was allowed. A page of another origin is refused by its Origin header.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from xenon.serve.api_error import FORBIDDEN, REQUEST_TIMEOUT, TOO_LARGE, UNAUTHORISED, ApiError
from xenon.serve.settings import ServeSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
_OPEN = frozenset(("/", "/page.css", "/page.js", "/health"))
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class GuardedApplication:
    """An ASGI application around another one."""

    def __init__(self, application: Application, settings: ServeSettings) -> None:
        self._application, self._settings = application, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except ApiError as error:
            headers = error.headers | {"connection": "close"}
            await JSONResponse(error.body(), error.status, headers)(scope, receive, send_with_headers)
            return
        parts = [body]

        async def receive_again() -> MutableMapping[str, Any]:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": False}
            return await receive()

        await self._application(scope, receive_again, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._may_be_addressed(host):
            raise ApiError(FORBIDDEN, "the Host header names another computer", code="wrong_host")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and urlsplit(origin).netloc != host:
            raise ApiError(FORBIDDEN, "requests from other web pages are not served", code="wrong_origin")
        key = self._settings.key
        if key is None or (scope["path"] in _OPEN and scope["method"] in ("GET", "HEAD")):
            return
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), key.encode()):
            raise ApiError(UNAUTHORISED, "a wrong API key, or none", code="invalid_api_key")

    def _may_be_addressed(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name == "localhost" or name in (known.lower() for known in self._settings.names):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises ApiError for one that is too long or too slow."""
        most = self._settings.body_bytes
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > most:
            raise ApiError(TOO_LARGE, f"a body of more than {most} bytes", code="body_too_large")
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise ApiError(TOO_LARGE, f"a body of more than {most} bytes", code="body_too_large")
                    if message["type"] != "http.request" or not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise ApiError(REQUEST_TIMEOUT, "the body did not come in time", code="body_too_slow") from None
