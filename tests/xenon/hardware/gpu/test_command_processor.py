"""The ring buffer and each PM4 packet."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest

from xenon.hardware.gpu.endian import Endian
from xenon.hardware.gpu.packets import Opcode, type_0, type_3
from xenon.hardware.gpu.registers import FLOAT_CONSTANTS, LOOP_CONSTANTS, Register

TARGET = 0x0020_0000
BIG = Endian.SWAP_8_IN_32
SCRATCH = int(Register.SCRATCH_REG0)
RING, RING_WORDS = 0x0010_0000, 1024


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "the GPU did not go on"
        time.sleep(0.001)


def test_type_0_writes_registers_in_a_row_or_one_again_and_again(driver: Any) -> None:
    driver.submit(type_0(SCRATCH, 3), 7, 8, 9)
    assert [driver.read(SCRATCH + i) for i in range(3)] == [7, 8, 9]
    driver.submit(type_0(SCRATCH, 3, one_register=True), 4, 5, 6)
    assert [driver.read(SCRATCH + i) for i in range(3)] == [6, 8, 9]


def test_type_2_zeros_and_nop_do_nothing(driver: Any) -> None:
    driver.submit(0x8000_0000, 0, type_3(Opcode.NOP, 2), 0xFFFF_FFFF, 0xFFFF_FFFF, type_0(SCRATCH, 1), 3)
    assert driver.read(SCRATCH) == 3
    for opcode in (Opcode.WAIT_FOR_IDLE, Opcode.INVALIDATE_STATE, Opcode.ME_INIT):
        driver.packet(opcode, 0x1FF)


def test_the_read_pointer_follows_the_write_pointer_around_the_ring(driver: Any) -> None:
    for number in range(700):
        driver.submit(type_0(SCRATCH, 1), number)
        assert driver.read(Register.CP_RB_RPTR) == driver.read(Register.CP_RB_WPTR)
        assert driver.read(SCRATCH) == number
    assert driver.position == 1400 % RING_WORDS


def test_the_read_pointer_is_written_back_to_memory(driver: Any) -> None:
    driver.write(Register.CP_RB_RPTR_ADDR, TARGET | BIG)
    driver.submit(0x8000_0000, 0x8000_0000)
    assert driver.word(TARGET) == 2
    driver.start(control=BIG << 16 | 9 | 1 << 27)
    driver.submit(*[0x8000_0000] * 5)
    assert driver.word(TARGET) == 2


@pytest.mark.parametrize("mode", Endian)
def test_the_ring_is_read_in_its_endian_mode(driver: Any, mode: Endian) -> None:
    driver.start(control=mode << 16 | 9)
    order = {0: "<", 1: "<", 2: ">", 3: ">"}[mode]
    data = struct.pack(f"{order}2I", type_0(SCRATCH, 1), 0x1234_5678)
    if mode in (Endian.SWAP_8_IN_16, Endian.SWAP_16_IN_32):
        data = b"".join(data[i : i + 2][::-1] for i in range(0, 8, 2))
    driver.memory.write(RING, data)
    driver.write(Register.CP_RB_WPTR, 2)
    assert driver.read(SCRATCH) == 0x1234_5678


def test_a_halted_micro_engine_goes_on_when_the_bit_is_cleared(driver: Any) -> None:
    driver.write(Register.CP_ME_CNTL, 1 << 28)
    driver.submit(type_0(SCRATCH, 1), 5)
    assert driver.read(SCRATCH) == 0
    driver.write(Register.CP_ME_CNTL, 0)
    assert driver.read(SCRATCH) == 5


@pytest.mark.parametrize(
    ("mode", "stored"),
    [(0, "78563412"), (1, "56781234"), (2, "12345678"), (3, "34127856")],
)
def test_mem_write_permutes_bytes_by_the_mode_in_its_address(driver: Any, mode: int, stored: str) -> None:
    driver.packet(Opcode.MEM_WRITE, TARGET | mode, 0x1234_5678, 0x1234_5678)
    assert driver.memory.read(TARGET, 8).hex() == stored * 2


def test_reg_to_mem_copies_a_register(driver: Any) -> None:
    driver.write(SCRATCH + 1, 0xCAFE)
    driver.packet(Opcode.REG_TO_MEM, SCRATCH + 1, TARGET | BIG)
    assert driver.word(TARGET) == 0xCAFE


def test_reg_rmw_takes_values_or_registers(driver: Any) -> None:
    driver.write(SCRATCH, 0xFF00)
    driver.packet(Opcode.REG_RMW, SCRATCH, 0x0FF0, 0x1)
    assert driver.read(SCRATCH) == 0x0F01
    driver.write(SCRATCH + 1, 0x0F00)
    driver.write(SCRATCH + 2, 0x8000_0000)
    driver.packet(Opcode.REG_RMW, SCRATCH | 3 << 30, SCRATCH + 1, SCRATCH + 2)
    assert driver.read(SCRATCH) == 0x8000_0F00


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        *((0, 5, False), (1, 4, True), (1, 5, False), (2, 5, True), (3, 5, True), (3, 4, False)),
        *(
            (4, 4, True),
            (4, 5, False),
            (5, 5, True),
            (5, 4, False),
            (6, 6, True),
            (6, 5, False),
            (7, 0, True),
        ),
    ],
)
def test_cond_write_writes_where_its_condition_holds(
    driver: Any, condition: int, value: int, holds: bool
) -> None:
    driver.write(SCRATCH, value | 0xFF00)
    driver.packet(Opcode.COND_WRITE, condition, SCRATCH, 5, 0xFF, SCRATCH + 1, 99)
    assert driver.read(SCRATCH + 1) == (99 if holds else 0)
    driver.put(TARGET, [value])
    driver.packet(Opcode.COND_WRITE, condition | 0x110, TARGET | BIG, 5, 0xFF, (TARGET + 4) | BIG, 98)
    assert driver.word(TARGET + 4) == (98 if holds else 0)


def test_wait_reg_mem_goes_on_at_once_when_its_condition_holds(driver: Any) -> None:
    driver.put(TARGET, [3])
    driver.submit(type_3(Opcode.WAIT_REG_MEM, 5), 0x13, TARGET | BIG, 3, 0xFF, 0, type_0(SCRATCH, 1), 1)
    assert driver.read(SCRATCH) == 1


def test_wait_reg_mem_waits_until_a_cpu_has_written(driver: Any) -> None:
    buffer = [type_3(Opcode.WAIT_REG_MEM, 5), 0x13, TARGET | BIG, 3, 0xFF, 0, type_0(SCRATCH, 1), 1]
    driver.put(TARGET + 0x100, buffer)
    driver.packet(Opcode.INDIRECT_BUFFER, TARGET + 0x100, len(buffer))
    assert driver.read(SCRATCH) == 0
    assert driver.read(Register.RBBM_STATUS) >> 31 == 1
    driver.submit(type_0(SCRATCH + 1, 1), 2)  # comes after, although it is submitted while the GPU waits
    assert driver.read(SCRATCH + 1) == 0
    driver.put(TARGET, [3])
    wait_for(lambda: driver.read(SCRATCH + 1) == 2 and driver.read(Register.RBBM_STATUS) == 0)
    assert driver.read(SCRATCH) == 1
    assert not driver.failures


def test_a_fence_holds_its_value_or_the_count_of_draws(driver: Any) -> None:
    driver.packet(Opcode.EVENT_WRITE_SHD, 4, TARGET | BIG, 77)
    assert driver.word(TARGET) == 77
    assert driver.read(Register.VGT_EVENT_INITIATOR) == 4
    driver.store(TARGET, [1.0])
    driver.draw("add", [driver.fetch(TARGET, 1)] * 3, [1])
    driver.packet(Opcode.EVENT_WRITE_SHD, 4 | 1 << 31, (TARGET + 4) | BIG, 77)
    assert driver.word(TARGET + 4) == 1


def test_an_interrupt_is_pending_until_it_is_acknowledged_if_it_is_enabled(driver: Any) -> None:
    masks: list[int] = []
    driver.gpu.processor.handlers.on_interrupt = masks.append
    driver.packet(Opcode.INTERRUPT, 0x5)
    assert driver.read(Register.CP_INT_STATUS) == 0
    driver.write(Register.CP_INT_CNTL, 1 << 31)
    driver.packet(Opcode.INTERRUPT, 0x3F)
    assert driver.read(Register.CP_INT_STATUS) == 1 << 31
    driver.write(Register.CP_INT_ACK, 1 << 31)
    assert driver.read(Register.CP_INT_STATUS) == 0
    assert masks == [5, 0x3F]


def test_scratch_registers_are_mirrored_where_the_mask_says(driver: Any) -> None:
    driver.write(Register.SCRATCH_ADDR, TARGET)
    driver.write(Register.SCRATCH_UMSK, 0b10)
    driver.submit(type_0(SCRATCH, 2), 11, 12)
    assert (driver.word(TARGET), driver.word(TARGET + 4)) == (0, 12)


def test_constants_come_from_packets_and_from_memory(driver: Any) -> None:
    driver.set(3, 5, 1, 2)
    assert driver.gpu.registers[LOOP_CONSTANTS + 5 : LOOP_CONSTANTS + 7] == [1, 2]
    driver.put(TARGET, [10, 20, 30])
    driver.packet(Opcode.LOAD_ALU_CONSTANT, TARGET, 0 << 16 | 8, 3)
    assert driver.gpu.registers[FLOAT_CONSTANTS + 8 : FLOAT_CONSTANTS + 11] == [10, 20, 30]
    driver.set(4, 0x1F9, 6)
    assert driver.read(Register.VGT_EVENT_INITIATOR) == 6


def test_indirect_buffers_nest_twice_and_follow_what_is_written_into_them(driver: Any) -> None:
    inner, outer = TARGET, TARGET + 0x1000
    driver.put(inner, [type_0(SCRATCH, 1), 1])
    driver.put(outer, [type_3(Opcode.INDIRECT_BUFFER_PFD, 2), inner, 2, type_0(SCRATCH + 1, 1), 2])
    for value in (1, 5):
        driver.put(inner + 4, [value])
        driver.packet(Opcode.INDIRECT_BUFFER, outer, 5)
        assert driver.read(SCRATCH) == value
    assert driver.read(SCRATCH + 1) == 2
    driver.packet(Opcode.INDIRECT_BUFFER, outer, 0)
