"""The paths of the server, as a Starlette application."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from xenon.serve.api_error import BAD_REQUEST, FAILED, NOT_ALLOWED, NOT_FOUND, WRONG_TYPE, ApiError
from xenon.serve.desk import Desk, Job
from xenon.serve.guard import GuardedApplication
from xenon.serve.inbox import Inbox
from xenon.serve.metrics import Metrics
from xenon.serve.replies import Reply, error_event
from xenon.serve.settings import ServeSettings
from xenon.serve.view import ConsoleView
from xenon.serve.wanted import WantedText, parse_chat, parse_completion
from xenon.serve.work import JobEnd, Told

_PAGE = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}
_TELL_AGAIN = 0.5  # seconds between two notes of a request that waits
_CLIENT_LEFT = 499  # as nginx counts them


class StoppableResponse(StreamingResponse):
    """Server-sent events; `leave` is called when they have ended, or when the client has gone."""

    def __init__(self, events: AsyncIterator[bytes], leave: Callable[[], None]) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


class Paths:
    """What is behind each path; `model` is the name of the model in the API."""

    def __init__(
        self, model: str, context: int, desk: Desk, view: ConsoleView, settings: ServeSettings, created: int
    ) -> None:
        self._model, self._context, self._desk, self._view = model, context, desk, view
        self._settings, self._created = settings, created
        self._metrics = Metrics(desk)
        folder = resources.files("xenon.serve") / "page"
        self._files = {name: (folder / name).read_bytes() for name in _PAGE}

    def application(self) -> GuardedApplication:
        """The ASGI application."""
        routes = [
            self._route("/", self._file("index.html")),
            *(self._route(f"/{name}", self._file(name)) for name in ("page.css", "page.js")),
            self._route("/health", self._health),
            self._route("/metrics", self._counters),
            self._route("/console", self._console),
            self._route("/v1/models", self._models),
            self._route("/v1/models/{name}", self._named_model),
            self._route("/v1/completions", self._completions, "POST"),
            self._route("/v1/chat/completions", self._chat, "POST"),
        ]
        starlette = Starlette(
            routes=routes,
            exception_handlers={
                ApiError: _answer_error,
                HTTPException: _answer_status,
                Exception: _answer_failure,
            },
        )
        return GuardedApplication(starlette, self._settings)

    def _route(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str = "GET"
    ) -> Route:
        async def counted(request: Request) -> Response:
            try:
                response = await endpoint(request)
            except ApiError as error:
                response = _error_response(error)
            self._metrics.answers.labels(path, response.status_code).inc()
            return response

        return Route(path, counted, methods=[method])

    def _file(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        response = Response(self._files[name], media_type=_PAGE[name], headers={"cache-control": "no-cache"})

        async def answer(_: Request) -> Response:
            return response

        return answer

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _counters(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _console(self, _: Request) -> Response:
        return JSONResponse(self._view.as_dict(), headers={"cache-control": "no-store"})

    def _described(self) -> dict[str, object]:
        return {"id": self._model, "object": "model", "created": self._created, "owned_by": "xenon-llm"}

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def _named_model(self, request: Request) -> Response:
        if request.path_params["name"] != self._model:
            raise ApiError(NOT_FOUND, f"no such model; this is {self._model!r}", "model", "model_not_found")
        return JSONResponse(self._described())

    async def _completions(self, request: Request) -> Response:
        return await self._answer(request, parse_completion(await _body(request), self._model, self._context))

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, parse_chat(await _body(request), self._model, self._context))

    async def _answer(self, request: Request, wanted: WantedText) -> Response:
        inbox, arrived = Inbox(), time.monotonic()
        job = Job(wanted, inbox.put)
        self._desk.submit(job)
        loop = asyncio.get_running_loop()
        limit = loop.call_later(self._settings.seconds, lambda: self._desk.stop(job, late=True))

        def leave() -> None:
            limit.cancel()
            if not job.has_ended:
                self._metrics.cut_off.inc()
                self._desk.stop(job)

        reply = Reply(self._model, wanted.is_chat)
        texts = self._texts(job, inbox, arrived)
        try:
            if wanted.stream:
                # What fails before the first token is answered with its status.
                first = await anext(texts)
                while first is None and self._desk.ahead(job) < 0:
                    first = await anext(texts)
                return StoppableResponse(self._stream(job, first, texts, reply, wanted), leave)
            response = await self._whole(request, texts, reply)
        except BaseException:
            leave()
            raise
        leave()
        return response

    async def _texts(self, job: Job, inbox: Inbox, arrived: float) -> AsyncIterator[Told | JobEnd | None]:
        """What comes of a job, its end the last; None where nothing came for a while. Raises ApiError."""
        is_first = True
        while True:
            events = await inbox.get(_TELL_AGAIN)
            if not events:
                yield None
            for event in events:
                job.has_ended = not isinstance(event, Told)
                if isinstance(event, ApiError):
                    raise event
                if is_first and not (isinstance(event, Told) and not event.text):
                    self._metrics.first_byte.observe(time.monotonic() - arrived)
                    is_first = False
                if isinstance(event, JobEnd):
                    self._metrics.count(event)
                yield event

    async def _stream(
        self,
        job: Job,
        first: Told | JobEnd | None,
        texts: AsyncIterator[Told | JobEnd | None],
        reply: Reply,
        wanted: WantedText,
    ) -> AsyncIterator[bytes]:
        """The events of an answer. A comment tells how many requests are before one that waits."""
        offset, is_open, piece = 0, False, first
        try:
            while True:
                if piece is None:
                    yield _waiting(self._desk.ahead(job))
                elif wanted.is_chat and not is_open:
                    is_open = True
                    yield reply.opening()
                if isinstance(piece, JobEnd):
                    yield reply.closing(piece, wanted.include_usage)
                    return
                if piece is not None and (piece.text or piece.chosen is not None):
                    yield reply.piece(piece, offset)
                    offset += len(piece.text)
                piece = await anext(texts)
        except ApiError as error:
            yield error_event(error)

    async def _whole(
        self, request: Request, texts: AsyncIterator[Told | JobEnd | None], reply: Reply
    ) -> Response:
        async def collect() -> Response:
            told: list[Told] = []
            async for piece in texts:
                if isinstance(piece, JobEnd):
                    return JSONResponse(reply.whole(told, piece))
                if piece is not None:
                    told.append(piece)
            raise AssertionError("a job without an end")

        answer = asyncio.ensure_future(collect())
        left = asyncio.ensure_future(_until_left(request))
        try:
            await asyncio.wait((answer, left), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            return Response(status_code=_CLIENT_LEFT)
        finally:
            for task in (answer, left):
                task.cancel()
            await asyncio.gather(answer, left, return_exceptions=True)


async def _until_left(request: Request) -> None:
    """Return when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises ApiError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(WRONG_TYPE, "expected Content-Type: application/json")
    try:
        body = json.loads(await request.body(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ApiError(BAD_REQUEST, "the body is no JSON", code="invalid_json") from None
    if not isinstance(body, dict):
        raise ApiError(BAD_REQUEST, "expected a JSON object", code="invalid_json")
    return body


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _waiting(ahead: int) -> bytes:
    return b": waiting, %d before\n\n" % ahead if ahead >= 0 else b": at work\n\n"


def _error_response(error: ApiError) -> Response:
    return JSONResponse(error.body(), error.status, error.headers)


async def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _error_response(error)


async def _answer_status(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {NOT_FOUND: "no such path", NOT_ALLOWED: "not with this method"}
    response = _error_response(ApiError(error.status_code, words.get(error.status_code, error.detail)))
    response.headers.update(error.headers or {})
    return response


async def _answer_failure(_: Request, error: Exception) -> Response:
    return _error_response(ApiError(FAILED, f"{type(error).__name__} in the server"))
