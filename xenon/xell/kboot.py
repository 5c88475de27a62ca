"""kboot.conf: which program XeLL starts, with which initrd and command line (xell-reloaded kbootconf.c)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xenon.errors import XenonError

FILE_NAME = "kboot.conf"
FIRST_LINE = b"#KBOOTCONFIG"
LARGEST_BYTES = 16384
MOST_ENTRIES = 64
LONGEST_ENTRY = 254
"""Characters of an entry: the file, and everything behind it."""

_SETTINGS = (
    b"timeout", b"default", b"message", b"initrd", b"root", b"videomode", b"speedup", b"tftp_server", b"ip",
    b"netmask", b"gateway",
)  # fmt: skip
_BLANK = b" \t"


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One line of the menu: files on a device (`uda0:/xenon.elf`), and the program's command line."""

    label: bytes
    program: bytes
    bootargs: bytes
    initrd: bytes | None


def parse_kboot(name: str, data: bytes) -> tuple[BootEntry, ...]:
    """The entries of a kboot.conf, the one that XeLL starts by itself first. Raises XenonError."""
    if len(data) > LARGEST_BYTES:
        raise XenonError(f"{name}: has {len(data)} bytes, XeLL reads at most {LARGEST_BYTES}")
    if data.split(b"\n", 1)[0] != FIRST_LINE:
        raise XenonError(f"{name}: line 1: expected {FIRST_LINE.decode()} alone; XeLL knows the file by it")
    settings: dict[bytes, bytes] = {}
    entries: list[tuple[bytes, bytes]] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        where = f"{name}: line {number}"
        if b"\r" in line or b"\0" in line:
            raise XenonError(
                f"{where}: has a carriage return or a zero byte", "end lines with a line feed only"
            )
        left, equals, right = line.strip(_BLANK).partition(b"=")
        left, right = left.strip(_BLANK), right.strip(_BLANK).lstrip(b"\"'").rstrip(b"\"'")
        if not left or left[:1] in (b"#", b";"):
            continue
        if not equals:
            raise XenonError(f"{where}: expected NAME=VALUE", "a comment begins with #")
        if left in _SETTINGS:
            settings[left] = right
            continue
        if len(right) > LONGEST_ENTRY:
            raise XenonError(f"{where}: has {len(right)} characters, XeLL takes at most {LONGEST_ENTRY}")
        if b" " in left:
            raise XenonError(f"{where}: the label {left.decode(errors='replace')!r} has a space")
        entries.append((left, right))
    if not entries:
        raise XenonError(f"{name}: has no entry to start", 'add a line such as story="uda0:/xenon.elf"')
    if len(entries) > MOST_ENTRIES:
        raise XenonError(f"{name}: has {len(entries)} entries, XeLL holds {MOST_ENTRIES}")
    made = [_entry(label, value, settings) for label, value in entries]
    default = settings.get(b"default")
    return tuple(sorted(made, key=lambda entry: entry.label != default))


def _entry(label: bytes, value: bytes, settings: dict[bytes, bytes]) -> BootEntry:
    """A token `initrd=` or `root=` is taken out of the command line; root comes back in front."""
    program, *words = re.split(rb" +", value)
    special = {b"initrd": settings.get(b"initrd"), b"root": settings.get(b"root")}
    left = []
    for word in words:
        key, equals, rest = word.partition(b"=")
        if equals and key in special:
            special[key] = rest
        elif word:
            left.append(word)
    if special[b"root"]:
        left.insert(0, b"root=" + special[b"root"])
    return BootEntry(label, program, b" ".join(left), special[b"initrd"])
