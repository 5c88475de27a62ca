"""The archive in which the program finds its files: llama2c/src/xell_files.c reads it.

Big-endian: a header of 32 bytes (`XLLMARC1`, bytes of the archive, entries, 0), an entry of 64 bytes for each
piece (name, offset in the archive, length, position in the file, size of the file), then the pieces, each on
a page. A file may be cut into pieces that lie in two archives.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from xenon.errors import XenonError

MAGIC = b"XLLMARC1"
MOST_ENTRIES = 16
_NAME_BYTES = 32
_HEADER = struct.Struct(">8s3Q")
_ENTRY = struct.Struct(">32s4Q")
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class FilePiece:
    """`data` is what is at byte `position` of the file `name`, which has `size` bytes in all."""

    name: str
    data: bytes | memoryview
    position: int
    size: int

    @classmethod
    def whole(cls, name: str, data: bytes | memoryview) -> FilePiece:
        """A whole file."""
        return cls(name, data, 0, len(data))


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """Where an archive has a piece: `length` bytes at `offset`, those at `position` of a file of `size`."""

    name: str
    offset: int
    length: int
    position: int
    size: int


def archive_bytes(sizes: Sequence[int]) -> int:
    """The size of an archive of pieces of these sizes."""
    end = _HEADER.size + len(sizes) * _ENTRY.size
    for size in sizes:
        end = _page_up(end) + size
    return end


def pack_archive(pieces: Sequence[FilePiece]) -> bytes:
    """An archive of these pieces. Raises ValueError for names or a number of pieces that do not fit."""
    if len(pieces) > MOST_ENTRIES or any(len(piece.name.encode()) >= _NAME_BYTES for piece in pieces):
        raise ValueError(f"an archive of {len(pieces)} pieces: {[piece.name for piece in pieces]}")
    data = bytearray(archive_bytes([len(piece.data) for piece in pieces]))
    _HEADER.pack_into(data, 0, MAGIC, len(data), len(pieces), 0)
    offset = _HEADER.size + len(pieces) * _ENTRY.size
    for index, piece in enumerate(pieces):
        offset = _page_up(offset)
        place = _HEADER.size + index * _ENTRY.size
        length = len(piece.data)
        _ENTRY.pack_into(data, place, piece.name.encode(), offset, length, piece.position, piece.size)
        data[offset : offset + length] = piece.data
        offset += length
    return bytes(data)


def read_archive(name: str, data: memoryview) -> list[ArchiveEntry]:
    """The entries of an archive, called `name` in messages. Raises XenonError for a damaged one."""
    if len(data) < _HEADER.size:
        raise XenonError(f"{name}: an archive of {len(data)} bytes, its header takes {_HEADER.size}")
    magic, size, count, _ = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise XenonError(f"{name}: found {magic!r}, expected an archive ({MAGIC!r})")
    if size > len(data) or count > MOST_ENTRIES or _HEADER.size + count * _ENTRY.size > size:
        raise XenonError(
            f"{name}: an archive of {size} bytes with {count} entries, {len(data)} bytes are there",
            "the file is damaged: pack it again",
        )
    entries = []
    for index in range(count):
        label, *numbers = _ENTRY.unpack_from(data, _HEADER.size + index * _ENTRY.size)
        entry = ArchiveEntry(label.split(b"\0", 1)[0].decode("ascii", "replace"), *numbers)
        if entry.offset + entry.length > size or entry.position + entry.length > entry.size:
            raise XenonError(f"{name}: entry {index} of the archive lies outside of it", "pack it again")
        entries.append(entry)
    return entries


def _page_up(offset: int) -> int:
    return -(-offset // _PAGE) * _PAGE
