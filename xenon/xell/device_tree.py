"""The device tree that XeLL hands over: memory, processors, and what the boot entry says (xenon.dts)."""

from __future__ import annotations

import struct

from xenon.hardware.memory_map import CACHE_LINE_BYTES, HARDWARE_THREADS, KIB, SYSTEM, Range
from xenon.xell.flattened_tree import Node, cells, flatten, text

_PLATFORM = 0x801
_TIME_BASE_HERTZ, _CLOCK_HERTZ = 50_000_000, 3_200_000_000  # what XeLL's tree says
_INTERRUPT_CONTROLLER = (0x200, 0x0005_0000, 0x6000)
_PHANDLE = 0x40000


def device_tree(bootargs: bytes | None, initrd: Range | None) -> bytes:
    """The flattened tree. `bootargs` None: the program was started without a kboot.conf."""
    chosen = {"linux,platform": cells(_PLATFORM)}
    if bootargs is not None:
        chosen["bootargs"] = text(bootargs)
    if initrd is not None:
        chosen["linux,initrd-start"] = struct.pack(">Q", initrd.start)
        chosen["linux,initrd-end"] = struct.pack(">Q", initrd.end)
    memory = {"device_type": text("memory"), "reg": cells(0, 0, SYSTEM.start)}
    root = {
        "model": text("Xenon Game Console"),
        "compatible": text("XENON"),
        "#address-cells": cells(2),
        "#size-cells": cells(1),
    }
    processors = {"#cpus": cells(1), "#address-cells": cells(1), "#size-cells": cells(0)}
    cores = [_core(core) for core in range(HARDWARE_THREADS // 2)]
    controller = {
        "compatible": text("xenon"),
        "linux,phandle": cells(_PHANDLE),
        "interrupt-controller": b"",
        "#address-cells": cells(0),
        "#interrupt-cells": cells(1),
        "reg": cells(*_INTERRUPT_CONTROLLER),
    }
    children = (
        Node("chosen", chosen),
        Node("memory", memory),
        Node("cpus", processors, cores),
        Node("interrupt-controller", controller),
    )
    return flatten(Node("", root, children))


def _core(core: int) -> Node:
    """A core with its two hardware threads."""
    properties = {
        "device_type": text("cpu"),
        "reg": cells(2 * core),
        "ibm,ppc-interrupt-server#s": cells(2 * core, 2 * core + 1),
        "timebase-frequency": cells(_TIME_BASE_HERTZ),
        "clock-frequency": cells(_CLOCK_HERTZ),
        "i-cache-size": cells(32 * KIB),
        "i-cache-line-size": cells(CACHE_LINE_BYTES),
        "d-cache-size": cells(32 * KIB),
        "d-cache-line-size": cells(CACHE_LINE_BYTES),
    }
    if core == 0:
        properties["linux,boot-cpu"] = b""
    return Node(f"Xenon,PPE@{core}", properties)
