"""A new file that appears under its name whole or not at all, whatever ends the program that writes it.

The bytes go to a temporary file beside the target, which takes the target's place at the end. The temporary
file is locked while its writer lives. So an unlocked one belongs to a writer that was killed, on this
computer or another, and the next writer in the folder removes it.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from xenon.host.files import create_locked, hold, put_in_place, remove_unlocked, take_rights

_TEMPORARY = re.compile(r"\.xenon-\d+-[0-9a-f]{16}\.part")


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
        self._backup_lock = -1
        self._temporary = _temporary_name(self._place.parent)
        self._descriptor = -1

    def create(self) -> None:
        """Make the temporary file. Whoever calls this sees to it that `close` is called, even if it fails."""
        remove_leftovers(self._place.parent)
        while self._descriptor < 0:
            try:
                self._descriptor = create_locked(self._temporary)
            except BlockingIOError:
                self._temporary = _temporary_name(self._place.parent)
        if self._replace:
            with contextlib.suppress(FileNotFoundError):
                take_rights(self._descriptor, self._place.stat())

    def write(self, data: bytes | memoryview) -> None:
        """Append these bytes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def publish(self) -> None:
        """Put the file in its place, whole."""
        self._had_old = self._replace and self._place.exists()
        put_in_place(self._descriptor, self._temporary, self._place, self._replace)

    def keep_old(self) -> None:
        """Hold what `publish` replaces, for `retract`. Where that cannot be, the new file stays."""
        with contextlib.suppress(OSError):
            self._backup_lock = hold(self._place)  # or it is taken for a leftover
            backup = _temporary_name(self._place.parent)
            backup.hardlink_to(self._place)
            self._backup = backup

    def retract(self) -> None:
        """Undo `publish`, whether or not it has happened: put back the old file if it was kept, or leave none
        if there was none."""
        is_ours = _is_file(self._place, self._descriptor)
        self._close_descriptors()  # Windows moves and removes no file that is open
        with contextlib.suppress(OSError):
            if self._backup is not None:
                self._backup.replace(self._place)
            elif not self._had_old and is_ours:
                self._place.unlink()

    def close(self) -> None:
        """Remove what is left beside the target."""
        self._close_descriptors()
        for path in (self._temporary, self._backup):
            with contextlib.suppress(OSError):
                if path is not None:
                    path.unlink(missing_ok=True)

    def _close_descriptors(self) -> None:
        descriptors = self._descriptor, self._backup_lock
        self._descriptor = self._backup_lock = -1
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                if descriptor >= 0:
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


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_leftover(Path(entry.path))


def _remove_leftover(path: Path) -> None:
    with contextlib.suppress(OSError):  # a writer lives, or the folder does not allow it
        remove_unlocked(path)


def _temporary_name(folder: Path) -> Path:
    return folder / f".xenon-{os.getpid()}-{os.urandom(8).hex()}.part"


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False
