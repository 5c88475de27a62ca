"""System calls on memory. What does not fit into the console's RAM is ENOMEM, as it is on Linux."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import OutOfMemoryError, Owner, Region
from xenon.hardware.memory_map import PAGE_BYTES, align_up
from xenon.linux.arguments import Function, Int, Pointer, Size
from xenon.linux.files import OpenDevice, OpenFile
from xenon.linux.layout import PROGRAM
from xenon.linux.process import Process
from xenon.linux.uapi import Error, GuestError, Map

_FILE_PURPOSE = "file "
_MOVE_ALLOWED = 1  # MREMAP_MAYMOVE
_DONT_NEED = 4  # MADV_DONTNEED
_ADDRESSES = 1 << 64
_READ_WRITE = Protection.READ | Protection.WRITE
_ALL_PROTECTION = Protection.READ | Protection.WRITE | Protection.EXECUTE


def brk(process: Process, wanted: Pointer) -> int:
    """The end of the heap, moved to `wanted` where that is possible."""
    start = process.loaded.heap_start
    heap = process.heap
    end = start + process.heap_bytes
    changed = (
        heap is not None and process.space.memory.region_at(start) != heap
    )  # by munmap: it stays as it is
    if changed or not start <= wanted <= PROGRAM.end:
        return end
    size = wanted - start
    try:
        if heap is None and size:
            process.heap = process.space.allocate(size, "heap", _READ_WRITE, start)
        elif heap is not None:
            process.heap = process.space.grow(heap, max(size, 1), _READ_WRITE)
    except OutOfMemoryError:
        return end
    if size < process.heap_bytes:  # the rest of the last page must be zero when the heap grows again
        process.space.clear(wanted, align_up(wanted, PAGE_BYTES))
    process.heap_bytes = size
    return wanted


def mmap(
    process: Process,
    address: Pointer,
    size: Size,
    protection: Size,
    flags: Size,
    descriptor: Int,
    offset: Size,
) -> int:
    if size == 0 or not flags & (Map.SHARED | Map.PRIVATE) or flags & Map.HUGE_PAGES or offset % PAGE_BYTES:
        raise GuestError(Error.EINVAL)
    if size > PROGRAM.size or not process.space.has_room_for_regions():
        raise GuestError(Error.ENOMEM)
    allowed = Protection(protection & _ALL_PROTECTION)
    if not flags & Map.ANONYMOUS and isinstance(
        device := process.descriptors.description(descriptor), OpenDevice
    ):
        return _device_window(device, size, flags, offset)
    file = None if flags & Map.ANONYMOUS else _mappable(process, descriptor, flags, allowed)
    place = _fixed_place(process, address, size, flags)
    purpose = "mmap" if file is None else _FILE_PURPOSE + file.path.decode(errors="replace")
    try:
        region = process.space.allocate(size, purpose, allowed, place)
    except OutOfMemoryError as error:
        raise GuestError(Error.ENOMEM) from error
    if file is not None:
        count = max(0, min(size, file.node.content.size - offset))
        if count:
            with process.space.filling(region.address, count) as target:
                file.node.content.read_into(offset, target)
    return region.address


def munmap(process: Process, address: Pointer, size: Size) -> int:
    if size == 0 or address % PAGE_BYTES or address + size > PROGRAM.end:
        raise GuestError(Error.EINVAL)
    process.space.release(address, size)
    return 0


def mprotect(process: Process, address: Pointer, size: Size, protection: Size) -> int:
    if address % PAGE_BYTES:
        raise GuestError(Error.EINVAL)
    process.space.protect(address, size, Protection(protection & _ALL_PROTECTION))
    return 0


def mremap(process: Process, address: Pointer, old_size: Size, new_size: Size, flags: Size) -> int:
    if address % PAGE_BYTES or not old_size or not new_size or flags & ~_MOVE_ALLOWED:
        raise GuestError(Error.EINVAL)
    if new_size > PROGRAM.size:
        raise GuestError(Error.ENOMEM)
    old_size, new_size = align_up(old_size, PAGE_BYTES), align_up(new_size, PAGE_BYTES)
    region = process.space.memory.region_at(address)
    protection = process.space.protection_at(address)
    if (
        region is None
        or region.owner is Owner.SYSTEM
        or protection is None
        or address + old_size > region.end
    ):
        raise GuestError(Error.EFAULT)
    if new_size <= old_size:
        process.space.release(address + new_size, old_size - new_size)
        return address
    try:
        return _grow_mapping(
            process, region, address, old_size, new_size, protection, bool(flags & _MOVE_ALLOWED)
        )
    except OutOfMemoryError as error:
        raise GuestError(Error.ENOMEM) from error


def madvise(process: Process, address: Pointer, size: Size, advice: Int) -> int:
    if address % PAGE_BYTES or address + size > _ADDRESSES:
        raise GuestError(Error.EINVAL)
    if advice != _DONT_NEED or size == 0:
        return 0
    end = address + align_up(size, PAGE_BYTES)
    for region in process.space.memory.overlapping(address, end):
        if region.owner is not Owner.SYSTEM and not region.purpose.startswith(_FILE_PURPOSE):
            process.space.clear(max(address, region.address), min(end, region.end))
    return 0


def no_effect(_process: Process) -> int:
    return 0


def _device_window(device: OpenDevice, size: int, flags: int, offset: int) -> int:
    """The address of a device's registers: they are where the console has them, mapped or not."""
    if not flags & Map.SHARED or flags & Map.FIXED or offset + size > device.window.size:
        raise GuestError(Error.EINVAL)
    return device.window.start


def _mappable(process: Process, descriptor: int, flags: int, allowed: Protection) -> OpenFile:
    found = process.descriptors.description(descriptor)
    if not isinstance(found, OpenFile):
        raise GuestError(Error.ENODEV)
    if flags & Map.SHARED and allowed & Protection.WRITE:
        raise GuestError(Error.EACCES)
    return found


def _fixed_place(process: Process, address: int, size: int, flags: int) -> int | None:
    """Where the program insists on having it, cleared of what was there; None when anywhere will do."""
    if not flags & (Map.FIXED | Map.FIXED_NO_REPLACE):
        return None
    size = align_up(size, PAGE_BYTES)
    if address % PAGE_BYTES:
        raise GuestError(Error.EINVAL)
    if not PROGRAM.start <= address <= PROGRAM.end - size:
        raise GuestError(Error.ENOMEM)
    taken = process.space.memory.overlapping(address, address + size)
    if flags & Map.FIXED_NO_REPLACE and taken:
        raise GuestError(Error.EEXIST)
    if any(region.owner is Owner.SYSTEM for region in taken):
        raise GuestError(Error.ENOMEM)
    process.space.release(address, size)
    return address


def _grow_mapping(
    process: Process,
    region: Region,
    address: int,
    old_size: int,
    new_size: int,
    protection: Protection,
    may_move: bool,
) -> int:
    """In place where the space behind is free, else elsewhere. Raises OutOfMemoryError."""
    space = process.space
    more = new_size - old_size
    if address + old_size == region.end and space.memory.is_free(region.end, more):
        space.grow(region, region.size + more, protection)
        return address
    if not may_move:
        raise GuestError(Error.ENOMEM)
    moved = space.allocate(new_size, region.purpose, protection)
    with space.filling(moved.address, old_size) as target:
        target[:] = space.memory.slice(address, old_size)
    space.release(address, old_size)
    return moved.address


def _alone(call: Callable[..., int]) -> Function:
    """The call, one at a time: what it finds out about regions and pages still holds when it changes them."""

    @wraps(call)
    def locked(process: Process, *arguments: int) -> int:
        with process.space.lock:
            return call(process, *arguments)

    return locked


CALLS: dict[str, Function] = {
    **{call.__name__: _alone(call) for call in (brk, mmap, munmap, mprotect, mremap, madvise)},
    **dict.fromkeys(("mlock", "munlock", "mlockall", "munlockall", "msync"), no_effect),
}
