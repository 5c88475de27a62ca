"""System calls on paths of the disc. Only what is below /tmp can change: the rest is refused with EROFS."""

from __future__ import annotations

from xenon.linux.arguments import Function, Int, Long, Pointer, Size, UnsignedInt
from xenon.linux.files import DEVICES, Directory, File, OpenDevice, stat_of
from xenon.linux.io_calls import fstat, writable
from xenon.linux.process import Process
from xenon.linux.temporary import (
    TemporaryContent,
    close_temporary,
    is_temporary,
    make_folder,
    open_temporary,
    remove,
    rename,
)
from xenon.linux.uapi import AT_FDCWD, Error, GuestError, Open

_AT_EMPTY_PATH = 0x1000
_REMOVE_FOLDER = 0x200  # AT_REMOVEDIR
_WRITE_PERMISSION, _EXECUTE_PERMISSION = 2, 1


def open_(process: Process, path: Pointer, flags: Int, _mode: UnsignedInt) -> int:
    return openat(process, AT_FDCWD, path, flags, _mode)


def openat(process: Process, folder: Int, path: Pointer, flags: Int, _mode: UnsignedInt) -> int:
    name = process.path(path, folder)
    if name in DEVICES:
        return process.descriptors.add(OpenDevice(name, DEVICES[name]))
    if not is_temporary(name):
        return process.descriptors.add(process.disc.open(name, flags))
    description = open_temporary(process.disc, process.space, name, flags)
    try:
        return process.descriptors.add(description)
    except GuestError:
        close_temporary(process.disc, description)
        raise


def creat(process: Process, path: Pointer, mode: UnsignedInt) -> int:
    flags = Open.CREATE | Open.WRITE_ONLY | Open.TRUNCATE
    if not is_temporary(process.path(path)):
        return read_only(process)
    return openat(process, AT_FDCWD, path, flags, mode)


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
    changes = node.writable if isinstance(node, Directory) else isinstance(node.content, TemporaryContent)
    if mode & _WRITE_PERMISSION and not changes:
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


def mkdir(process: Process, path: Pointer, mode: UnsignedInt) -> int:
    return mkdirat(process, AT_FDCWD, path, mode)


def mkdirat(process: Process, folder: Int, path: Pointer, _mode: UnsignedInt) -> int:
    make_folder(process.disc, process.path(path, folder))
    return 0


def unlink(process: Process, path: Pointer) -> int:
    return unlinkat(process, AT_FDCWD, path, 0)


def rmdir(process: Process, path: Pointer) -> int:
    return unlinkat(process, AT_FDCWD, path, _REMOVE_FOLDER)


def unlinkat(process: Process, folder: Int, path: Pointer, flags: Int) -> int:
    if flags & ~_REMOVE_FOLDER:
        raise GuestError(Error.EINVAL)
    remove(process.disc, process.path(path, folder), bool(flags))
    return 0


def rename_(process: Process, old: Pointer, new: Pointer) -> int:
    return renameat2(process, AT_FDCWD, old, AT_FDCWD, new, 0)


def renameat(process: Process, old_folder: Int, old: Pointer, new_folder: Int, new: Pointer) -> int:
    return renameat2(process, old_folder, old, new_folder, new, 0)


def renameat2(
    process: Process, old_folder: Int, old: Pointer, new_folder: Int, new: Pointer, flags: UnsignedInt
) -> int:
    if flags:
        raise GuestError(Error.EINVAL)
    rename(process.disc, process.path(old, old_folder), process.path(new, new_folder))
    return 0


def truncate(process: Process, path: Pointer, size: Long) -> int:
    node = process.disc.find(process.path(path))
    if isinstance(node, Directory):
        raise GuestError(Error.EISDIR)
    if not isinstance(node.content, TemporaryContent):
        raise GuestError(Error.EROFS)
    return _truncate(process, node.content, size)


def ftruncate(process: Process, descriptor: Int, size: Long) -> int:
    try:
        content = writable(process.descriptors.file(descriptor))
    except GuestError as error:
        raise GuestError(Error.EBADF if error.error is Error.EBADF else Error.EINVAL) from error
    return _truncate(process, content, size)


def _truncate(process: Process, content: TemporaryContent, size: int) -> int:
    if size < 0:
        raise GuestError(Error.EINVAL)
    with process.disc.lock:
        content.truncate(size)
    return 0


def fallocate(process: Process, descriptor: Int, mode: Int, offset: Long, size: Long) -> int:
    content = writable(process.descriptors.file(descriptor))
    if mode:
        raise GuestError(Error.EOPNOTSUPP)
    if offset < 0 or size <= 0:
        raise GuestError(Error.EINVAL)
    with process.disc.lock:
        content.truncate(max(content.size, offset + size))
    return 0


def chmod(process: Process, path: Pointer, _mode: UnsignedInt) -> int:
    """Rights and times of what is below /tmp are not kept."""
    return 0 if _temporary(process, path) else read_only(process)


def fchmodat(process: Process, folder: Int, path: Pointer, _mode: UnsignedInt) -> int:
    return 0 if _temporary(process, path, folder) else read_only(process)


def utimensat(process: Process, folder: Int, path: Pointer, _times: Pointer, _flags: Int) -> int:
    if path == 0:  # the descriptor itself
        return fchmod(process, folder, 0)
    return 0 if _temporary(process, path, folder) else read_only(process)


def fchmod(process: Process, descriptor: Int, _mode: UnsignedInt) -> int:
    content = process.descriptors.file(descriptor).node.content
    return 0 if isinstance(content, TemporaryContent) else read_only(process)


def _temporary(process: Process, path: int, folder: int = AT_FDCWD) -> bool:
    """Whether a path leads to something below /tmp. Raises GuestError: ENOENT, ENOTDIR for a missing one."""
    name = process.path(path, folder)
    if is_temporary(name):
        process.disc.find(name)
    return is_temporary(name)


def read_only(_process: Process) -> int:
    raise GuestError(Error.EROFS)


CHANGES = (
    "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "chown", "lchown", "fchown", "fchownat",
    "utime", "utimes", "futimesat",
)  # fmt: skip
"""Calls that change nothing anywhere on the disc."""

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
    "creat": creat,
    "rename": rename_,
    **{
        call.__name__: call
        for call in (
            mkdir,
            mkdirat,
            unlink,
            rmdir,
            unlinkat,
            renameat,
            renameat2,
            truncate,
            ftruncate,
            fallocate,
            chmod,
            fchmod,
            fchmodat,
            utimensat,
        )
    },
    **dict.fromkeys(CHANGES, read_only),
}
