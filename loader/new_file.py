"""A new file that appears under its name whole or not at all, whatever ends the program that writes it.

The bytes go to a temporary file beside the target, which takes the target's place at the end. The temporary
file is locked (flock) while its writer lives. So an unlocked one belongs to a writer that was killed, on this
computer or another, and the next writer in the folder removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from pathlib import Path

_PERMISSIONS = 0o777
_TEMPORARY = re.compile(r"\.xenon-\d+-[0-9a-f]{16}\.part")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)


def destination(target: Path) -> Path:
    """Where a file called `target` is written: where a link leads, as cp does.

    Raises OSError (FileNotFoundError) for a link that leads to no file, which cp refuses as well.
    """
    if target.is_symlink():
        return Path(
            os.path.realpath(target, strict=True)
        )  # Path.resolve has no OSError for a circle of links
    return target


class NewFile:
    """A file on its way to `target`. The `with` block creates it, and gives up what was not published.

    With `replace` it takes the place of a file there, with the permissions of that file; without, a file that
    is there, or comes to be there meanwhile, stays and `publish` raises FileExistsError. Every method may
    raise OSError.
    """

    def __init__(self, target: Path, replace: bool) -> None:
        self._place = destination(target)
        self._replace = replace
        self._had_old = False
        self._backup: Path | None = None
        self._backup_lock: int | None = None
        self._temporary = _temporary_name(self._place.parent)
        self._descriptor = -1

    def create(self) -> None:
        """Make the temporary file. Whoever calls this sees to it that `close` is called, even if it fails."""
        remove_leftovers(self._place.parent)
        while not self._make_locked():
            os.close(self._descriptor)
            self._temporary = _temporary_name(self._place.parent)
        if self._replace:
            self._take_permissions()

    def write(self, data: bytes | memoryview) -> None:
        """Append these bytes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def publish(self) -> None:
        """Put the file in its place, whole."""
        self._had_old = self._replace and self._place.exists()
        os.close(os.dup(self._descriptor))  # may report a write that failed late
        if self._replace:
            self._temporary.replace(self._place)
            return
        try:
            self._place.hardlink_to(self._temporary)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._publish_without_links()

    def keep_old(self) -> None:
        """Hold what `publish` replaces, for `retract`. Where that cannot be, the new file stays."""
        with contextlib.suppress(OSError):
            self._backup_lock = os.open(self._place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.flock(self._backup_lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # or it is taken for a leftover
            backup = _temporary_name(self._place.parent)
            backup.hardlink_to(self._place)
            self._backup = backup

    def retract(self) -> None:
        """Undo `publish`, whether or not it has happened: put back the old file if it was kept, or leave none
        if there was none."""
        with contextlib.suppress(OSError):
            if self._backup is not None:
                self._backup.replace(self._place)
            elif not self._had_old and _is_file(self._place, self._descriptor):
                self._place.unlink()

    def close(self) -> None:
        """Remove what is left beside the target."""
        for path in (self._temporary, self._backup):
            with contextlib.suppress(OSError):
                if path is not None:
                    path.unlink(missing_ok=True)
        for descriptor in (self._descriptor, self._backup_lock):
            with contextlib.suppress(OSError):
                if descriptor is not None and descriptor >= 0:
                    os.close(descriptor)

    def __enter__(self) -> NewFile:
        try:
            self.create()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _publish_without_links(self) -> None:
        """An empty file, which only one writer can make, holds the place until the rename."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(self._place, flags))
        try:
            self._temporary.replace(self._place)
        except BaseException:
            self._place.unlink(missing_ok=True)
            raise

    def _make_locked(self) -> bool:
        """Make the file; False if another writer saw it before it was locked, and removes it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._temporary, flags, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks here, so nobody takes it for a leftover
            return True
        return os.fstat(self._descriptor).st_nlink > 0

    def _take_permissions(self) -> None:
        try:
            status = self._place.stat()
        except FileNotFoundError:
            return
        with contextlib.suppress(OSError):  # only root gives files away
            os.fchown(self._descriptor, status.st_uid, status.st_gid)
        os.fchmod(self._descriptor, stat.S_IMODE(status.st_mode) & _PERMISSIONS)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_leftover(Path(entry.path))


def _remove_leftover(path: Path) -> None:
    with contextlib.suppress(OSError):  # a writer lives, or the folder does not allow it
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


def _temporary_name(folder: Path) -> Path:
    return folder / f".xenon-{os.getpid()}-{os.urandom(8).hex()}.part"


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False
