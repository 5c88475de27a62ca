"""UART and SMC, register by register."""

from __future__ import annotations

import struct

import pytest

from xenon.hardware.bus import DeviceError
from xenon.hardware.smc import CLOCK_START, Smc
from xenon.hardware.southbridge import Southbridge
from xenon.hardware.uart import Uart

READY = 0x0400_0000


class Bench:
    """A southbridge with somebody at each end."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.switched_off = 0
        self.smc = Smc(lambda: CLOCK_START + 1.25, self._power_off)
        self.bridge = Southbridge(Uart(self.sent.extend), self.smc)

    def _power_off(self) -> None:
        self.switched_off += 1

    def send(self, *message: int) -> None:
        self.bridge.write(0x84, READY)
        for word in struct.unpack(">4I", bytes(message).ljust(16, b"\0")):
            self.bridge.write(0x80, word)
        self.bridge.write(0x84, 0)

    def answer(self) -> bytes:
        assert self.bridge.read(0x94) == READY
        self.bridge.write(0x94, READY)
        words = [self.bridge.read(0x90) for _ in range(4)]
        self.bridge.write(0x94, 0)
        return struct.pack(">4I", *words)


def test_the_uart_sends_the_top_byte_and_is_always_ready() -> None:
    bench = Bench()
    for byte in b"hi\xff":
        assert bench.bridge.read(0x18) == 0x0200_0000
        bench.bridge.write(0x14, byte << 24)
    assert bench.sent == b"hi\xff"
    assert bench.bridge.read(0x10) == 0
    bench.bridge.write(0x1C, bench.bridge.read(0x1C))


def test_another_speed_is_refused() -> None:
    with pytest.raises(DeviceError, match="UART: write of 0x63010000 to the register config"):
        Bench().bridge.write(0x1C, 0x6301_0000)


@pytest.mark.parametrize("message", [(0x82, 1), (0x82, 4, 0x30, 0)])
def test_power_off_and_restart_end_the_run(message: tuple[int, ...]) -> None:
    bench = Bench()
    bench.send(*message)
    assert bench.switched_off == 1


def test_the_ring_of_light_is_kept() -> None:
    bench = Bench()
    assert bench.smc.lights is None
    bench.send(0x99, 1, 0x81)
    assert bench.smc.lights == 0x81


def test_questions_are_answered_in_order() -> None:
    bench = Bench()
    assert bench.bridge.read(0x94) == 0
    bench.send(0x04)
    bench.send(0x0F)
    bench.send(0x07)
    bench.send(0x88, 0x50)
    clock = bench.answer()
    assert (clock[0], int.from_bytes(clock[1:6], "little")) == (0x04, 1250)
    assert bench.answer()[0] == 0x0F
    temperatures = bench.answer()
    assert temperatures[0] == 0x07
    assert all(20 < degrees / 256 < 80 for degrees in struct.unpack_from("<4H", temperatures, 1))
    assert bench.bridge.read(0x94) == 0


@pytest.mark.parametrize(
    ("writes", "what"),
    [
        ([(0x80, 1)], "data without the start of a message"),
        ([(0x84, READY), (0x80, 0), (0x84, 0)], "a message of 1 words, expected 4"),
        ([(0x84, READY), *[(0x80, 0x5500_0000)] * 4, (0x84, 0)], "message 55 00 00 00 55"),
        ([(0x20, 0)], "southbridge: write at 0x200ea001020"),
    ],
)
def test_what_the_controller_does_not_know_is_an_error(writes: list[tuple[int, int]], what: str) -> None:
    bench = Bench()
    with pytest.raises(DeviceError, match=what):
        for offset, value in writes:
            bench.bridge.write(offset, value)
