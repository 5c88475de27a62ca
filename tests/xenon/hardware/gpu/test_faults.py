"""What is wrong with a ring, a packet or a draw is a named error, soon, and never another exception."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenon.hardware.bus import Bus, DeviceError
from xenon.hardware.gpu import GPU_REGISTERS
from xenon.hardware.gpu.packets import Opcode, type_0, type_3
from xenon.hardware.gpu.programs import PROGRAMS, program_header
from xenon.hardware.gpu.registers import Register
from xenon.hardware.gpu.shader import DRAW_POINTS

HERE, LAST = 0x0020_0000, 0x1FFF_FFFC
PROGRAM_AT = 0x0011_0000
LOOP, FETCH, FLOAT = 3, 1, 0


def draws(name: str, shapes: list[int], *fetches: tuple[int, int]) -> Callable[[Any], None]:
    default = (HERE | 3, 1 << 20 << 2 | 2)

    def act(driver: Any) -> None:
        for index in range(9):
            driver.set(FETCH, 2 * index, *default)
        driver.set(LOOP, 0, *([1] * 8))
        driver.draw(name, fetches or [default], shapes)

    return act


def ring(base: int, control: int, write_pointer: int = 1) -> Callable[[Any], None]:
    def act(driver: Any) -> None:
        driver.start(base, control)
        driver.write(Register.CP_RB_WPTR, write_pointer)

    return act


def packet(opcode: int, *payload: int) -> Callable[[Any], None]:
    return lambda driver: driver.packet(opcode, *payload)


def calls_itself(driver: Any) -> None:
    driver.put(HERE, [0x8000_0000, type_3(Opcode.INDIRECT_BUFFER, 2), HERE + 0x1000, 3])
    driver.put(HERE + 0x1000, [type_3(Opcode.INDIRECT_BUFFER, 2), HERE + 4, 3])
    driver.packet(Opcode.INDIRECT_BUFFER, HERE, 4)


def nests_thrice(driver: Any) -> None:
    for level in range(3):
        here = HERE + 0x1000 * level
        driver.put(here, [type_3(Opcode.INDIRECT_BUFFER, 2), here + 0x1000, 3])
    driver.packet(Opcode.INDIRECT_BUFFER, HERE, 3)


def header(data: bytes) -> Callable[[Any], None]:
    def act(driver: Any) -> None:
        driver.memory.write(PROGRAM_AT, data)
        driver.packet(Opcode.IM_LOAD, PROGRAM_AT, 8)

    return act


def temperature(value: float) -> Callable[[Any], None]:
    def act(driver: Any) -> None:
        driver.set_float(1, value)
        draws("softmax", [4])(driver)

    return act


def position(value: int, name: str, *shapes: int) -> Callable[[Any], None]:
    def act(driver: Any) -> None:
        driver.set(LOOP, 8, value)
        driver.set(LOOP, 30, value, value)
        draws(name, list(shapes))(driver)

    return act


BIG = 2 << 16
FAULTS = {
    "ring outside": (ring(0x2000_0000, BIG | 9), r"ring buffer at 0x20000000 to 0x20001000 leaves RAM"),
    "ring past the end": (ring(0x1FFF_FF80, BIG | 9), r"to 0x20000f80 leaves RAM"),
    "ring unaligned": (ring(0x0010_0040, BIG | 9), r"ring buffer at 0x00100040: not a multiple of 128"),
    "ring too large": (ring(0x0010_0000, BIG | 63), r"2\^63 quadwords, expected at most 4 MiB"),
    "write pointer": (ring(0x0010_0000, BIG | 9, 5000), r"CP_RB_WPTR 0x00001388 is outside of the ring"),
    "past the write pointer": (
        lambda driver: driver.submit(type_3(Opcode.NOP, 9), 1),
        r"packet 0xc0081000 at 0x00100000: NOP: 10 dwords, 2 up to the write pointer",
    ),
    "unknown opcode": (packet(0x7F, 0), r"packet 0xc0007f00 at 0x00100000: opcode 0x7f: unknown opcode"),
    "known opcode": (packet(0x22, 0), r"DRAW_INDX: is not simulated"),
    "type 1": (lambda driver: driver.submit(1 << 30, 0, 0), r"packets of type 1 are not simulated"),
    "register": (lambda driver: driver.submit(type_0(0x4FFF, 2), 0, 0), r"register 0x5000 does not exist"),
    "ring's register": (
        lambda driver: driver.submit(type_0(Register.CP_RB_WPTR, 1), 0),
        r"CP_RB_WPTR is the CPU's to write",
    ),
    "rmw": (packet(Opcode.REG_RMW, Register.CP_RB_BASE, 0, 0), r"CP_RB_BASE is the CPU's to write"),
    "payload": (packet(Opcode.REG_TO_MEM, 1), r"REG_TO_MEM: 1 dwords, expected 2"),
    "constant kind": (packet(Opcode.SET_CONSTANT, 9 << 16, 0), r"constants of kind 9, expected 0 to 4"),
    "constant place": (
        packet(Opcode.SET_CONSTANT, 3 << 16 | 0x7FF, *[0] * 0x100),
        r"register 0x5206 does not exist",
    ),
    "memory": (packet(Opcode.MEM_WRITE, LAST | 2, 1, 2), r"0x1ffffffc: 2 dwords from here leave RAM"),
    "fence": (packet(Opcode.EVENT_WRITE_SHD, 4, 0xA000_0002, 1), r"0xa0000000: 1 dwords from here leave"),
    "buffer outside": (packet(Opcode.INDIRECT_BUFFER, LAST, 2), r"0x1ffffffc to 0x20000004 leaves RAM"),
    "buffer unaligned": (packet(Opcode.INDIRECT_BUFFER, HERE + 2, 2), r"0x00200002: not a multiple of 4"),
    "buffer in itself": (calls_itself, r"at 0x00201000: INDIRECT_BUFFER: the indirect buffer at 0x002"),
    "buffers too deep": (nests_thrice, r"at 0x00201000: INDIRECT_BUFFER: indirect buffers more than 2 deep"),
    "wait never": (packet(Opcode.WAIT_REG_MEM, 0, 0, 0, 0, 0), r"waits for what can never come true"),
    "wait impossible": (packet(Opcode.WAIT_REG_MEM, 3, 0x578, 5, 1, 0), r"waits for what can never"),
    "wait outside": (packet(Opcode.WAIT_REG_MEM, 0x13, 1 << 30, 0, 0, 0), r"0x40000000: 1 dwords from"),
    "pixel program": (packet(Opcode.IM_LOAD, PROGRAM_AT | 1, 8), r"program of stage 1"),
    "program size": (packet(Opcode.IM_LOAD, PROGRAM_AT, 7), r"program of 7 dwords"),
    "program outside": (packet(Opcode.IM_LOAD, LAST & ~3, 8), r"8 dwords from here leave RAM"),
    "no program": (header(bytes(32)), r"IM_LOAD: no program header: found 0x00000000"),
    "version": (header(struct.pack(">II24s", 0x58505247, 2, b"add")), r"version 2, expected 1"),
    "unknown program": (header(program_header("sort")), r"unknown program 'sort', expected one of add, arg"),
    "program of bytes": (header(struct.pack(">II24s", 0x58505247, 1, b"\xff")), r"unknown program '\\\\xff'"),
    "no program loaded": (packet(Opcode.DRAW_INDX_2, DRAW_POINTS), r"no program is loaded"),
    "triangles": (packet(Opcode.DRAW_INDX_2, 0x3_0084), r"only auto-indexed points"),
    "shape 0": (draws("matmul", [0, 4]), r"program matmul: i0 \(n\) is 0, expected 1 to 16777215"),
    "shape huge": (draws("matmul", [0xFFFF_FFFF, 4]), r"i0 \(n\) is 4294967295"),
    "overflow": (draws("matmul", [1 << 23, 1 << 19]), r"vf1 \(w\): 1048576 words, the program needs 43980"),
    "long vector": (draws("add", [1 << 21]), r"vf0 \(out\): 2097152 words, expected at most 1048576"),
    "short": (draws("add", [4], (HERE | 3, 3 << 2)), r"vf0 \(out\): 3 words, the program needs 4"),
    "operand": (draws("add", [4], (LAST | 3, 4 << 2)), r"vf0 \(out\): 0x1ffffffc to 0x2000000c leaves RAM"),
    "operand far": (draws("add", [4], (0xFFFF_FFFF, 4 << 2)), r"0xfffffffc to 0x10000000c leaves RAM"),
    "no vertex fetch": (draws("add", [4], (HERE, 4 << 2)), r"0x00200000 is no vertex fetch constant"),
    "shared line": (
        draws("add", [4], (HERE | 3, 16 | 2), (HERE | 3, 16), (HERE | 3, 16)),
        r"vf0 \(out\) and vf1 \(x\) share a cache line in different endian modes",
    ),
    "odd head": (draws("rope", [3, 1]), r"i0 \(head size\) is 3, expected an even number"),
    "heads": (draws("attention", [4, 6, 4, 8]), r"i1 \(heads\) is 6, expected a multiple of i2"),
    "scores": (draws("attention", [2, 1 << 18, 1, 1 << 18]), r"expected at most 16777216 scores"),
    "pieces": (draws("embedding", [2, 100, 3]), r"i1 \(rows\) is 100, expected at most 8 pieces of 3"),
    "token": (position(9, "embedding", 2, 9, 9), r"i8 \(token\) is 9, expected 0 to 8"),
    "position": (position(1 << 31, "store_rows", 2, 8), r"i31 \(position\) is 2147483648, expected 0 to 7"),
    "row": (position(3, "take_row", 2, 3), r"i30 \(row\) is 3, expected 0 to 2"),
    "no positions": (draws("add", [4, 0, 0, 0, 0, 0, 0, 17]), r"i7 \(positions\) is 17, expected 1 to 16"),
    "last position": (
        position(5, "store_rows", 2, 8, 1, 1, 1, 1, 1, 4),
        r"i31 \(position\) is 5, expected 0 to 4",
    ),
    "more than rows": (position(0, "store_rows", 2, 3, 1, 1, 1, 1, 1, 4), r"i7 .* is 4, .* i1 .* 3"),
    "more than seen": (draws("attention", [2, 1, 1, 3, 1, 1, 1, 4]), r"i7 .* 4, expected at most i3 .* 3"),
    "near results": (draws("matmul", [2, 9, 8, 1, 1, 1, 1, 2]), r"i2 .* is 8, expected at least i1 \(d\), 9"),
    "cold": (temperature(0.0), r"c1.x \(temperature\) is 0, expected a positive number"),
    "negative": (temperature(-1.0), r"c1.x \(temperature\) is -1"),
    "infinite": (temperature(float("inf")), r"is inf"),
    "no number": (temperature(float("nan")), r"is nan"),
    "epsilon": (draws("rmsnorm", [4]), r"c0.x \(epsilon\) is 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_mistake_has_its_own_words(driver: Any, name: str) -> None:
    act, words = FAULTS[name]
    start = time.monotonic()
    with pytest.raises(DeviceError) as caught:
        act(driver)
    assert re.search(words, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith("GPU command processor: ")
    assert time.monotonic() - start < 30
    driver.write(Register.CP_RB_WPTR, 0)  # it does nothing any more


def test_a_wait_that_nothing_ends_is_told_to_the_bus_in_time(driver: Any) -> None:
    driver.packet(Opcode.WAIT_REG_MEM, 0x13, HERE | 2, 1, 1, 0)
    assert not driver.failures
    end = time.monotonic() + 5
    while not driver.failures and time.monotonic() < end:
        time.sleep(0.01)
    assert re.search(r"packet 0xc0043c00 at 0x00100000: WAIT_REG_MEM: .* 0.2 s", str(driver.failures[0]))


def test_what_goes_wrong_after_a_wait_is_told_to_the_bus(driver: Any) -> None:
    driver.submit(type_3(Opcode.WAIT_REG_MEM, 5), 0x13, HERE | 2, 1, 1, 0, type_3(0x7F, 1), 0)
    driver.put(HERE, [1])
    end = time.monotonic() + 5
    while not driver.failures and time.monotonic() < end:
        time.sleep(0.01)
    assert "unknown opcode" in str(driver.failures[0])


def test_the_bus_knows_only_aligned_words_of_devices_it_has(driver: Any) -> None:
    bus = Bus()
    bus.attach(GPU_REGISTERS, driver.gpu)
    start = GPU_REGISTERS.start
    bus.write(start + 4 * Register.SCRATCH_REG0, 4, 0x1_2345_6789)
    assert bus.read(start + 4 * Register.SCRATCH_REG0, 4) == 0x2345_6789
    for address, size, words in (
        (start + 1, 4, "read of 4 bytes at 0x7fc80001: registers are aligned words"),
        (start, 2, "read of 2 bytes at 0x7fc80000: registers are aligned words"),
        (start - 4, 4, "read of 4 bytes at 0x7fc7fffc: no device"),
    ):
        with pytest.raises(DeviceError, match=words):
            bus.read(address, size)
    with pytest.raises(DeviceError, match="write of 4 bytes at 0x7fc90000: no device"):
        bus.write(GPU_REGISTERS.end, 4, 0)


def words_of_packets() -> st.SearchStrategy[int]:
    """Dwords that are packets more often than chance would have them."""
    opcodes = st.sampled_from([*Opcode, 0x22, 0x7F])
    address = st.sampled_from([0x0010_0000, PROGRAM_AT, HERE, HERE | 2, HERE | 3, LAST, DRAW_POINTS])
    return st.one_of(
        st.builds(type_3, opcodes, st.integers(1, 7)),
        st.builds(type_0, st.integers(0x1C0, 0x5000), st.integers(1, 4)),
        address,
        st.integers(0, 8),
        st.builds(lambda group, first: group << 16 | first, st.integers(0, 4), st.integers(0, 9)),
        st.integers(0, 0xFFFF_FFFF),
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(words_of_packets(), min_size=1, max_size=60),
    st.lists(words_of_packets(), max_size=20),
    st.sampled_from(sorted(PROGRAMS)),
)
def test_whatever_stands_in_the_ring_ends_or_is_a_named_error(
    make_driver: Any, words: list[int], buffer: list[int], program: str
) -> None:
    driver = make_driver()
    driver.memory.write(PROGRAM_AT, program_header(program))
    driver.put(HERE, buffer)
    try:
        driver.load_program(program)
        driver.submit(*words)
    except DeviceError as error:
        assert str(error).startswith("GPU command processor: ")
    finally:
        driver.gpu.stop()
    assert all(isinstance(error, DeviceError) for error in driver.failures)
