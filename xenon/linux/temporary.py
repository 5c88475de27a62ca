"""The folder /tmp: its files live in the console's RAM, in regions that the program does not see."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from xenon.hardware.memory import OutOfMemoryError, Region
from xenon.linux.address_space import AddressSpace
from xenon.linux.files import Directory, Disc, File, OpenDirectory, OpenFile, normalise
from xenon.linux.uapi import NAME_MAX, Error, GuestError, Open

TEMPORARY = b"/tmp"
_MOST_NODES = 1024  # files and folders below /tmp: each takes memory of the host as well
_FIRST_PIECE, _LARGEST_PIECE = 64 << 10, 16 << 20


class TemporaryContent:
    """The bytes of a file below /tmp; its size changes. Callers hold the disc's lock."""

    def __init__(self, space: AddressSpace, path: bytes) -> None:
        self._space = space
        self._purpose = path.decode(errors="replace")
        self._pieces: list[Region] = []
        self._starts: list[int] = []  # of the pieces, as offsets in the file
        self._size = 0

    @property
    def size(self) -> int:
        return self._size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        done = 0
        for place in self._places(offset, len(buffer)):
            buffer[done : done + len(place)] = place
            done += len(place)

    def write(self, offset: int, data: memoryview) -> int:
        """As many of the bytes as fit into the console's memory. Raises GuestError(ENOSPC) if none does."""
        if not data:
            return 0
        self._reserve(offset + len(data))
        count = min(len(data), self._room - offset)
        if count <= 0:
            raise GuestError(Error.ENOSPC)
        done = 0
        for place in self._places(offset, count):
            place[:] = data[done : done + len(place)]
            done += len(place)
        self._size = max(self._size, offset + count)
        return count

    def truncate(self, size: int) -> None:
        """Cut the file, or fill it up with zeros. Raises GuestError(ENOSPC)."""
        if size > self._size:
            self._reserve(size)
            if self._room < size:
                raise GuestError(Error.ENOSPC)
        while self._pieces and self._starts[-1] >= size:
            self._starts.pop()
            self._space.drop(self._pieces.pop())
        if size < self._size:
            for place in self._places(size, self._room - size):
                place[:] = bytes(len(place))
        self._size = size

    @property
    def _room(self) -> int:
        return self._starts[-1] + self._pieces[-1].size if self._pieces else 0

    def _reserve(self, size: int) -> None:
        """Take pieces of memory until there is room for `size` bytes, or until there is no more."""
        try:
            while (room := self._room) < size:
                piece = max(_FIRST_PIECE, min(room, _LARGEST_PIECE))
                self._pieces.append(self._space.keep(piece, self._purpose))
                self._starts.append(room)
        except OutOfMemoryError:
            return

    def _places(self, offset: int, count: int) -> Iterator[memoryview]:
        """Where bytes of the file lie in RAM, in order."""
        end = offset + count
        while offset < end:
            number = bisect_right(self._starts, offset) - 1
            piece, inside = self._pieces[number], offset - self._starts[number]
            size = min(end - offset, piece.size - inside)
            yield self._space.memory.slice(piece.address + inside, size)
            offset += size


def is_temporary(path: bytes) -> bool:
    """Whether an absolute path leads to something below /tmp."""
    return normalise(path).startswith(TEMPORARY + b"/")


def open_temporary(disc: Disc, space: AddressSpace, path: bytes, flags: int) -> OpenFile | OpenDirectory:
    """Open what is below /tmp, or make it. Raises GuestError: ENOENT, ENOTDIR, EISDIR, EEXIST, EROFS for
    writing to a granted file, ENAMETOOLONG, ENOSPC."""
    with disc.lock:
        folder, name = _parent(disc, path)
        node = folder.entries.get(name)
        if node is None and flags & Open.CREATE and not flags & Open.DIRECTORY:
            node = File(TemporaryContent(space, path), disc.next_inode())
            _add(disc, folder, name, node)
        elif flags & Open.CREATE and flags & Open.EXCLUSIVE and node is not None:
            raise GuestError(Error.EEXIST)
        if not isinstance(node, File) or not isinstance(node.content, TemporaryContent):
            return disc.open(path, flags)
        if flags & Open.DIRECTORY:
            raise GuestError(Error.ENOTDIR)
        if flags & Open.TRUNCATE and flags & (Open.WRITE_ONLY | Open.READ_WRITE):
            node.content.truncate(0)
        node.uses += 1
        return OpenFile(path, node, flags)


def close_temporary(disc: Disc, description: object) -> None:
    """The last descriptor of an open file is closed; the memory of one without a name is free."""
    if isinstance(description, OpenFile) and isinstance(description.node.content, TemporaryContent):
        with disc.lock:
            _drop_use(description.node)


def make_folder(disc: Disc, path: bytes) -> None:
    """mkdir. Raises GuestError: EROFS, EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, ENOSPC."""
    with disc.lock:
        folder, name = _parent(disc, path)
        if name in folder.entries:
            raise GuestError(Error.EEXIST)
        _add(disc, folder, name, Directory(disc.next_inode(), writable=True))


def remove(disc: Disc, path: bytes, is_folder: bool) -> None:
    """unlink, or rmdir. Raises GuestError: EROFS, ENOENT, EISDIR, ENOTDIR, ENOTEMPTY."""
    with disc.lock:
        folder, name = _parent(disc, path)
        node = _changeable(folder, name)
        _check_removable(node, is_folder)
        del folder.entries[name]
        _gone(disc, node)


def rename(disc: Disc, old: bytes, new: bytes) -> None:
    """rename. Raises GuestError: EROFS, ENOENT, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL for a folder into
    itself."""
    with disc.lock:
        source, name = _parent(disc, old)
        target, new_name = _parent(disc, new)
        node = _changeable(source, name)
        if target is source and new_name == name:
            return
        if isinstance(node, Directory) and normalise(new).startswith(normalise(old) + b"/"):
            raise GuestError(Error.EINVAL)
        if new_name in target.entries:
            replaced = _changeable(target, new_name)
            _check_removable(replaced, isinstance(node, Directory))
            _gone(disc, replaced)
        elif len(new_name) > NAME_MAX:
            raise GuestError(Error.ENAMETOOLONG)
        del source.entries[name]
        target.entries[new_name] = node


def _parent(disc: Disc, path: bytes) -> tuple[Directory, bytes]:
    """The folder below which a path's last name stands, and the name."""
    if not is_temporary(path):
        raise GuestError(Error.EROFS)
    above, _, name = normalise(path).rpartition(b"/")
    folder = disc.find(above)
    if not isinstance(folder, Directory):
        raise GuestError(Error.ENOTDIR)
    return folder, name


def _add(disc: Disc, folder: Directory, name: bytes, node: File | Directory) -> None:
    if not folder.writable:
        raise GuestError(Error.EROFS)
    if len(name) > NAME_MAX:
        raise GuestError(Error.ENAMETOOLONG)
    if disc.temporary_nodes >= _MOST_NODES:
        raise GuestError(Error.ENOSPC)
    disc.temporary_nodes += 1
    folder.entries[name] = node


def _changeable(folder: Directory, name: bytes) -> File | Directory:
    """An entry that the program may take away: not a granted file, nor a folder that leads to one."""
    node = folder.entries.get(name)
    if node is None:
        raise GuestError(Error.ENOENT)
    temporary = isinstance(node, Directory) and node.writable
    if not temporary and not (isinstance(node, File) and isinstance(node.content, TemporaryContent)):
        raise GuestError(Error.EROFS)
    return node


def _check_removable(node: File | Directory, is_folder: bool) -> None:
    if is_folder is not isinstance(node, Directory):
        raise GuestError(Error.ENOTDIR if is_folder else Error.EISDIR)
    if isinstance(node, Directory) and node.entries:
        raise GuestError(Error.ENOTEMPTY)


def _gone(disc: Disc, node: File | Directory) -> None:
    disc.temporary_nodes -= 1
    if isinstance(node, File):
        _drop_use(node)


def _drop_use(node: File) -> None:
    """One name or open file less; without any, the memory is free."""
    node.uses -= 1
    if not node.uses and isinstance(node.content, TemporaryContent):
        node.content.truncate(0)
