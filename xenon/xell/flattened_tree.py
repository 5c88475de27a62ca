"""Writes a flattened device tree (Devicetree Specification 0.4, chapter 5; version 17)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_MAGIC, _VERSION, _LAST_COMPATIBLE = 0xD00D_FEED, 17, 16
_BEGIN, _END, _PROPERTY, _FINISH = 1, 2, 3, 9
_HEADER = struct.Struct(">10I")
_NO_RESERVATION = bytes(16)


@dataclass(frozen=True, slots=True)
class Node:
    """A node with its properties and children, in this order."""

    name: str
    properties: Mapping[str, bytes]
    children: Sequence[Node] = field(default_factory=tuple)


def cells(*numbers: int) -> bytes:
    """Numbers of 32 bits as a property."""
    return struct.pack(f">{len(numbers)}I", *numbers)


def text(value: str | bytes) -> bytes:
    """A string as a property."""
    return (value.encode() if isinstance(value, str) else value) + b"\0"


def flatten(root: Node) -> bytes:
    """The tree as one block: header, no memory reservations, structure, strings."""
    strings = _Strings()
    structure = _node(root, strings) + cells(_FINISH)
    start = _HEADER.size + len(_NO_RESERVATION)
    behind = start + len(structure)
    total = behind + len(strings.data)
    header = _HEADER.pack(
        _MAGIC, total, start, behind, _HEADER.size, _VERSION, _LAST_COMPATIBLE, 0, len(strings.data),
        len(structure),
    )  # fmt: skip
    return header + _NO_RESERVATION + structure + bytes(strings.data)


class _Strings:
    """The names of properties, each once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._offsets: dict[str, int] = {}

    def offset(self, name: str) -> int:
        if name not in self._offsets:
            self._offsets[name] = len(self.data)
            self.data += text(name)
        return self._offsets[name]


def _node(node: Node, strings: _Strings) -> bytes:
    parts = [cells(_BEGIN), _padded(text(node.name))]
    for name, value in node.properties.items():
        parts += [cells(_PROPERTY, len(value), strings.offset(name)), _padded(value)]
    parts += [_node(child, strings) for child in node.children]
    return b"".join((*parts, cells(_END)))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
