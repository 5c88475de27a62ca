"""The Commodore 64's memory, RAM expansion and KERNAL entries, by small programs on this computer's build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from assembler import assemble, basic_program
from c64_parts import HostRun, run_on_host
from c64_programs import matrix_program
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xenon.c64.network import matmul
from xenon.c64.oscar64 import Bits, bits_of

ENDED, NO_KEY, UNDOCUMENTED, NO_ENTRY, IN_IO, NO_SYS = range(1, 7)
KIB, MIB = 1 << 10, 1 << 20
SCREEN = 0x400


def run(folder: Path, source: str, reu: bytes = b"", keys: bytes = b"", stop: int = ENDED) -> HostRun:
    """Assemble a program behind SYS, run it, and expect how it ends."""
    done = run_on_host(folder, basic_program(source), reu, keys)
    assert done.stop == stop, f"stopped at ${done.pc:04X}"
    return done


def transfer(command: int, length: int, c64: int = 0x3000, reu: int = 0, more: str = "") -> str:
    """Registers of the expansion, as a program writes them; `more` comes before the command."""
    registers = [c64 & 255, c64 >> 8, reu & 255, reu >> 8 & 255, reu >> 16, length & 255, length >> 8 & 255]
    source = "".join(f"LDA #{byte} : STA ${0xDF02 + number:04X}\n" for number, byte in enumerate(registers))
    return f"{source}{more}\nLDA #{command} : STA $DF01\n"


def fill(address: int, data: bytes) -> str:
    return "".join(f"LDA #{byte} : STA ${address + number:04X}\n" for number, byte in enumerate(data))


REGISTERS = "LDX #10\nread: LDA $DF00,X : STA $2000,X : DEX : BPL read : RTS"


def registers(done: HostRun) -> bytes:
    return done.ram[0x2000:0x200B]


def memory(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()


def test_rom_and_devices_come_and_go_with_the_port(c64_folder: Path) -> None:
    source = """
        LDA #$55 : STA $A000 : STA $E000 : STA $D800
        LDA #$34 : STA $01
        LDA #$66 : STA $D800
        LDA $A000 : STA $2000 : LDA $E000 : STA $2001 : LDA $D800 : STA $2002
        LDA #$37 : STA $01
        LDA $A000 : STA $2003 : LDA $E000 : STA $2004 : LDA $D800 : STA $2005 : LDA $01 : STA $2006
        LDA #$33 : STA $01 : LDA $D800 : STA $2007 : LDA #$37 : STA $01 : RTS
    """
    done = run(c64_folder, source)
    assert done.ram[0x2000:0x2008] == bytes.fromhex("555566 ffff f5 37 ff")
    assert done.rom_reads == 3


def test_the_port_reads_its_inputs(c64_folder: Path) -> None:
    source = "LDA $00 : STA $2000 : LDA #0 : STA $00 : LDA $01 : STA $2001 : LDA #$2F : STA $00 : RTS"
    assert run(c64_folder, source).ram[0x2000:0x2002] == bytes([0x2F, 0x17])


@pytest.mark.parametrize("size", [128 * KIB, 256 * KIB, 512 * KIB, MIB, 2 * MIB, 16 * MIB])
def test_sizes_of_the_expansion(c64_folder: Path, size: int) -> None:
    held = memory(size)
    last = size - 5
    done = run(c64_folder, transfer(0x91, 10, reu=last) + REGISTERS, held)
    assert done.ram[0x3000:0x300A] == (held + held)[last : last + 10]
    counter = max(size, 512 * KIB) - 1
    unused = ~(counter >> 16) & 255
    behind = last + 10 & counter
    assert registers(done)[0] == (0x40 if size == 128 * KIB else 0x50)
    assert registers(done)[2:9] == bytes(
        [0x0A, 0x30, behind & 255, behind >> 8 & 255, behind >> 16 | unused, 1, 0]
    )


def test_fetch_stash_swap_and_verify(c64_folder: Path) -> None:
    held = memory(128 * KIB)
    own = bytes(range(1, 9))
    stashed = run(c64_folder, fill(0x3000, own) + transfer(0x90, 8, reu=0x100) + REGISTERS, held)
    assert stashed.reu == held[:0x100] + own + held[0x108:]
    swapped = run(c64_folder, fill(0x3000, own) + transfer(0x92, 8, reu=0x100) + REGISTERS, held)
    assert swapped.reu == stashed.reu and swapped.ram[0x3000:0x3008] == held[0x100:0x108]
    assert swapped.cycles - stashed.cycles == 8
    same = run(c64_folder, transfer(0x91, 8) + transfer(0x93, 8) + REGISTERS, held)
    assert registers(same)[0] == 0x40 and registers(same)[7:9] == bytes([1, 0])
    spoilt = "LDA $3005 : EOR #1 : STA $3005 : LDA $DF00\n"
    other = run(c64_folder, transfer(0x91, 8) + spoilt + transfer(0x93, 8) + REGISTERS, held)
    assert registers(other)[0] == 0x20
    assert registers(other)[2:9] == bytes([6, 0x30, 6, 0, 0xF8, 2, 0])


def test_a_length_of_0_is_64_kilobytes(c64_folder: Path) -> None:
    held = memory(128 * KIB)
    done = run(c64_folder, transfer(0x90, 0, c64=0, more="LDA #$80 : STA $DF0A") + REGISTERS, held)
    assert done.reu == bytes([done.ram[0]]) * 64 * KIB + held[64 * KIB :]


def test_addresses_that_stay_and_registers_that_come_back(c64_folder: Path) -> None:
    held = memory(128 * KIB)
    fixed = transfer(0xB1, 4, reu=0x20, more="LDA #$40 : STA $DF0A")
    done = run(c64_folder, fixed + REGISTERS, held)
    assert done.ram[0x3000:0x3004] == held[0x20:0x21] * 4
    assert registers(done) == bytes([0x40, 0x31, 0, 0x30, 0x20, 0, 0xF8, 4, 0, 0x1F, 0x7F])
    port = transfer(0x91, 3, c64=0xD020, more="LDA #$80 : STA $DF0A") + "LDA $D020 : STA $2000 : RTS"
    assert run(c64_folder, port, held).ram[0x2000] == held[2]


def test_half_a_register_takes_the_other_half_back(c64_folder: Path) -> None:
    source = transfer(0x91, 0x102, c64=0x3000) + "LDA #9 : STA $DF02 : STA $DF07\n" + REGISTERS
    assert registers(run(c64_folder, source, memory(128 * KIB)))[2:9] == bytes([9, 0x30, 2, 1, 0xF8, 9, 1])


def test_a_transfer_waits_for_a_write_to_ff00(c64_folder: Path) -> None:
    held = memory(128 * KIB)
    source = transfer(0x81, 2) + "LDA $3000 : STA $2010 : LDA #7 : STA $FF00 : LDA $3000 : STA $2011\n"
    done = run(c64_folder, source + REGISTERS, held)
    assert done.ram[0x2010:0x2012] == bytes([0, held[0]]) and done.ram[0xFF00] == 7
    assert registers(done)[1] == 0x11


def test_status_of_an_interrupt_is_cleared_by_reading(c64_folder: Path) -> None:
    source = transfer(0x91, 2, more="LDA #$C0 : STA $DF09")
    source += "LDA $DF00 : STA $2010 : LDA $DF00 : STA $2011 : RTS"
    assert run(c64_folder, source, memory(128 * KIB)).ram[0x2010:0x2012] == bytes([0xC0, 0x00])


def test_without_an_expansion_nothing_answers(c64_folder: Path) -> None:
    assert registers(run(c64_folder, REGISTERS)) == b"\xff" * 11


def test_characters_keys_and_cursor_of_the_kernal(c64_folder: Path) -> None:
    source = """
        LDX #2 : LDY #5 : CLC : JSR $FFF0
        LDA #$CF : JSR $FFD2 : LDA #$4B : JSR $FFD2
        SEC : JSR $FFF0 : STX $2000 : STY $2001 : LDA $D3 : STA $2002 : LDA $D6 : STA $2003
        LDY #0
    wait: JSR $FFE4 : BEQ wait
        STA $2010,Y : INY : CPY #2 : BNE wait
        JSR $FFE4 : STA $2004
        LDA #13 : JSR $FFD2 : LDA #$31 : JSR $FFD2 : LDA #18 : JSR $FFD2 : LDA #$31 : JSR $FFD2
        LDA #13 : JSR $FFD2
        RTS
    """
    done = run(c64_folder, source, keys=b"A\r")
    assert done.ram[0x2000:0x2005] == bytes([2, 7, 7, 2, 0])
    assert done.ram[0x2010:0x2012] == b"A\r"
    assert done.ram[SCREEN + 85 : SCREEN + 87] == bytes([0x4F, 0x0B])
    assert done.ram[SCREEN + 120 : SCREEN + 122] == bytes([0x31, 0xB1])


def test_the_screen_moves_up_behind_its_end(c64_folder: Path) -> None:
    source = """
        LDA #$41 : JSR $FFD2
        LDX #24 : LDY #39 : CLC : JSR $FFF0 : LDA #$42 : JSR $FFD2 : LDA #$43 : JSR $FFD2 : RTS
    """
    screen = run(c64_folder, source).ram[SCREEN : SCREEN + 1000]
    assert screen[0] == 0x20 and screen[23 * 40 + 39] == 2 and screen[24 * 40] == 3


def test_how_programs_stop(c64_folder: Path) -> None:
    assert run(c64_folder, "wait: JSR $FFE4 : JMP wait", stop=NO_KEY).ram[0xC6] == 0
    assert run(c64_folder, ".BYTE $02", stop=UNDOCUMENTED).pc == 2061
    assert run(c64_folder, "JSR $FFD5", stop=NO_ENTRY).pc == 0xFFD5
    assert run(c64_folder, "BRK", stop=NO_ENTRY).pc == 0xFFFF
    assert run(c64_folder, "JMP $D020", stop=IN_IO).pc == 0xD020
    nothing = run_on_host(c64_folder, b"\x01\x08" + bytes(20))
    assert nothing.stop == NO_SYS
    assert run_on_host(c64_folder, b"\x00\xff" + bytes(257)).stop == -1
    assert run_on_host(c64_folder, b"\x00\x00" + bytes(9)).stop == -1


def test_a_program_at_another_address_is_started_there(c64_folder: Path) -> None:
    code = assemble(0xC000, "LDA #5 : STA $2000 : RTS")
    done = run_on_host(c64_folder, b"\x00\xc0" + code)
    assert done.stop == ENDED and done.ram[0x2000] == 5
    assert (done.instructions, done.cycles) == (3, 2 + 4 + 6)


def test_an_unpacker_that_runs_a_basic_program(c64_folder: Path) -> None:
    """As Exomizer ends: CLR, relinking, and RUN of what it has unpacked, here a line with another number."""
    first = basic_program(fill(0x0806, b"2200") + "JSR $A659 : JSR $A533 : JMP $A7AE")
    second = assemble(2200, "LDA #5 : STA $2000 : RTS")
    done = run_on_host(c64_folder, first.ljust(2 + 2200 - 0x0801, b"\0") + second)
    assert done.stop == ENDED and done.ram[0x2000] == 5


def test_clocks_run_with_the_cycles(c64_folder: Path) -> None:
    source = """
        LDA #0 : STA $DD0B : STA $DD0A : STA $DD09 : STA $DD08
        LDA $D012 : STA $2000 : LDA $DC04 : STA $2001
        LDX #0 : LDY #0
    wait: DEX : BNE wait : DEY : BNE wait
        LDA $DD0A : STA $2002 : LDA $DD09 : STA $2003 : LDA $DD08 : STA $2004
        LDA $D012 : STA $2005 : LDA $DC04 : STA $2006 : RTS
    """
    done = run(c64_folder, source)
    waited = 256 * (256 * 5 + 4)
    tenths = waited * 10 // 985248
    assert done.ram[0x2002:0x2005] == bytes([0, tenths // 10, tenths % 10])
    assert done.ram[0x2000] != done.ram[0x2005] and done.ram[0x2001] != done.ram[0x2006]


def product(folder: Path, weights: Bits, x: Bits) -> Bits:
    """What the 6502 program makes of a matrix and a vector: sums behind them in the expansion."""
    rows, columns = weights.shape
    held = np.concatenate([x, weights.reshape(-1)]).astype("<u4").tobytes()
    done = run_on_host(folder, matrix_program(rows, columns), held.ljust(128 * KIB, b"\0"))
    assert done.stop == ENDED
    return np.frombuffer(done.reu, "<u4", rows, len(held)).astype(np.int64)


def test_rows_fetched_and_multiplied_by_6502_code_are_those_of_the_model(c64_folder: Path) -> None:
    rng = np.random.default_rng(1)
    weights, x = bits_of(rng.normal(0, 1, (24, 63))), bits_of(rng.normal(0, 1, 63))
    np.testing.assert_array_equal(product(c64_folder, weights, x), matmul(weights, x[None])[0])


@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=24, max_size=24))
@example([*[0] * 6, 0x011E017E, *[0] * 15, 0xBE4F6281, 0])  # the product's exponent field is 0
@settings(max_examples=40)
def test_any_bits_give_the_same_in_6502_code_and_in_the_model(c64_folder: Path, values: list[int]) -> None:
    numbers = np.array(values, np.int64)
    near = (numbers & 0x807FFFFF) | 0x3F000000 + (numbers >> 24 & 7) * 0x800000  # where sums lose bits
    for bits in (numbers, near):
        weights, x = bits[:20].reshape(5, 4), bits[20:]
        np.testing.assert_array_equal(product(c64_folder, weights, x), matmul(weights, x[None])[0])
