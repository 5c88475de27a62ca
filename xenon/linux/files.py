"""The disc: a tree of granted files, read-only, and the folder /tmp (see temporary.py). A path leads to one
of them or nowhere; no host path exists."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.gpu import GPU_REGISTERS
from xenon.hardware.memory_map import Range
from xenon.input_file import InputFile
from xenon.linux.uapi import (
    DIRECTORY_ENTRY_TYPES,
    MODE_DIRECTORY,
    MODE_FILE,
    MODE_TEMPORARY,
    MODE_WRITABLE_DIRECTORY,
    Error,
    GuestError,
    Open,
    pack_stat,
)


class Content(Protocol):
    """The bytes of a file on the disc, wherever they come from."""

    @property
    def size(self) -> int:
        """Length in bytes; that of a granted file does not change."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer with the bytes from `offset`; the caller keeps within `size`."""


class Bytes:
    """A file that is already in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = memoryview(self._data)[offset : offset + len(buffer)]


class HostFile:
    """A file of the host, opened once, read where it is asked for. Raises XenonError when it is not a
    readable file, or one of those in /proc, which do not say how long they are."""

    def __init__(self, path: Path | str) -> None:
        self._file = InputFile(path, "grant regular files, one by one")
        if self._file.size == 0 and self._file.head(1):
            raise XenonError(f"{path}: has bytes, but says that it has none", "copy it to another file first")

    @property
    def size(self) -> int:
        return self._file.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._file.read_into(offset, buffer)


DEVICES = {b"/dev/xenos": GPU_REGISTERS}
"""Paths under which programs find devices. They are no entries of the disc: nothing lists them."""


@dataclass(slots=True, eq=False)
class File:
    """A file. `uses` counts its name and the times that it is open, below /tmp."""

    content: Content
    inode: int
    uses: int = 1


@dataclass(slots=True, eq=False)
class Directory:
    """A folder: there because a granted file lies somewhere in it, or one that the program may change."""

    inode: int
    entries: dict[bytes, File | Directory] = field(default_factory=dict)
    writable: bool = False


@dataclass(slots=True)
class OpenFile:
    """An open file with the flags of open and its position in bytes; `lock` is held while a call uses and
    moves it."""

    path: bytes
    node: File
    flags: int = 0
    position: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class OpenDirectory:
    """An open folder, its entries as they were when the listing began, and how many were listed; `lock` as
    for a file."""

    path: bytes
    node: Directory
    listed: tuple[tuple[bytes, File | Directory], ...] = ()
    position: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class OpenDevice(NamedTuple):
    """An open device: mmap gives the addresses of its registers."""

    path: bytes
    window: Range


def normalise(path: bytes, folder: bytes = b"/") -> bytes:
    """The absolute form of a path as seen from `folder`: no `.`, no `..`, nothing above the root."""
    names: list[bytes] = []
    for name in (path if path.startswith(b"/") else folder + b"/" + path).split(b"/"):
        if name == b"..":
            del names[-1:]
        elif name not in (b"", b"."):
            names.append(name)
    return b"/" + b"/".join(names)


class Disc:
    """The tree of granted files and of what the program has made."""

    def __init__(self) -> None:
        self._root = Directory(1, {b"tmp": Directory(2, writable=True)})
        self._next_inode = 3
        self.lock = threading.RLock()
        """Held while what is below /tmp changes, or its contents are used."""
        self.temporary_nodes = 0
        """Files and folders that the program has made."""

    def add(self, guest_path: str | bytes, content: Content) -> None:
        """Grant a file under this path; a relative one starts at the root, where programs start too.

        Raises XenonError when the path is the root, is taken, or runs through a file.
        """
        path = normalise(os.fsencode(guest_path))
        *folders, name = path.strip(b"/").split(b"/")
        shown = os.fsdecode(path)
        if not name or b"\0" in path:
            raise XenonError(f"{shown!r} cannot be the name of a file on the disc")
        node = self._root
        for folder in folders:
            below = node.entries.setdefault(folder, Directory(self.next_inode()))
            if not isinstance(below, Directory):
                raise XenonError(f"{shown}: {os.fsdecode(folder)} is a file on the disc, not a folder")
            node = below
        if name in node.entries:
            raise XenonError(
                f"{shown}: granted twice",
                "give one of them another name",
                ErrorCode.GRANTED_TWICE,
                path=shown,
            )
        node.entries[name] = File(content, self.next_inode())

    def next_inode(self) -> int:
        """A number that no file has yet."""
        self._next_inode += 1
        return self._next_inode - 1

    def find(self, path: bytes) -> File | Directory:
        """What stands under an absolute path. Raises GuestError: ENOENT, or ENOTDIR where a file is in the
        way."""
        node: File | Directory = self._root
        for name in normalise(path).strip(b"/").split(b"/"):
            if not name:
                continue
            if not isinstance(node, Directory):
                raise GuestError(Error.ENOTDIR)
            if name not in node.entries:
                raise GuestError(Error.ENOENT)
            node = node.entries[name]
        return node

    def open(self, path: bytes, flags: int) -> OpenFile | OpenDirectory:
        """Open for reading. Raises GuestError: EROFS for writing to a granted file, EACCES to any other,
        ENOENT."""
        writes = bool(flags & (Open.WRITE_ONLY | Open.READ_WRITE | Open.CREATE | Open.TRUNCATE))
        try:
            node = self.find(path)
        except GuestError as error:
            raise GuestError(Error.EACCES if writes else error.error) from error
        if flags & Open.CREATE and flags & Open.EXCLUSIVE:
            raise GuestError(Error.EEXIST)
        if isinstance(node, Directory):
            if flags & (Open.WRITE_ONLY | Open.READ_WRITE):
                raise GuestError(Error.EISDIR)
            return OpenDirectory(path, node)
        if flags & Open.DIRECTORY:
            raise GuestError(Error.ENOTDIR)
        if flags & (Open.WRITE_ONLY | Open.READ_WRITE | Open.TRUNCATE):
            raise GuestError(Error.EROFS)
        return OpenFile(path, node)


def stat_of(node: File | Directory) -> bytes:
    """struct stat of a file or folder on the disc."""
    if isinstance(node, File):
        mode = MODE_FILE if isinstance(node.content, Bytes | HostFile) else MODE_TEMPORARY
        return pack_stat(mode, node.inode, node.content.size)
    return pack_stat(MODE_WRITABLE_DIRECTORY if node.writable else MODE_DIRECTORY, node.inode, 0)


def type_of(node: File | Directory) -> int:
    """The type in a directory entry (DT_DIR or DT_REG)."""
    return DIRECTORY_ENTRY_TYPES[MODE_FILE if isinstance(node, File) else MODE_DIRECTORY]
