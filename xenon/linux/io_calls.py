"""System calls on descriptors: the terminal and files that are open."""

from __future__ import annotations

import struct
from contextlib import nullcontext

from xenon.linux.arguments import Function, Int, Long, Pointer, Size, UnsignedInt
from xenon.linux.descriptors import MOST_DESCRIPTORS, Description, TerminalEnd
from xenon.linux.files import OpenDevice, OpenDirectory, OpenFile, stat_of, type_of
from xenon.linux.process import Process
from xenon.linux.temporary import TemporaryContent, close_temporary
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


def read(process: Process, descriptor: Int, address: Pointer, count: Size) -> int:
    count = min(count, MAX_TRANSFER)
    description = process.descriptors.description(descriptor)
    if isinstance(description, OpenFile):
        if description.flags & Open.WRITE_ONLY:
            raise GuestError(Error.EBADF)
        with description.lock:
            done = _read_file(process, description, address, count, description.position)
            description.position += done
        return done
    if isinstance(description, OpenDirectory):
        raise GuestError(Error.EISDIR)
    if isinstance(description, OpenDevice) or description.stream != STDIN:
        raise GuestError(Error.EBADF)
    count = min(count, _TERMINAL_CHUNK)
    process.space.check_writable(address, count)
    data = process.terminal.read(count, process.stopping)
    process.space.write(address, data)
    return len(data)


def pread64(process: Process, descriptor: Int, address: Pointer, count: Size, offset: Long) -> int:
    file = process.descriptors.file(descriptor)
    if offset < 0:
        raise GuestError(Error.EINVAL)
    if file.flags & Open.WRITE_ONLY:
        raise GuestError(Error.EBADF)
    return _read_file(process, file, address, count, offset)


def _read_file(process: Process, file: OpenFile, address: int, count: int, offset: int) -> int:
    content = file.node.content
    with process.disc.lock if isinstance(content, TemporaryContent) else nullcontext():
        count = max(0, min(count, MAX_TRANSFER, content.size - offset))
        if count:
            with process.space.writing(address, count) as target:
                content.read_into(offset, target)
    return count


def readv(process: Process, descriptor: Int, vector: Pointer, count: Size) -> int:
    done = 0
    for address, size in _pieces(process, vector, count):
        if size == 0:
            continue
        part = read(process, descriptor, address, size)
        done += part
        if part < size:
            break
    return done


def write(process: Process, descriptor: Int, address: Pointer, count: Size) -> int:
    description = process.descriptors.description(descriptor)
    if isinstance(description, OpenFile):
        with description.lock:
            return _append_or_go_on(process, description, address, count)
    stream = _output(process, descriptor)
    data = process.space.view(address, min(count, MAX_TRANSFER))
    _write_out(process, stream, data)
    return len(data)


def _append_or_go_on(process: Process, file: OpenFile, address: int, count: int) -> int:
    """Write where the file stands, or at its end if it was opened so."""
    with process.disc.lock:
        if file.flags & Open.APPEND:
            file.position = file.node.content.size
        done = _write_file(process, file, address, count, file.position)
    file.position += done
    return done


def _write_file(process: Process, file: OpenFile, address: int, count: int, offset: int) -> int:
    content = writable(file)
    data = process.space.view(address, min(count, MAX_TRANSFER))
    with process.disc.lock:
        return content.write(offset, data)


def writable(file: OpenFile) -> TemporaryContent:
    """What may be changed of an open file. Raises GuestError(EBADF)."""
    content = file.node.content
    if not isinstance(content, TemporaryContent) or not file.flags & (Open.WRITE_ONLY | Open.READ_WRITE):
        raise GuestError(Error.EBADF)
    return content


def writev(process: Process, descriptor: Int, vector: Pointer, count: Size) -> int:
    file = process.descriptors.description(descriptor)
    if isinstance(file, OpenFile):
        with file.lock:
            done = 0
            for address, size in _pieces(process, vector, count):
                part = _append_or_go_on(process, file, address, size)
                done += part
                if part < size:
                    break
            return done
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


def pwrite64(process: Process, descriptor: Int, address: Pointer, count: Size, offset: Long) -> int:
    file = process.descriptors.file(descriptor)
    if offset < 0:
        raise GuestError(Error.EINVAL)
    return _write_file(process, file, address, count, offset)


def fsync(process: Process, descriptor: Int) -> int:
    """Nothing waits to be written."""
    if isinstance(process.descriptors.description(descriptor), TerminalEnd | OpenDevice):
        raise GuestError(Error.EINVAL)
    return 0


def fdatasync(process: Process, descriptor: Int) -> int:
    return fsync(process, descriptor)


def close(process: Process, descriptor: Int) -> int:
    if (closed := process.descriptors.close(descriptor)) is not None:
        close_temporary(process.disc, closed)
    return 0


def lseek(process: Process, descriptor: Int, offset: Long, origin: UnsignedInt) -> int:
    description = process.descriptors.description(descriptor)
    if isinstance(description, TerminalEnd | OpenDevice):
        raise GuestError(Error.ESPIPE)
    size = description.node.content.size if isinstance(description, OpenFile) else 0
    with description.lock:
        starts = {_SEEK_SET: 0, _SEEK_CURRENT: description.position, _SEEK_END: size}
        if origin not in starts or not 0 <= starts[origin] + offset < 1 << 63:
            raise GuestError(Error.EINVAL)
        description.position = starts[origin] + offset
        return description.position


def _llseek(
    process: Process,
    descriptor: Int,
    high: UnsignedInt,
    low: UnsignedInt,
    result: Pointer,
    origin: UnsignedInt,
) -> int:
    offset = signed(high << 32 | low)
    process.space.write(result, struct.pack(">q", lseek(process, descriptor, offset, origin)))
    return 0


def fstat(process: Process, descriptor: Int, address: Pointer) -> int:
    process.space.write(address, stat_of_description(process, process.descriptors.description(descriptor)))
    return 0


def stat_of_description(process: Process, description: Description) -> bytes:
    """struct stat of an open descriptor."""
    if isinstance(description, TerminalEnd):
        if description.stream in process.terminal.windows:
            return pack_stat(MODE_TERMINAL, 1 << 32, 0, TERMINAL_DEVICE)
        return pack_stat(MODE_PIPE, 1 << 32, 0)
    if isinstance(description, OpenDevice):
        return pack_stat(MODE_DEVICE, 1 << 32, 0, XENOS_DEVICE)
    return stat_of(description.node)


def getdents64(process: Process, descriptor: Int, address: Pointer, size: UnsignedInt) -> int:
    description = process.descriptors.description(descriptor)
    if not isinstance(description, OpenDirectory):
        raise GuestError(Error.ENOTDIR)
    with description.lock:
        data = _next_entries(description, size)
    process.space.write(address, data)
    return len(data)


def _next_entries(folder: OpenDirectory, size: int) -> bytes:
    """The next entries that fit into `size` bytes. Raises GuestError(EINVAL) if the first does not."""
    if folder.position == 0:
        folder.listed = ((b".", folder.node), (b"..", folder.node), *list(folder.node.entries.items()))
    data = b""
    for name, node in folder.listed[folder.position :]:
        length = (19 + len(name) + 1 + 7) & ~7  # inode, offset, length, type, name and its zero
        if len(data) + length > size:
            if not data:
                raise GuestError(Error.EINVAL)
            break
        head = struct.pack(">QqHB", node.inode, folder.position + 1, length, type_of(node))
        data += (head + name).ljust(length, b"\0")
        folder.position += 1
    return data


def ioctl(process: Process, descriptor: Int, request: UnsignedInt, address: Pointer) -> int:
    description = process.descriptors.description(descriptor)
    window = (
        process.terminal.windows.get(description.stream) if isinstance(description, TerminalEnd) else None
    )
    if window is None:
        raise GuestError(Error.ENOTTY)
    if request == TERMINAL_GET_WINDOW:
        process.space.write(address, WINSIZE.pack(*window, 0, 0))
    elif request == TERMINAL_GET_ATTRIBUTES:
        process.space.write(address, pack_terminal_attributes())
    else:
        raise GuestError(Error.ENOTTY)
    return 0


def fcntl(process: Process, descriptor: Int, command: UnsignedInt, argument: Size) -> int:
    description = process.descriptors.description(descriptor)
    if command in (_DUPLICATE, _DUPLICATE_CLOSE_ON_EXEC):
        if argument >= MOST_DESCRIPTORS:
            raise GuestError(Error.EINVAL)
        return process.descriptors.add(description, argument)
    if command == _GET_STATUS:
        if isinstance(description, OpenFile):
            return description.flags & (Open.WRITE_ONLY | Open.READ_WRITE | Open.APPEND)
        return Open.READ_WRITE if isinstance(description, TerminalEnd) else 0
    if command in (_GET_FLAGS, _SET_FLAGS, _SET_STATUS):
        return 0
    raise GuestError(Error.EINVAL)


def dup(process: Process, descriptor: Int) -> int:
    return process.descriptors.add(process.descriptors.description(descriptor))


def dup2(process: Process, descriptor: Int, wanted: Int) -> int:
    if (closed := process.descriptors.copy(descriptor, wanted)) is not None:
        close_temporary(process.disc, closed)
    return wanted


def dup3(process: Process, descriptor: Int, wanted: Int, _flags: Int) -> int:
    if descriptor == wanted:
        raise GuestError(Error.EINVAL)
    return dup2(process, descriptor, wanted)


def _write_out(process: Process, stream: int, data: memoryview) -> None:
    """All of it, in pieces that the reader can follow."""
    if 0 < len(data) <= _TERMINAL_CHUNK:
        process.terminal.write(stream, bytes(data))
        return
    for start in range(0, len(data), _TERMINAL_CHUNK):
        process.terminal.write(stream, bytes(data[start : start + _TERMINAL_CHUNK]))


def _output(process: Process, descriptor: int) -> int:
    description = process.descriptors.description(descriptor)
    if not isinstance(description, TerminalEnd) or description.stream == STDIN:
        raise GuestError(Error.EBADF)
    return description.stream


def _pieces(process: Process, vector: int, count: int) -> list[tuple[int, int]]:
    """(address, size) of each buffer of a vector."""
    if count > IOV_MAX:
        raise GuestError(Error.EINVAL)
    pieces = list(IOVEC.iter_unpack(process.space.read(vector, count * IOVEC.size)))
    if sum(size for _, size in pieces) >= 1 << 63:
        raise GuestError(Error.EINVAL)
    return pieces


CALLS: dict[str, Function] = {
    call.__name__: call
    for call in (
        read, pread64, readv, write, writev, pwrite64, fsync, fdatasync, close, lseek, _llseek, fstat,
        getdents64, ioctl, fcntl, dup, dup2, dup3,
    )
}  # fmt: skip
