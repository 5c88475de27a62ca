"""Writes files so that each appears whole or not at all, and several appear together or none does."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from loader.errors import LoaderCode, LoaderError
from loader.image import Image
from loader.new_file import NewFile, destination
from xenon.host.files import reason

CHUNK = 1 << 20  # bytes read, swapped and written at a time; small enough to stay in the processor's cache
Progress = Callable[[int, int], None]  # bytes done, bytes in all
_ELSEWHERE = "name another file"


def check_target(target: Path, sources: Sequence[Path], force: bool) -> None:
    """Raises LoaderError unless `target` may be written: not over an input, not over a file unless forced.

    A link is written through; one that leads to no file is refused.
    """
    try:
        if any(_same(target, source) for source in sources):
            raise _refused(f"{target}: is the input itself, nothing is converted in place")
        if target.exists():
            if not target.is_file():
                raise _refused(f"{target}: exists and is no regular file")
            if not force:
                raise _exists(target)
        elif target.is_symlink():
            raise _refused(f"{target}: is a link to {target.readlink()}, which does not exist")
        elif not target.parent.is_dir():
            raise LoaderError(f"{target}: the folder {target.parent} does not exist", "make it first")
        folder = destination(target).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _refused(f"{target}: the folder {folder} cannot be written to")
    except (OSError, ValueError) as error:
        raise LoaderError(f"{target}: {reason(error)}") from error


def write_images(
    outputs: Sequence[tuple[Image, Path]], force: bool = False, progress: Progress | None = None
) -> None:
    """Write every image to its path, or nothing at all; memory used is one chunk.

    Call `check_target` first. Files in the way are replaced if forced, and keep their permissions. Raises
    LoaderError if a file cannot be written, or if a source changes while it is read.
    """
    total = sum(image.size for image, _ in outputs)
    done = 0
    buffer = memoryview(mmap.mmap(-1, CHUNK))  # aligned to a page, which reading and writing are faster with
    target = Path()
    with ExitStack() as stack:
        try:
            files: list[tuple[NewFile, Path]] = []
            for image, target in outputs:
                file = NewFile(target, force)
                stack.push(file)  # before there is something to remove
                file.create()
                files.append((file, target))
                for written in _write(image, file, buffer):
                    done += written
                    if progress is not None:
                        progress(done, total)
            for image, _ in outputs:
                image.check_unchanged()
            _publish_all(files)
        except OSError as error:
            message = f"{target}: {reason(error)}, nothing was written"
            if error.errno == errno.ENOSPC:
                raise LoaderError(
                    message, "make room, or name another folder", LoaderCode.DISC_FULL
                ) from error
            raise LoaderError(message) from error


def _write(image: Image, file: NewFile, buffer: memoryview) -> Iterator[int]:
    """Write an image in chunks as large as `buffer`, yielding the bytes of each."""
    for offset in range(0, image.size, len(buffer)):
        chunk = buffer[: image.size - offset]
        image.read_into(offset, chunk)
        file.write(chunk)
        yield len(chunk)


def _publish_all(files: Sequence[tuple[NewFile, Path]]) -> None:
    """Publish every file; if one cannot be, put back what was there before."""
    changed: list[NewFile] = []
    try:
        for file, target in files:
            if len(files) > 1:
                file.keep_old()
            changed.append(file)
            try:
                file.publish()
            except FileExistsError:
                raise _exists(target) from None
    except BaseException:
        for file in changed:
            file.retract()
        raise


def _refused(message: str) -> LoaderError:
    return LoaderError(message, _ELSEWHERE, LoaderCode.TARGET_REFUSED)


def _exists(target: Path) -> LoaderError:
    return LoaderError(
        f"{target}: exists already", f"overwrite it, or {_ELSEWHERE}", LoaderCode.TARGET_EXISTS
    )


def _same(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file, through links of either kind."""
    try:
        return path.samefile(other)
    except FileNotFoundError:
        return False
