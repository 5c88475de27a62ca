"""What a packed file holds: a program with its files, or the files alone."""

from __future__ import annotations

from xenon.errors import XenonError
from xenon.pack.archive import MAGIC, read_archive
from xenon.pack.container import files_of
from xenon.pack.limits import IMAGE_END
from xenon.powerpc.elf import MAGIC as ELF_MAGIC
from xenon.powerpc.elf import SEGMENT_LOAD, Elf

MAGICS = (ELF_MAGIC, MAGIC)
"""What a file begins with that `packed_facts` reads."""


def packed_facts(name: str, data: bytes) -> dict[str, object]:
    """Facts of a packed file, called `name` in messages. Raises XenonError for another file, or a damaged
    one."""
    if data.startswith(MAGIC):
        return {"path": name, "format": "files for XeLL", "bytes": len(data), **_held(name, memoryview(data))}
    elf = Elf(name, data)
    place = files_of(elf)
    if place is None:
        raise XenonError(
            f"{name}: an ELF file of {elf.bits} bits, not one that pack has made",
            "xenon-llm scan says whether the console can run it",
        )
    segments = [segment for segment in elf.program_headers() if segment.type == SEGMENT_LOAD]
    facts: dict[str, object] = {
        "path": name,
        "format": "program for XeLL",
        "bytes": len(data),
        "entry": elf.header.entry,
        "image": [f"{segment.address:08x}, {segment.memory_size} bytes" for segment in segments],
        "room_left": IMAGE_END - max(segment.address + segment.memory_size for segment in segments),
    }
    address, size = place
    if not size:
        return facts | {"files": {}}
    for segment in segments:
        if segment.address <= address and address + size <= segment.address + segment.file_size:
            start = segment.offset + address - segment.address
            return facts | _held(name, elf.bytes_at(start, size, "the archive"))
    raise XenonError(f"{name}: its archive at {address:08x} is in no segment", "pack it again")


def _held(name: str, archive: memoryview) -> dict[str, object]:
    entries = read_archive(name, archive)
    facts: dict[str, object] = {
        "files": {
            entry.name: {"bytes": entry.length, "of": entry.size}
            if entry.length < entry.size
            else {"bytes": entry.length}
            for entry in entries
        }
    }
    for entry in entries:
        if entry.name == "arguments":
            words = bytes(archive[entry.offset : entry.offset + entry.length]).split(b"\0")[:-1]
            facts["options"] = [word.decode("utf-8", "replace") for word in words]
    return facts
