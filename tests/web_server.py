"""A web server on this computer that behaves as a test asks: ranges, lies, endings, redirects."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from xenon.models.download import Web


@dataclass
class Served:
    """A file and how it is served.

    `ends_after` has, for each request in turn, the bytes after which the connection ends; when it is used
    up, files come whole. `length` is what is announced instead of the truth, `range` the answer's part;
    `moved` an address that it redirects to; `status` an error. `with_ranges` says whether the server knows
    ranges.
    """

    data: bytes
    ends_after: list[int] = field(default_factory=list)
    length: int | None = None
    range: str | None = None
    moved: str | None = None
    status: int | None = None
    with_ranges: bool = True


@dataclass
class Site:
    """Files by path, and the requests that came: method, path, range."""

    files: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    address: str = ""

    @property
    def web(self) -> Web:
        """This site in place of every host."""
        hosts = ("127.0.0.1",)
        return Web(("http",), hosts, hosts, f"{self.address}/simple", f"{self.address}/raw", self.address)

    def add_project(self, project: str, name: str, data: bytes, **facts: object) -> Served:
        """A distribution, with its project's page; `facts` replace what the page says."""
        row: dict[str, object] = {
            "filename": name,
            "url": f"{self.address}/files/{name}",
            "size": len(data),
            "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
        }
        page = json.dumps({"files": [row | facts]}).encode()
        self.files[f"/simple/{project}/"] = Served(page)
        return self.files.setdefault(f"/files/{name}", Served(data))


@contextmanager
def serving() -> Iterator[Site]:
    """A site of its own; the server ends with the block."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer("HEAD")

        def do_GET(self) -> None:
            self._answer("GET")

        def _answer(self, method: str) -> None:
            asked = self.headers.get("Range")
            site.requests.append((method, self.path, asked))
            file = site.files.get(self.path)
            status = 404 if file is None else file.status
            if file is None or status is not None:
                self.send_response(status or 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if file.moved is not None:
                self.send_response(302)
                self.send_header("Location", file.moved)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            if asked is not None and file.with_ranges:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                part = f"bytes {start}-{len(file.data) - 1}/{len(file.data)}"
                self.send_header("Content-Range", part if file.range is None else file.range)
            else:
                self.send_response(200)
            rest = file.data[start:]
            self.send_header("Content-Length", str(len(rest) if file.length is None else file.length))
            self.send_header("ETag", f'"{hashlib.sha256(file.data).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            if method == "GET":
                most = file.ends_after.pop(0) if file.ends_after else len(rest)
                self.wfile.write(rest[:most])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
