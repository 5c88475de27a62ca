"""Compiled code on disk, in the user's cache folder: checksummed, written atomically, bounded in size.

A file is a line of magic, the SHA-256 of key and content, and the content. What it holds is executed: the
folder and its files must belong to the user, and nobody else may write to them. Any other file is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from xenon.host.files import OpenFolder, is_users, others_may_write
from xenon.notes import note
from xenon.user_cache import user_cache

_MAGIC = b"xenon-llm code 2\n"
_DIGEST_BYTES = 32
_HEAD_BYTES = len(_MAGIC) + _DIGEST_BYTES
MOST_BYTES = 64 * 1024 * 1024
MOST_BYTES_OF_FILE = 8 * 1024 * 1024
_NAME = re.compile(r"[a-z]+_[0-9a-f]+\.code|\.new-[0-9a-f]{16}")


def cache_folder() -> Path | None:
    """The folder `code` of the user's cache folder; None for a user without a home."""
    base = user_cache()
    return None if base is None else base / "code"


class Usage(NamedTuple):
    """Files in the cache, and their size in bytes."""

    files: int
    size: int


class CodeCache:
    """Bytes by key, a word, `_`, and hexadecimal digits. A folder that cannot be used is an empty cache,
    never an error: one that is not the user's alone comes with a note."""

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self.folder = cache_folder() if folder is None else folder
        """None for a user without a home: nothing is kept."""
        self._most = most_bytes

    def get(self, key: str) -> bytes | None:
        """What `put` stored; None if it is missing, unreadable, damaged, or not the user's alone."""
        with self._opened() as folder:
            data = None if folder is None else self._read(folder, _file_name(key))
        if data is None or data[:_HEAD_BYTES] != _head(key, data[_HEAD_BYTES:]):
            return None
        return data[_HEAD_BYTES:]

    def put(self, key: str, data: bytes) -> None:
        """Store, and delete the least recently used files beyond the size that is allowed."""
        if self.folder is None or len(data) > MOST_BYTES_OF_FILE - _HEAD_BYTES:
            return
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._opened() as folder:
                if folder is not None and self._may_write(folder, _file_name(key)):
                    _write(folder, _file_name(key), _head(key, data) + data)
                    self._trim(folder)

    def usage(self) -> Usage:
        """What the cache holds."""
        with self._opened() as folder:
            sizes = [] if folder is None else [size for _, size, _ in _files(folder)]
        return Usage(len(sizes), sum(sizes))

    def clear(self) -> Usage:
        """Delete the cache's own files; returns what that was. Raises OSError for a file that cannot be
        deleted."""
        with self._opened() as folder:
            if folder is None:
                return Usage(0, 0)
            files = _files(folder)
            for _, _, name in files:
                try:
                    folder.remove(name)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(self._path(name))) from error
        return Usage(len(files), sum(size for _, size, _ in files))

    def _path(self, name: str) -> Path:
        return (self.folder or Path()) / name

    @contextmanager
    def _opened(self) -> Iterator[OpenFolder | None]:
        """The folder, None where there is none or it is not the user's alone."""
        folder = None
        try:
            if self.folder is not None:
                with contextlib.suppress(OSError):
                    folder = OpenFolder(self.folder)
            is_safe = folder is not None and self._is_users_alone(folder.status(), self._path(""))
            yield folder if is_safe else None
        finally:
            if folder is not None:
                folder.close()

    def _read(self, folder: OpenFolder, name: str) -> bytes | None:
        """A whole file; None for one that is missing, too long, or not the user's alone."""
        try:
            if not self._is_own_file(folder.status_of(name), name):
                return None
            with os.fdopen(folder.open_to_read(name), "rb") as file:
                status = os.fstat(file.fileno())  # nobody can exchange the file any more
                if not self._is_own_file(status, name) or status.st_size > MOST_BYTES_OF_FILE:
                    return None
                with contextlib.suppress(OSError):
                    folder.touch(name, file.fileno())  # the oldest go first
                return file.read(MOST_BYTES_OF_FILE)
        except OSError:
            return None

    def _may_write(self, folder: OpenFolder, name: str) -> bool:
        """Whether there is no such file, or a file of the user's to replace."""
        try:
            return self._is_own_file(folder.status_of(name), name)
        except FileNotFoundError:
            return True

    def _is_own_file(self, status: os.stat_result, name: str) -> bool:
        if not stat.S_ISREG(status.st_mode):
            note(f"{self._path(name)}: no regular file, left alone; this code is compiled in each run")
            return False
        return self._is_users_alone(status, self._path(name))

    def _is_users_alone(self, status: os.stat_result, path: Path) -> bool:
        """Whether only the user can have written it; else there is a note."""
        if not is_users(status):
            note(f"{path}: belongs to another user, no compiled code is kept there")
            return False
        if others_may_write(status):
            note(f"{path}: others may write to it (chmod go-w), no compiled code is kept there")
            return False
        return True

    def _trim(self, folder: OpenFolder) -> None:
        files = _files(folder)
        total = sum(size for _, size, _ in files)
        for _, size, name in files:
            if total <= self._most:
                return
            _delete(folder, name)
            total -= size


def _file_name(key: str) -> str:
    return f"{key}.code"


def _head(key: str, data: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(key.encode() + b"\0" + data).digest()


def _write(folder: OpenFolder, name: str, data: bytes) -> None:
    part = f".new-{os.urandom(8).hex()}"
    handle = folder.create(part)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        folder.rename(part, name)
    except BaseException:
        _delete(folder, part)
        raise


def _delete(folder: OpenFolder, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        folder.remove(name)


def _files(folder: OpenFolder) -> list[tuple[float, int, str]]:
    """(time of last use, size, name) of the cache's own files in a folder, the oldest first."""
    files: list[tuple[float, int, str]] = []
    with folder.entries() as entries:
        for entry in entries:
            if not _NAME.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and is_users(status):
                    files.append((status.st_mtime, status.st_size, entry.name))
    return sorted(files)
