"""Writes files so that each appears whole or not at all, and several appear together or none does.

The bytes go to a temporary file beside the target, which is renamed at the end and removed on any error.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from loader.errors import LoaderCode, LoaderError
from loader.image import Image
from loader.source import reason

CHUNK = 1 << 20  # bytes read, swapped and written at a time; small enough to stay in the processor's cache
Progress = Callable[[int, int], None]  # bytes done, bytes in all


def check_target(target: Path, sources: Sequence[Path], force: bool) -> None:
    """Raises LoaderError unless `target` may be written: not over an input, not over a file unless forced."""
    elsewhere, refused = "name another file", LoaderCode.TARGET_REFUSED
    try:
        if any(_same(target, source) for source in sources):
            raise LoaderError(
                f"{target}: is the input itself, nothing is converted in place", elsewhere, refused
            )
        if target.exists():
            if not target.is_file():
                raise LoaderError(f"{target}: exists and is no regular file", elsewhere, refused)
            if not force:
                raise LoaderError(
                    f"{target}: exists already", f"overwrite it, or {elsewhere}", LoaderCode.TARGET_EXISTS
                )
        elif not target.parent.is_dir():
            raise LoaderError(f"{target}: the folder {target.parent} does not exist", "make it first")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise LoaderError(
                f"{target}: the folder {target.parent} cannot be written to", elsewhere, refused
            )
    except (OSError, ValueError) as error:
        raise LoaderError(f"{target}: {reason(error)}") from error


def write_images(outputs: Sequence[tuple[Image, Path]], progress: Progress | None = None) -> None:
    """Write every image to its path, or nothing at all; memory used is one chunk.

    Call `check_target` first: files in the way are replaced. Raises LoaderError if a file cannot be written.
    """
    total = sum(image.size for image, _ in outputs)
    done = 0
    made: list[tuple[Path, Path]] = []
    buffer = memoryview(mmap.mmap(-1, CHUNK))  # aligned to a page, which reading and writing are faster with
    try:
        for image, target in outputs:
            temporary = _sibling(target)
            made.append((temporary, target))
            for written in _write(image, temporary, buffer):
                done += written
                if progress is not None:
                    progress(done, total)
        _rename_all(made)
    except OSError as error:
        message = f"{made[-1][1]}: {reason(error)}, nothing was written"
        if error.errno == errno.ENOSPC:
            raise LoaderError(message, "make room, or name another folder", LoaderCode.DISC_FULL) from error
        raise LoaderError(message) from error
    finally:
        for temporary, _ in made:
            _remove(temporary)


def _write(image: Image, path: Path, buffer: memoryview) -> Iterator[int]:
    """Write a new file in chunks as large as `buffer`, yielding the bytes of each."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for offset in range(0, image.size, len(buffer)):
            chunk = buffer[: image.size - offset]
            image.read_into(offset, chunk)
            written = 0
            while written < len(chunk):
                written += os.write(descriptor, chunk[written:])
            yield written
    finally:
        os.close(descriptor)  # may report a write that failed late


def _rename_all(made: Sequence[tuple[Path, Path]]) -> None:
    """Rename every temporary file to its target; if one fails, put back what was there before."""
    undo: list[Callable[[], object]] = []
    backups: list[Path] = []
    try:
        for temporary, target in made:
            if len(made) > 1 and target.exists():
                backup = _sibling(target)
                backups.append(backup)
                with contextlib.suppress(OSError):  # no hard links here: then the new file stays on an error
                    backup.hardlink_to(target)
                    undo.append(partial(backup.replace, target))
            else:
                undo.append(partial(_remove, target))
            temporary.replace(target)
    except BaseException:
        for step in undo:
            with contextlib.suppress(OSError):
                step()
        raise
    finally:
        for backup in backups:
            _remove(backup)


def _sibling(target: Path) -> Path:
    return target.with_name(f".{os.urandom(8).hex()}.part")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _same(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file, through links of either kind."""
    try:
        return path.samefile(other)
    except FileNotFoundError:
        return False
