"""System calls on paths of the disc. Nothing on it can change: whatever would is refused with EROFS."""

from __future__ import annotations

from xenon.linux.arguments import Function, Int, Pointer, Size, UnsignedInt
from xenon.linux.files import DEVICES, Directory, File, OpenDevice, stat_of
from xenon.linux.io_calls import fstat
from xenon.linux.process import Process
from xenon.linux.uapi import AT_FDCWD, Error, GuestError

_AT_EMPTY_PATH = 0x1000
_WRITE_PERMISSION, _EXECUTE_PERMISSION = 2, 1


def open_(process: Process, path: Pointer, flags: Int, _mode: UnsignedInt) -> int:
    return openat(process, AT_FDCWD, path, flags, _mode)


def openat(process: Process, folder: Int, path: Pointer, flags: Int, _mode: UnsignedInt) -> int:
    name = process.path(path, folder)
    if name in DEVICES:
        return process.descriptors.add(OpenDevice(name, DEVICES[name]))
    return process.descriptors.add(process.disc.open(name, flags))


def stat(process: Process, path: Pointer, address: Pointer) -> int:
    process.space.write(address, stat_of(process.disc.find(process.path(path))))
    return 0


def newfstatat(process: Process, folder: Int, path: Pointer, address: Pointer, flags: Int) -> int:
    if flags & _AT_EMPTY_PATH and process.space.read(path, 1) == b"\0":
        return fstat(process, folder, address)
    process.space.write(address, stat_of(process.disc.find(process.path(path, folder))))
    return 0


def access(process: Process, path: Pointer, mode: Int) -> int:
    return faccessat(process, AT_FDCWD, path, mode)


def faccessat(process: Process, folder: Int, path: Pointer, mode: Int) -> int:
    node = process.disc.find(process.path(path, folder))
    if mode & _WRITE_PERMISSION:
        raise GuestError(Error.EROFS)
    if mode & _EXECUTE_PERMISSION and isinstance(node, File):
        raise GuestError(Error.EACCES)
    return 0


def faccessat2(process: Process, folder: Int, path: Pointer, mode: Int, _flags: Int) -> int:
    return faccessat(process, folder, path, mode)


def readlink(process: Process, path: Pointer, address: Pointer, size: Int) -> int:
    return readlinkat(process, AT_FDCWD, path, address, size)


def readlinkat(process: Process, folder: Int, path: Pointer, _address: Pointer, size: Int) -> int:
    if size <= 0:
        raise GuestError(Error.EINVAL)
    process.disc.find(process.path(path, folder))
    raise GuestError(Error.EINVAL)  # it is there and no link: the disc has none


def getcwd(process: Process, address: Pointer, size: Size) -> int:
    path = process.folder + b"\0"
    if len(path) > size:
        raise GuestError(Error.ERANGE)
    process.space.write(address, path)
    return len(path)


def chdir(process: Process, path: Pointer) -> int:
    folder = process.path(path)
    if not isinstance(process.disc.find(folder), Directory):
        raise GuestError(Error.ENOTDIR)
    process.folder = folder
    return 0


def read_only(_process: Process) -> int:
    raise GuestError(Error.EROFS)


CHANGES = (
    "creat", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rename", "renameat",
    "renameat2", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "chmod", "fchmod", "fchmodat",
    "chown", "lchown", "fchown", "fchownat", "truncate", "ftruncate", "fallocate", "utime", "utimes",
    "utimensat", "futimesat",
)  # fmt: skip
"""Calls that would change the disc."""

CALLS: dict[str, Function] = {
    "open": open_,
    "openat": openat,
    "stat": stat,
    "lstat": stat,
    "newfstatat": newfstatat,
    "access": access,
    "faccessat": faccessat,
    "faccessat2": faccessat2,
    "readlink": readlink,
    "readlinkat": readlinkat,
    "getcwd": getcwd,
    "chdir": chdir,
    **dict.fromkeys(CHANGES, read_only),
}
