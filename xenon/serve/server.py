"""A server: consoles, the queue before them and HTTP; in the foreground, or in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from xenon.errors import XenonError, reason
from xenon.host.streams import listen_again
from xenon.serve.app import Paths
from xenon.serve.desk import Desk
from xenon.serve.protocol import protocol_class
from xenon.serve.settings import ServeSettings
from xenon.serve.view import ConsoleView
from xenon.stories.loaded import LoadedModel
from xenon.stories.runnable import RunnableModel

_BACKLOG = 128
_GRACE = 3  # seconds that answers get to end


class HttpServer(uvicorn.Server):
    """uvicorn's server, which lets the jobs end first."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self._desk = desk

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        threading.Thread(target=self._desk.close, daemon=True).start()
        await super().shutdown(sockets)


class ApiServer:
    """Boots the consoles and listens; then `run` serves until a signal, or `stop` from another thread.

    Raises XenonError for an address that cannot be listened at, and what LoadedModel raises.
    """

    def __init__(self, runnable: RunnableModel, model: str, settings: ServeSettings) -> None:
        self._socket = _listening(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.address = f"http://{host}:{self._socket.getsockname()[1]}"
        try:
            loaded = [LoadedModel(runnable) for _ in range(settings.consoles)]
        except BaseException:
            self._socket.close()
            raise
        self.desk = Desk(runnable, loaded, settings.waiting)
        view = ConsoleView(model, runnable, self.desk)
        context = runnable.decision.context
        paths = Paths(model, context, self.desk, view, settings, int(time.time()))
        config = uvicorn.Config(
            paths.application(),
            http=protocol_class(settings.head_seconds, settings.connections),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = HttpServer(config, self.desk)

    def run(self) -> None:
        """Serve until SIGINT, SIGTERM or `stop`; the consoles are stopped then."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self.desk.close()

    def stop(self) -> None:
        """Let `run` return soon."""
        self._server.should_exit = True


@contextmanager
def serving(runnable: RunnableModel, model: str, settings: ServeSettings) -> Iterator[ApiServer]:
    """A server in a thread of its own, for as long as the block lasts."""
    server = ApiServer(runnable, model, settings)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def _listening(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        listen_again(opened)
        opened.bind((settings.host, settings.port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise XenonError(
            f"{settings.host}:{settings.port}: {reason(error)}", "listen at another port, or 0 for a free one"
        ) from error
    return opened
