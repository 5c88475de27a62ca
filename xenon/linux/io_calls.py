"""System calls on descriptors: the terminal and files that are open."""

from __future__ import annotations

import struct
from collections.abc import Callable

from xenon.linux import wait_calls
from xenon.linux.files import OpenDevice, OpenDirectory, OpenFile, stat_of, type_of
from xenon.linux.process import MOST_DESCRIPTORS, Description, Process, TerminalEnd
from xenon.linux.terminal import STDIN
from xenon.linux.uapi import (
    IOV_MAX,
    IOVEC,
    MAX_TRANSFER,
    MODE_DEVICE,
    MODE_PIPE,
    MODE_TERMINAL,
    TERMINAL_DEVICE,
    TERMINAL_GET_ATTRIBUTES,
    TERMINAL_GET_WINDOW,
    WINSIZE,
    XENOS_DEVICE,
    Error,
    GuestError,
    Open,
    pack_stat,
    pack_terminal_attributes,
    signed,
)

_TERMINAL_CHUNK = 64 << 10  # the most bytes that the terminal moves in one piece

_SEEK_SET, _SEEK_CURRENT, _SEEK_END = 0, 1, 2
_DUPLICATE, _GET_FLAGS, _SET_FLAGS, _GET_STATUS, _SET_STATUS, _DUPLICATE_CLOSE_ON_EXEC = 0, 1, 2, 3, 4, 1030


def read(process: Process, descriptor: int, address: int, count: int) -> int:
    count = min(count, MAX_TRANSFER)
    found = process.description(descriptor)
    if isinstance(found, OpenFile):
        done = pread64(process, descriptor, address, count, found.position)
        found.position += done
        return done
    if isinstance(found, OpenDirectory):
        raise GuestError(Error.EISDIR)
    if isinstance(found, OpenDevice) or found.stream != STDIN:
        raise GuestError(Error.EBADF)
    count = min(count, _TERMINAL_CHUNK)
    process.space.check_writable(address, count)
    data = process.terminal.read(count, process.cancelled)
    process.space.write(address, data)
    return len(data)


def pread64(process: Process, descriptor: int, address: int, count: int, offset: int) -> int:
    node = process.file(descriptor).node
    if signed(offset) < 0:
        raise GuestError(Error.EINVAL)
    count = max(0, min(count, MAX_TRANSFER, node.content.size - offset))
    if count:
        with process.space.writing(address, count) as target:
            node.content.read_into(offset, target)
    return count


def readv(process: Process, descriptor: int, vector: int, count: int) -> int:
    done = 0
    for address, size in _pieces(process, vector, count):
        if size == 0:
            continue
        found = read(process, descriptor, address, size)
        done += found
        if found < size:
            break
    return done


def write(process: Process, descriptor: int, address: int, count: int) -> int:
    stream = _output(process, descriptor)
    data = process.space.view(address, min(count, MAX_TRANSFER))
    _write_out(process, stream, data)
    return len(data)


def writev(process: Process, descriptor: int, vector: int, count: int) -> int:
    stream = _output(process, descriptor)
    gathered, done = b"", 0
    for address, size in _pieces(process, vector, count):
        data = process.space.view(address, min(size, MAX_TRANSFER - done))
        done += len(data)
        if len(gathered) + len(data) <= _TERMINAL_CHUNK:
            gathered += data
            continue
        _write_out(process, stream, memoryview(gathered))
        _write_out(process, stream, data)
        gathered = b""
    _write_out(process, stream, memoryview(gathered))
    return done


def pwrite64(process: Process, descriptor: int, _address: int, _count: int, _offset: int) -> int:
    process.file(descriptor)
    raise GuestError(Error.EBADF)


def close(process: Process, descriptor: int) -> int:
    process.description(descriptor)
    del process.descriptors[signed(descriptor, 32)]
    return 0


def lseek(process: Process, descriptor: int, offset: int, origin: int) -> int:
    found = process.description(descriptor)
    if isinstance(found, TerminalEnd | OpenDevice):
        raise GuestError(Error.ESPIPE)
    size = found.node.content.size if isinstance(found, OpenFile) else 0
    starts = {_SEEK_SET: 0, _SEEK_CURRENT: found.position, _SEEK_END: size}
    if origin not in starts or not 0 <= starts[origin] + signed(offset) < 1 << 63:
        raise GuestError(Error.EINVAL)
    found.position = starts[origin] + signed(offset)
    return found.position


def _llseek(process: Process, descriptor: int, high: int, low: int, result: int, origin: int) -> int:
    offset = (high & 0xFFFF_FFFF) << 32 | low & 0xFFFF_FFFF
    process.space.write(result, struct.pack(">q", lseek(process, descriptor, offset, origin)))
    return 0


def fstat(process: Process, descriptor: int, address: int) -> int:
    process.space.write(address, stat_of_description(process, process.description(descriptor)))
    return 0


def stat_of_description(process: Process, found: Description) -> bytes:
    """struct stat of an open descriptor."""
    if isinstance(found, TerminalEnd):
        if found.stream in process.terminal.windows:
            return pack_stat(MODE_TERMINAL, 1 << 32, 0, TERMINAL_DEVICE)
        return pack_stat(MODE_PIPE, 1 << 32, 0)
    if isinstance(found, OpenDevice):
        return pack_stat(MODE_DEVICE, 1 << 32, 0, XENOS_DEVICE)
    return stat_of(found.node)


def getdents64(process: Process, descriptor: int, address: int, size: int) -> int:
    found = process.description(descriptor)
    if not isinstance(found, OpenDirectory):
        raise GuestError(Error.ENOTDIR)
    entries = [(b".", found.node), (b"..", found.node), *found.node.entries.items()]
    data = b""
    for name, node in entries[found.position :]:
        length = (19 + len(name) + 1 + 7) & ~7  # inode, offset, length, type, name and its zero
        if len(data) + length > size:
            if not data:
                raise GuestError(Error.EINVAL)
            break
        head = struct.pack(">QqHB", node.inode, found.position + 1, length, type_of(node))
        data += (head + name).ljust(length, b"\0")
        found.position += 1
    process.space.write(address, data)
    return len(data)


def ioctl(process: Process, descriptor: int, request: int, address: int) -> int:
    found = process.description(descriptor)
    window = process.terminal.windows.get(found.stream) if isinstance(found, TerminalEnd) else None
    if window is None:
        raise GuestError(Error.ENOTTY)
    if request == TERMINAL_GET_WINDOW:
        process.space.write(address, WINSIZE.pack(*window, 0, 0))
    elif request == TERMINAL_GET_ATTRIBUTES:
        process.space.write(address, pack_terminal_attributes())
    else:
        raise GuestError(Error.ENOTTY)
    return 0


def fcntl(process: Process, descriptor: int, command: int, argument: int) -> int:
    found = process.description(descriptor)
    if command in (_DUPLICATE, _DUPLICATE_CLOSE_ON_EXEC):
        if argument >= MOST_DESCRIPTORS:
            raise GuestError(Error.EINVAL)
        return process.new_descriptor(found, argument)
    if command == _GET_STATUS:
        return Open.READ_WRITE if isinstance(found, TerminalEnd) else 0
    if command in (_GET_FLAGS, _SET_FLAGS, _SET_STATUS):
        return 0
    raise GuestError(Error.EINVAL)


def dup(process: Process, descriptor: int) -> int:
    return process.new_descriptor(process.description(descriptor))


def dup2(process: Process, descriptor: int, wanted: int) -> int:
    found = process.description(descriptor)
    wanted = signed(wanted, 32)
    if not 0 <= wanted < MOST_DESCRIPTORS:
        raise GuestError(Error.EBADF)
    process.descriptors[wanted] = found
    return wanted


def dup3(process: Process, descriptor: int, wanted: int, _flags: int) -> int:
    if signed(descriptor, 32) == signed(wanted, 32):
        raise GuestError(Error.EINVAL)
    return dup2(process, descriptor, wanted)


def _write_out(process: Process, stream: int, data: memoryview) -> None:
    """All of it, in pieces that the reader can follow."""
    for start in range(0, len(data), _TERMINAL_CHUNK):
        process.terminal.write(stream, bytes(data[start : start + _TERMINAL_CHUNK]))


def _output(process: Process, descriptor: int) -> int:
    found = process.description(descriptor)
    if not isinstance(found, TerminalEnd) or found.stream == STDIN:
        raise GuestError(Error.EBADF)
    return found.stream


def _pieces(process: Process, vector: int, count: int) -> list[tuple[int, int]]:
    """(address, size) of each buffer of a vector."""
    if count > IOV_MAX:
        raise GuestError(Error.EINVAL)
    pieces = list(IOVEC.iter_unpack(process.space.read(vector, count * IOVEC.size)))
    if sum(size for _, size in pieces) >= 1 << 63:
        raise GuestError(Error.EINVAL)
    return pieces


CALLS: dict[str, Callable[..., int]] = {
    call.__name__: call
    for call in (
        read, pread64, readv, write, writev, pwrite64, close, lseek, _llseek, fstat, getdents64, ioctl, fcntl,
        dup, dup2, dup3,
    )
} | wait_calls.CALLS  # fmt: skip
