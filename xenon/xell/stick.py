"""What XeLL starts from a USB stick: a folder with kboot.conf or xenon.elf in it, or one program file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from xenon.errors import XenonError
from xenon.hardware.memory_map import in_units
from xenon.input_file import InputFile
from xenon.xell.image import read_program_file
from xenon.xell.kboot import FILE_NAME, LARGEST_BYTES, BootEntry, parse_kboot
from xenon.xell.layout import PLACES, Loader

PROGRAM_NAMES = ("xenon.elf", "vmlinux")
"""What XeLL looks for behind kboot.conf, in this order."""
FLASHING_NAMES = ("updxell.bin", "updflash.bin")
"""Files that XeLL writes into the console's flash."""
DEVICE = b"uda0:/"
_HINT = "expected kboot.conf or xenon.elf, as a stick for XeLL has them"
_PATH = re.compile(rb"(?:uda|udb|udc|sda|dvd)\d?:/?(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Start:
    """A program and what XeLL gives it. `argument` is its name with the device; `bootargs` None: there is no
    kboot.conf; `label` is the entry that was taken."""

    name: str
    program: bytes = field(repr=False)
    argument: bytes
    bootargs: bytes | None = None
    initrd: bytes | None = field(default=None, repr=False)


def find_start(path: Path, loader: Loader, label: str | None = None) -> Start:
    """What XeLL would start of a folder, or a program file as it stands. `label`: the entry of kboot.conf to
    take instead of the default.

    Raises XenonError for a folder without anything to start, and for what XeLL would refuse or go wrong with.
    """
    if not path.is_dir():
        if label is not None:
            raise XenonError(f"{path}: is one file, without the entry {label!r}", "name the folder")
        return Start(str(path), read_program_file(path, str(path)), DEVICE + os.fsencode(path.name))
    for name in FLASHING_NAMES:
        if _existing(path, name) is not None:
            raise XenonError(
                f"{path}: holds {name}, which XeLL writes into the console's flash", "take it off the stick"
            )
    if (menu := _existing(path, FILE_NAME)) is not None:
        return _by_menu(path, menu, loader, label)
    if label is not None:
        raise XenonError(f"{path}: has no {FILE_NAME}, and so no entry {label!r}")
    for name in PROGRAM_NAMES:
        if (file := _existing(path, name)) is not None:
            return Start(str(file), read_program_file(file, str(file)), DEVICE + name.encode())
    raise XenonError(f"{path}: holds nothing that XeLL starts", _HINT)


def _by_menu(folder: Path, menu: Path, loader: Loader, label: str | None) -> Start:
    with InputFile(menu) as file:
        entries = parse_kboot(str(menu), file.head(LARGEST_BYTES + 1))
    entry = entries[0]
    if label is not None:
        named = [known for known in entries if known.label == os.fsencode(label)]
        if not named:
            labels = ", ".join(known.label.decode(errors="replace") for known in entries)
            raise XenonError(f"{menu}: has no entry {label!r}", f"there are: {labels}")
        entry = named[0]
    program = _on_stick(folder, menu, entry, entry.program)
    initrd = None if entry.initrd is None else _on_stick(folder, menu, entry, entry.initrd)
    return Start(
        str(program),
        read_program_file(program, str(program)),
        entry.program,
        entry.bootargs,
        None if initrd is None else _read_initrd(initrd, loader),
    )


def _read_initrd(path: Path, loader: Loader) -> bytes:
    room = PLACES[loader].initrd
    with InputFile(path) as file:
        if file.size > room.size:
            raise XenonError(
                f"{path}: an initrd of {file.size} bytes, expected at most {room.size} "
                f"({in_units(room.size)}): the {loader.value} loader puts it at 0x{room.start:x}, "
                "below its own code"
            )
        return file.read(room.size, "an initrd")


def _on_stick(folder: Path, menu: Path, entry: BootEntry, name: bytes) -> Path:
    """The file of an entry, which must be on this stick."""
    shown, label = (word.decode(errors="replace") for word in (name, entry.label))
    match = _PATH.fullmatch(name)
    if match is None:
        raise XenonError(
            f"{menu}: entry {label}: {shown!r} names no device, and XeLL would ask the network for it",
            "write uda0:/ in front",
        )
    path: Path | None = folder
    for part in os.fsdecode(match[1]).split("/"):
        if part in (".", ".."):
            raise XenonError(f"{menu}: entry {label}: {shown!r} leaves the stick")
        path = _existing(path, part) if path is not None and part else path
    if path is None or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise XenonError(f"{menu}: entry {label}: no file {shown!r} on the stick")
    return path


def _existing(folder: Path, name: str) -> Path | None:
    """The file of this name, which FAT32 spells in any case."""
    exact = folder / name
    if exact.exists():
        return exact
    if not folder.is_dir():
        return None
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower()), None)
