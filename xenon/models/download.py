"""Downloads a file over https: to known hosts only, goes on where it stopped, and keeps nothing unchecked."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from xenon.errors import XenonError, reason
from xenon.host.files import open_private

Progress = Callable[[int, int], None]

CHUNK = 1 << 20
TIMEOUT = 60.0  # seconds without a byte
MOST_ATTEMPTS = 4  # in a row that bring nothing
PAUSE = 1.0  # seconds before the next
_MOST_SHOWN = 200  # characters of an address in a message
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AGAIN = "pull it again: the download goes on where it stopped"


@dataclass(frozen=True, slots=True)
class Web:
    """Which addresses may be asked. The fields are for tests: a program has no other web than this."""

    schemes: tuple[str, ...] = ("https",)
    hosts: tuple[str, ...] = ("pypi.org", "files.pythonhosted.org", "raw.githubusercontent.com")
    """Names of hosts, or the end of them where they begin with a dot."""
    hub_hosts: tuple[str, ...] = ("huggingface.co", ".huggingface.co", ".hf.co")
    simple_index: str = "https://pypi.org/simple"
    raw_files: str = "https://raw.githubusercontent.com"
    hub: str = "https://huggingface.co"

    def check(self, url: str) -> None:
        """Raises XenonError for an address that may not be asked."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").lower()
        except ValueError as error:
            raise XenonError(f"{printable(url)}: not an address") from error
        if parts.scheme not in self.schemes:
            raise XenonError(
                f"{printable(url)}: {parts.scheme or 'no scheme'}, expected {' or '.join(self.schemes)}"
            )
        names = (*self.hosts, *self.hub_hosts)
        if not any(host.endswith(name) if name.startswith(".") else host == name for name in names):
            raise XenonError(f"{printable(url)}: the host {printable(host)} is none that models come from")

    def open(self, url: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """A response; raises what urllib raises, and XenonError for an address or a redirect elsewhere."""
        self.check(url)
        request = urllib.request.Request(url, headers={"User-Agent": "xenon-llm"} | (headers or {}))
        opener = urllib.request.build_opener(_Redirects(self))
        try:
            response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT)
        except ValueError as error:  # of a redirect that is no address
            raise XenonError(f"{printable(url)}: {printable(str(error))}") from error
        return response


@dataclass(frozen=True, slots=True)
class Remote:
    """A file to fetch: its address, its size in bytes and its SHA-256."""

    url: str
    size: int
    sha256: str


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where a request may go in the first place."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        self._web.check(newurl)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and urlsplit(newurl).hostname != urlsplit(req.full_url).hostname:
            request.remove_header("Authorization")
        return request


def read_page(web: Web, url: str, most: int, headers: dict[str, str] | None = None) -> bytes:
    """A short answer, at most so many bytes. Raises XenonError."""
    try:
        with web.open(url, headers) as response:
            data = response.read(most + 1)
    except (OSError, http.client.HTTPException) as error:
        raise XenonError(f"{printable(url)}: {_said(error)}", "is there a network?") from error
    if len(data) > most:
        raise XenonError(f"{printable(url)}: more than {most} bytes")
    return data


def download(web: Web, remote: Remote, target: Path, progress: Progress | None = None) -> None:
    """Fetch a file to `target`, from where an earlier attempt left it, and check it.

    What has arrived stays there when the connection or the user ends the download. What turns out to be
    wrong, and what a full disk cut off, is removed. Raises XenonError.
    """
    try:
        with _Partial(remote, target, progress) as partial:
            _fill(web, partial)
            digest = partial.sha256()
    except OSError as error:
        if error.errno in _NO_ROOM:
            target.unlink(missing_ok=True)
            raise XenonError(
                f"{target}: {reason(error)}, {remote.size:,} bytes are needed",
                "make room, then pull it again",
            ) from error
        raise XenonError(f"{target}: {reason(error)}") from error
    if digest != remote.sha256:
        target.unlink(missing_ok=True)
        raise XenonError(
            f"{printable(remote.url)}: SHA-256 {digest}, expected {remote.sha256}; it was thrown away",
            "the file is not the one that was to be fetched; a proxy may have changed it",
        )


class _Partial:
    """What there is of a file. Every method may raise OSError."""

    def __init__(self, remote: Remote, target: Path, progress: Progress | None) -> None:
        self.remote = remote
        self._progress = progress
        self._file = os.fdopen(open_private(target), "r+b")
        self.size = os.fstat(self._file.fileno()).st_size
        if self.size > remote.size:
            self.restart()
        self._file.seek(self.size)

    def restart(self) -> None:
        """Throw away what there is."""
        self._file.seek(0)
        self._file.truncate(0)
        self.size = 0

    def append(self, data: bytes) -> None:
        """The next bytes."""
        self._file.write(data)
        self._file.flush()
        self.size += len(data)
        if self._progress is not None:
            self._progress(self.size, self.remote.size)

    def sha256(self) -> str:
        """Of all that there is."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def __enter__(self) -> _Partial:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def _fill(web: Web, partial: _Partial) -> None:
    """Fetch what is missing, again after a connection that breaks; raises XenonError, OSError of the disk."""
    remote, fruitless = partial.remote, 0
    while partial.size < remote.size:
        before = partial.size
        problem = _fetch_some(web, partial)
        if partial.size == remote.size:
            return
        fruitless = 0 if partial.size > before else fruitless + 1
        if fruitless == MOST_ATTEMPTS:
            raise XenonError(
                f"{printable(remote.url)}: {problem} after {partial.size:,} of {remote.size:,} bytes", _AGAIN
            )
        if fruitless:
            time.sleep(PAUSE)


def _fetch_some(web: Web, partial: _Partial) -> str:
    """A request for the rest: why it ended early, if it did. Raises XenonError for what stays as it is."""
    remote = partial.remote
    headers = {"Range": f"bytes={partial.size}-", "Accept-Encoding": "identity"} if partial.size else {}
    try:
        response = web.open(remote.url, headers)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and partial.size:
                partial.restart()
                return "the server knows no such range"
            if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise XenonError(f"{printable(remote.url)}: {_said(error)}") from error
            return _said(error)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        return _said(error)
    with response:
        if response.status != HTTPStatus.PARTIAL_CONTENT and partial.size:
            partial.restart()
        _check_length(response, partial)
        while partial.size < remote.size:
            try:
                data = response.read(min(CHUNK, remote.size - partial.size))
            except (OSError, http.client.HTTPException) as error:
                return _said(error)
            if not data:
                return "the connection ended"
            partial.append(data)
    return ""


def _check_length(response: http.client.HTTPResponse, partial: _Partial) -> None:
    """Raises XenonError for an answer of another length, or another part, than what is missing."""
    remote = partial.remote
    missing = remote.size - partial.size
    length = response.headers.get("Content-Length")
    if length is not None and length != str(missing):
        raise XenonError(
            f"{printable(remote.url)}: the server announces {printable(length)} bytes, expected {missing}"
        )
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        part = response.headers.get("Content-Range", "")
        expected = f"bytes {partial.size}-{remote.size - 1}/{remote.size}"
        if part != expected:
            sent = printable(part) or "no range"
            raise XenonError(f"{printable(remote.url)}: the server sends {sent}, expected {expected}")


def _said(error: Exception) -> str:
    """What went wrong, in a few words of one line."""
    if isinstance(error, urllib.error.HTTPError):
        return printable(f"{error.code} {error.reason}".lower())
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended"
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    text = reason(inner) if isinstance(inner, OSError) else str(inner)
    return printable(text) or type(error).__name__


def printable(text: str) -> str:
    """A short text from outside that commands no terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_MOST_SHOWN])
