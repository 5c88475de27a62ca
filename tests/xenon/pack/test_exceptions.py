"""The program on a bare Unicorn, without anything of ours around it: its start, and an exception."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, cast

import pytest
import unicorn
from unicorn import ppc_const

import loader
from xenon.pack.plan import ELF_NAME, Tale, plan
from xenon.powerpc.elf import SEGMENT_LOAD, Elf
from xenon.stories.settings import Sampling

SERIAL, DISPLAY, PAGE, RAM = 0x8000_0200_EA00_1000, 0x8000_0200_EC80_6000, 0x1000, 0x2000_0000
MAY_SEND, SMC_READY = 0x0200_0000, 0x0400_0000
VECTORS = (0x100, 0x300, 0x700, 0x1800)


class BareUnicorn:
    """A CPU, RAM, a serial port that takes all, an SMC that never answers, no screen, no device tree."""

    def __init__(self, program: bytes) -> None:
        self.sent = bytearray()
        self.engine = cast(
            Any, unicorn.Uc(unicorn.UC_ARCH_PPC, unicorn.UC_MODE_PPC64 | unicorn.UC_MODE_BIG_ENDIAN)
        )
        self.engine.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)
        self.engine.mem_map(0, RAM)
        self.engine.mmio_map(SERIAL, PAGE, self._read, None, self._write, None)
        self.engine.mmio_map(DISPLAY, PAGE, lambda *_: 0, None, lambda *_: None, None)
        elf = Elf("xenon.elf", program)
        for segment in elf.program_headers():
            if segment.type == SEGMENT_LOAD:
                data = bytes(elf.bytes_at(segment.offset, segment.file_size, "a segment"))
                self.engine.mem_write(segment.address, data)
        self.entry = elf.header.entry
        self.engine.mem_write(self.entry + 8, struct.pack(">III", 0x5F61_7267, 1, 0x8E00_0010))
        stop = next(symbol for symbol in elf.symbols(elf.sections()) if symbol.name == "stop")
        self.end = stop.value + stop.size - 4

    def run(self, start: int) -> str:
        """What is sent from `start` until the thread has stopped."""
        self.sent.clear()
        self.engine.emu_start(start, self.end, timeout=120_000_000)
        return self.sent.decode().replace("\r\n", "\n")

    def _read(self, _engine: unicorn.Uc, offset: int, _size: int, _data: object) -> int:
        return {0x18: MAY_SEND, 0x84: SMC_READY}.get(offset, 0)

    def _write(self, _engine: unicorn.Uc, offset: int, _size: int, value: int, _data: object) -> None:
        if offset == 0x14:
            self.sent.append(value >> 24)


@pytest.fixture(scope="module")
def machine(joe260K: loader.Model, joe_tokenizer: loader.Tokenizer) -> Iterator[BareUnicorn]:
    tale = Tale(joe260K, joe_tokenizer, b"Sleepy Joe said", Sampling(0.0, 0.9, 1, 8))
    machine = BareUnicorn(plan(tale).files[ELF_NAME])
    text = machine.run(machine.entry)
    assert "no device tree: 00000000\n" in text
    assert "---- story ----\nSleepy Joe said" in text
    assert text.endswith("the end: switch the console off\n")
    yield machine


@pytest.mark.parametrize("vector", VECTORS)
def test_an_exception_prints_what_the_registers_hold(machine: BareUnicorn, vector: int) -> None:
    engine = machine.engine
    for number in range(32):
        engine.reg_write(ppc_const.UC_PPC_REG_0 + number, 0x1111_0000_0000_0000 + number)
    engine.reg_write(ppc_const.UC_PPC_REG_LR, 0x1234_5678)
    text = machine.run(vector)
    assert f"exception: vector {vector:016x} thread {0:016x}\n" in text
    assert f" LR {0x12345678:016x}\n" in text
    for number in range(32):
        assert f"r{number:02} {0x1111_0000_0000_0000 + number:016x}" in text
