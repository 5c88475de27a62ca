"""The Windows half of files.py: sharing modes in place of locks, and a rename of the file that is open.

Source: Microsoft's documentation of CreateFileW, SetFileInformationByHandle and FILE_RENAME_INFO.
"""

from __future__ import annotations

import ctypes
import errno
import io
import msvcrt
import os
import sys
import threading
from ctypes import wintypes
from pathlib import Path

assert sys.platform == "win32"

_GENERIC_WRITE, _DELETE, _READ_ATTRIBUTES = 0x4000_0000, 0x1_0000, 0x80
_SHARE_READ, _CREATE_NEW, _NORMAL = 1, 1, 0x80
_FILE_RENAME_INFO = 3  # FILE_INFO_BY_HANDLE_CLASS
_LONGEST = 247  # characters of a path that every call takes
_LOCKED_BYTE = 0x7FFF_0000  # behind all that a lock's file holds: what is locked cannot be read

_kernel = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel.CreateFileW.restype = wintypes.HANDLE
_kernel.CreateFileW.argtypes = (
    *(wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, wintypes.LPVOID),
    *(wintypes.DWORD, wintypes.DWORD, wintypes.HANDLE),
)
_kernel.SetFileInformationByHandle.argtypes = (
    *(wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD),
)
_NO_HANDLE = wintypes.HANDLE(-1).value
_reading = threading.Lock()


class _RenameInfo(ctypes.Structure):
    """FILE_RENAME_INFO, up to the name."""

    _fields_ = (
        ("replace_if_exists", wintypes.DWORD),
        ("root_directory", wintypes.HANDLE),
        ("name_bytes", wintypes.DWORD),
    )


def _long(path: str | os.PathLike[str]) -> str:
    """The path in the form that may be longer than 260 characters, if it has to be."""
    whole = str(Path(path).absolute())
    if len(whole) <= _LONGEST or whole.startswith("\\\\"):
        return os.fspath(path)
    return f"\\\\?\\{whole}"


def open_to_read(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(_long(path), os.O_RDONLY | os.O_BINARY)
    except PermissionError:
        if Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory", os.fspath(path)) from None
        raise


def read_at(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Windows moves the place where the next read begins, even where a call names an offset."""
    with _reading:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return io.FileIO(descriptor, closefd=False).readinto(buffer) or 0
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)


def create_locked(path: Path) -> int:
    """Nobody else may write to it, rename it or remove it while it is open."""
    rights = _GENERIC_WRITE | _DELETE | _READ_ATTRIBUTES
    handle = _kernel.CreateFileW(_long(path), rights, _SHARE_READ, None, _CREATE_NEW, _NORMAL, None)
    if handle == _NO_HANDLE:
        raise _error(path)
    return msvcrt.open_osfhandle(handle, os.O_BINARY | os.O_NOINHERIT)


def remove_unlocked(path: Path) -> None:
    path.unlink()


def hold(path: Path) -> int:
    """The file that has this name could not be replaced while it is open."""
    return -1


def put_in_place(descriptor: int, path: Path, target: Path, replace: bool) -> None:
    name = _long(target.absolute()).encode("utf-16-le")
    start = _RenameInfo.name_bytes.offset + _RenameInfo.name_bytes.size
    buffer = ctypes.create_string_buffer(max(start + len(name) + 2, ctypes.sizeof(_RenameInfo)))
    info = _RenameInfo.from_buffer(buffer)
    info.replace_if_exists, info.name_bytes = replace, len(name)
    ctypes.memmove(ctypes.addressof(buffer) + start, name, len(name))
    handle = msvcrt.get_osfhandle(descriptor)
    if not _kernel.SetFileInformationByHandle(handle, _FILE_RENAME_INFO, buffer, len(buffer)):
        raise _error(target)


def take_rights(descriptor: int, status: os.stat_result) -> None:
    """A file has the rights of its folder."""


def lock(descriptor: int) -> None:
    os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(errno.EAGAIN, "another process has the lock") from error
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)


def _error(path: Path) -> OSError:
    """What went wrong last; Python finds the subclass and the words."""
    number = ctypes.get_last_error()
    return OSError(None, ctypes.FormatError(number).rstrip(), str(path), number)
