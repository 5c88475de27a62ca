"""Files as the system has them: opening, reading at an offset, locks, exchange, and who may write."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AnyPath = str | os.PathLike[str]
_FIRST_OF_SOCKETS = 10000
"""From here on Windows' numbers are those of Winsock, for which C has no words."""

if sys.platform == "win32":
    from xenon.host.windows_files import (
        create_locked,
        hold,
        lock,
        open_to_read,
        put_in_place,
        read_at,
        remove_unlocked,
        take_rights,
    )

    _BINARY, _NO_LINK, _NO_WAIT = os.O_BINARY, 0, 0
else:
    import fcntl

    _BINARY, _NO_LINK, _NO_WAIT = 0, os.O_NOFOLLOW, os.O_NONBLOCK
    _NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
    _PERMISSIONS = 0o777

    def open_to_read(path: AnyPath) -> int:
        """A descriptor of a file, without waiting for what it is: a pipe may have no writer. Raises OSError,
        ValueError; IsADirectoryError for a folder where the system opens none."""
        return os.open(path, os.O_RDONLY | _NO_WAIT)

    def read_at(descriptor: int, buffer: memoryview, offset: int) -> int:
        """Read into the buffer from an offset: how many bytes came, 0 at the end. From any thread."""
        return os.preadv(descriptor, [buffer], offset)

    def create_locked(path: Path) -> int:
        """A descriptor of a new file, locked while it is open. Raises FileExistsError, and BlockingIOError
        where another process has seen the file before it was locked: it may remove it."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            removed = os.fstat(descriptor).st_nlink == 0
        except BlockingIOError:
            removed = True
        except OSError:  # no locks here, so nobody takes it for a leftover
            removed = False
        if removed:
            os.close(descriptor)
            raise BlockingIOError(errno.EAGAIN, "another process has the lock", str(path))
        return descriptor

    def remove_unlocked(path: Path) -> None:
        """Remove a file that no process has locked. Raises OSError for one that a process has."""
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT | _NO_LINK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)

    def hold(path: Path) -> int:
        """A descriptor that keeps `remove_unlocked` from a file, -1 where the system has no such thing."""
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def put_in_place(descriptor: int, path: Path, target: Path, replace: bool) -> None:
        """Give the file `path`, which `create_locked` made, another name. Raises FileExistsError for a target
        that is there unless it is to be replaced."""
        os.close(os.dup(descriptor))  # may report a write that failed late
        if replace:
            path.replace(target)
            return
        try:
            target.hardlink_to(path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _put_in_place_without_links(path, target)

    def _put_in_place_without_links(path: Path, target: Path) -> None:
        """An empty file, which only one writer can make, holds the place until the rename."""
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        try:
            path.replace(target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def take_rights(descriptor: int, status: os.stat_result) -> None:
        """Give the file the owner and the rights of another, as far as the system lets its user."""
        with contextlib.suppress(OSError):  # only root gives files away
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & _PERMISSIONS)

    def lock(descriptor: int) -> None:
        """Lock a file until it is closed. Raises BlockingIOError while another process has the lock."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def reason(error: OSError | ValueError) -> str:
    """What the system says of an error, in lower case and without its number: `no such file or directory`.
    Windows has two ways to say that; C's is the one."""
    number = getattr(error, "errno", None) or 0
    is_windows = 0 < (getattr(error, "winerror", None) or 0) < _FIRST_OF_SOCKETS
    if is_windows and number in errno.errorcode and number != errno.EINVAL:  # which stands for all others
        return os.strerror(number).lower()
    return (getattr(error, "strerror", None) or str(error)).lower()


def open_device(path: AnyPath) -> int:
    """A descriptor to write to a device, or to a pipe that somebody reads. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | _BINARY | _NO_WAIT)
    let_wait(descriptor)
    return descriptor


def let_wait(descriptor: int) -> None:
    """Let calls wait for a pipe that was opened without waiting. On Windows they always do."""
    if sys.platform != "win32":
        os.set_blocking(descriptor, True)


def open_private(path: AnyPath) -> int:
    """A descriptor to read and write a file that only the user may read, made if it is not there; no link is
    followed. Raises OSError."""
    if _NO_LINK == 0 and Path(path).is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK | _BINARY, 0o600)


def is_users(status: os.stat_result) -> bool:
    """Whether the user owns it. On Windows always: there the rights of the folder around it decide."""
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def others_may_write(status: os.stat_result) -> bool:
    """Whether somebody else may change it. On Windows never, see `is_users`."""
    return sys.platform != "win32" and bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


class OpenFolder:
    """A folder that stays the same one while it is open, where the system can open folders; no method follows
    a link. Every method may raise OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        if sys.platform != "win32":
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NO_WAIT)
        else:
            os.scandir(path).close()  # whether it is a folder

    def status(self) -> os.stat_result:
        """The folder's own."""
        return self._path.stat() if self._descriptor is None else os.fstat(self._descriptor)

    def status_of(self, name: str) -> os.stat_result:
        """Of what has this name."""
        return os.stat(self._place(name), dir_fd=self._descriptor, follow_symlinks=False)

    def open_to_read(self, name: str) -> int:
        """A descriptor of a file."""
        flags = os.O_RDONLY | _NO_WAIT | _NO_LINK | _BINARY
        return os.open(self._place(name), flags, dir_fd=self._descriptor)

    def touch(self, name: str, descriptor: int) -> None:
        """The file, which is open, was used now."""
        os.utime(self._place(name) if self._descriptor is None else descriptor)

    def create(self, name: str) -> int:
        """A descriptor to write a new file that is the user's alone."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
        return os.open(self._place(name), flags, 0o600, dir_fd=self._descriptor)

    def rename(self, name: str, target: str) -> None:
        """Let a file take the place of another."""
        places = self._place(name), self._place(target)
        os.replace(*places, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(self._place(name), dir_fd=self._descriptor)

    @contextmanager
    def entries(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        """What is in it."""
        with os.scandir(self._path if self._descriptor is None else self._descriptor) as entries:
            yield entries

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _place(self, name: str) -> str:
        return name if self._descriptor is not None else str(self._path / name)


__all__ = [
    "OpenFolder",
    "create_locked",
    "hold",
    "is_users",
    "let_wait",
    "lock",
    "open_device",
    "open_private",
    "open_to_read",
    "others_may_write",
    "put_in_place",
    "read_at",
    "reason",
    "remove_unlocked",
    "take_rights",
]
