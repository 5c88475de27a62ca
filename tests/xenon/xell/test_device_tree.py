"""The flattened device tree, read back by a reader that goes by the specification."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from xenon.hardware.memory_map import Range
from xenon.xell.device_tree import device_tree
from xenon.xell.flattened_tree import Node, cells, flatten, text


@dataclass
class Read:
    properties: dict[str, bytes] = field(default_factory=dict)
    children: dict[str, Read] = field(default_factory=dict)


def read(blob: bytes) -> Read:
    """The root of a tree; checks the header."""
    magic, total, structure, strings, reserved, version, compatible, boot, *sizes = struct.unpack_from(
        ">10I", blob
    )
    assert (magic, total, version, compatible, boot) == (0xD00DFEED, len(blob), 17, 16, 0)
    assert (sizes[0], sizes[1]) == (total - strings, strings - structure)
    assert structure % 4 == 0 and reserved % 8 == 0
    assert blob[reserved : reserved + 16] == bytes(16)
    stack, top, place = [Read()], Read(), structure
    while True:
        (token,) = struct.unpack_from(">I", blob, place)
        place += 4
        if token == 1:
            name = blob[place : blob.index(b"\0", place)].decode()
            place += (len(name) + 4) // 4 * 4
            top = stack[-1].children[name] = Read()
            stack.append(top)
        elif token == 2:
            stack.pop()
        elif token == 3:
            size, offset = struct.unpack_from(">2I", blob, place)
            name = blob[strings + offset : blob.index(b"\0", strings + offset)].decode()
            stack[-1].properties[name] = blob[place + 8 : place + 8 + size]
            place += 8 + (size + 3) // 4 * 4
        else:
            assert token == 9 and place == strings
            assert len(stack) == 1
            return stack[0].children[""]


def test_a_tree_is_read_back() -> None:
    child = Node("child@1", {"name": b"", "odd": b"12345", "a": cells(1)})
    root = read(flatten(Node("", {"a": cells(1, 2), "b": text("words")}, (child,))))
    assert root.properties == {"a": b"\0\0\0\1\0\0\0\2", "b": b"words\0"}
    assert root.children["child@1"].properties == {"name": b"", "odd": b"12345", "a": b"\0\0\0\1"}


def test_the_tree_says_what_the_entry_of_the_menu_does() -> None:
    root = read(device_tree(b"-i Once", Range("initrd", 0x0600_0000, 0x1234)))
    chosen = root.children["chosen"].properties
    assert chosen["linux,platform"] == cells(0x801)
    assert chosen["bootargs"] == b"-i Once\0"
    assert chosen["linux,initrd-start"] == struct.pack(">Q", 0x0600_0000)
    assert chosen["linux,initrd-end"] == struct.pack(">Q", 0x0600_1234)
    bare = read(device_tree(None, None)).children["chosen"].properties
    assert list(bare) == ["linux,platform"]


def test_the_tree_has_the_consoles_memory_and_cores() -> None:
    root = read(device_tree(None, None))
    assert root.children["memory"].properties["reg"] == cells(0, 0, 0x1E00_0000)
    cores = root.children["cpus"].children
    assert [cores[f"Xenon,PPE@{core}"].properties["reg"] for core in range(3)] == [
        cells(0),
        cells(2),
        cells(4),
    ]
    for core in cores.values():
        assert core.properties["timebase-frequency"] == cells(50_000_000)
        assert core.properties["d-cache-line-size"] == cells(128)
