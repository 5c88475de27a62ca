"""The remote protocol by hand: packets, wrong packets, and peers that are no gdb."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from xenon.debugger.debugger import Debugger
from xenon.debugger.description import REGISTERS
from xenon.debugger.server import Server, parse_address
from xenon.debugger.stepping import branch, next_places
from xenon.errors import XenonError
from xenon.hardware.cpu import Cpu, Protection, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.machine import Machine, MachineSettings
from xenon.recompiler.cpu_kind import CpuKind

CODE, DATA = 0x10000, 0x20000
PROGRAM = (
    0x38600007,  # li r3, 7
    0x3C800002,  # lis r4, 2
    0x90640000,  # stw r3, 0(r4)
    0x44000002,  # sc
    0x48000000,  # b .
)
BRANCH_TO_ITSELF = CODE + 16


class Silent:
    """Answers each system call by going on."""

    def serve(self, _cpu: Cpu, trap: Trap) -> int:
        assert trap.kind is TrapKind.SYSTEM_CALL
        return trap.pc


class Peer:
    """A client that speaks the protocol by hand."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, packet: str | bytes) -> None:
        body = packet.encode() if isinstance(packet, str) else packet
        self.socket.sendall(b"$%b#%02x" % (body, sum(body) & 0xFF))

    def receive(self) -> str:
        """The next packet, acknowledged."""
        data = b""
        while not (b"$" in data and data[-3:-2] == b"#"):
            byte = self.socket.recv(1)
            assert byte, "the connection has ended"
            data += byte
        self.socket.sendall(b"+")
        return data[data.index(b"$") + 1 : -3].decode("latin-1")

    def ask(self, packet: str | bytes) -> str:
        self.send(packet)
        return self.receive()

    def is_closed(self) -> bool:
        try:
            while data := self.socket.recv(4096):
                assert data
        except ConnectionResetError:
            pass
        return True


@pytest.fixture
def server() -> Iterator[Server]:
    """A bare program under the server, on one hardware thread, before its first instruction."""
    machine = Machine(MachineSettings(cpu=CpuKind.UNICORN))
    machine.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    machine.pages.map(DATA, PAGE_BYTES, Protection.READ | Protection.WRITE)
    machine.memory.write(CODE, struct.pack(f">{len(PROGRAM)}I", *PROGRAM))
    server = Server(machine, "127.0.0.1", 0)
    machine.start(0, lambda cpu: machine.run(cpu, CODE, Silent()))
    yield server
    machine.stop()
    server.finish(None)


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    client = Peer(server.address)
    with closing(client.socket):
        yield client


def pc_of(peer: Peer) -> int:
    return int(peer.ask("p40"), 16)


def test_one_instruction_at_a_time(peer: Peer) -> None:
    assert peer.ask("?").startswith("T05thread:1;")
    places = []
    for _ in range(6):
        places.append(pc_of(peer))
        assert peer.ask("vCont;s:1") == "T05thread:1;"
    assert places == [CODE, CODE + 4, CODE + 8, CODE + 12, CODE + 16, CODE + 16]
    assert peer.ask(f"m{DATA:x},4") == "00000007"


def test_a_breakpoint_is_not_seen_in_memory(peer: Peer) -> None:
    assert peer.ask(f"Z0,{CODE + 8:x},4") == "OK"
    assert peer.ask("vCont;c") == "T05thread:1;swbreak:;"
    assert pc_of(peer) == CODE + 8
    assert peer.ask(f"m{CODE:x},14") == struct.pack(">5I", *PROGRAM).hex()
    assert peer.ask(f"M{CODE + 8:x},4:60000000") == "OK"  # a new instruction below the breakpoint
    assert peer.ask("s") == "T05thread:1;"  # over the breakpoint, which stays
    assert peer.ask(f"m{DATA:x},4") == "00000000"
    assert peer.ask(f"z0,{CODE + 8:x},4") == "OK"
    assert peer.ask(f"m{CODE + 8:x},4") == "60000000"


def test_all_registers_are_read_and_written(peer: Peer) -> None:
    values = peer.ask("g")
    assert len(values) == sum(register.digits for register in REGISTERS)
    for register in REGISTERS:
        if register.name in ("pc", "msr", "vscr", "fpscr", "xer"):  # not all of their bits are there
            continue
        value = f"{register.number + 1:x}".rjust(register.digits, "0")
        assert peer.ask(f"P{register.number:x}={value}") == "OK"
        assert peer.ask(f"p{register.number:x}") == value, register.name
    assert peer.ask(f"P45={0x2000_0000:08x}") == "OK"  # XER's carry
    assert int(peer.ask("p45"), 16) & 0x2000_0000
    changed = peer.ask("g")
    assert peer.ask("G" + changed) == "OK"
    assert peer.ask("g") == changed
    assert peer.ask("G" + changed[:-2]) == "E01"


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        ("m0,4", "E0e"),
        (f"m{DATA + PAGE_BYTES - 2:x},8", "0000"),
        ("m1ffffff0,ffffffffffffffff", "E0e"),
        ("mffffffffffffffff,2", "E0e"),
        ("mffffffffffff8000,8", "E0e"),
        ("m,", "E01"),
        ("mzz,1", "E01"),
        ("M0,1:00", "E0e"),
        (f"M{DATA:x},2:00", "E01"),
        (f"M{DATA:x},2:0", "E01"),
        (f"X{DATA:x},4:abcd".encode(), "OK"),
        (f"X{DATA:x},9:abcd".encode(), "E01"),
        (b"X\xff,1:a", "E01"),
        ("p", "E01"),
        ("pffff", "E01"),
        ("P0", "E01"),
        ("P0=1", "E01"),
        ("P3=zzzzzzzzzzzzzzzz", "E01"),
        ("Hg9", "E02"),
        ("Hgzz", "E01"),
        ("T5", "E02"),
        ("T1", "OK"),
        (f"Z0,{DATA:x},4", "E0e"),
        (f"Z0,{CODE + 2:x},4", "E0e"),
        ("Z0,0,4", "E0e"),
        ("Z0", "E01"),
        ("Z2,0,4", "E16"),
        (f"Z2,{CODE:x},4", "E16"),
        (f"Z2,{DATA:x},ffffffffffff", "E16"),
        ("Z7,0,4", ""),
        ("vCont;x:1", "E01"),
        ("vCont;c:7", "E02"),
        ("vCont", "E01"),
        ("vRun;", ""),
        ("qXfer:features:read:other.xml:0,10", ""),
        ("qXfer:features:write:target.xml:0,10", ""),
        ("qXfer:features:read:target.xml:0", "E01"),
        ("qXfer:features:read:target.xml:ffffffff,10", "l"),
        ("qThreadExtraInfo,zz", "E01"),
        ("qRcmd,zz", "E01"),
        ("qSupportedX", ""),
        ("", ""),
        ("\x00\x01", ""),
        ("R00", ""),
    ],
)
def test_wrong_packets_get_an_error_and_do_no_harm(peer: Peer, packet: str | bytes, answer: str) -> None:
    assert peer.ask(packet) == answer
    assert pc_of(peer) == CODE


def test_a_packet_with_a_wrong_sum_is_asked_for_again(peer: Peer) -> None:
    peer.socket.sendall(b"$p40#00")
    assert peer.socket.recv(1) == b"-"
    assert pc_of(peer) == CODE


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\x00" * 64, b"$" + b"m" * 100_000, b"\xff"]
)
@pytest.mark.filterwarnings("ignore:gdb's connection is closed")
def test_a_peer_that_is_no_gdb_is_left_and_the_next_one_served(server: Server, data: bytes) -> None:
    stranger = Peer(server.address)
    with closing(stranger.socket):
        stranger.socket.sendall(data)
        assert stranger.is_closed()
    with closing((peer := Peer(server.address)).socket):
        assert pc_of(peer) == CODE


def test_a_running_program_is_interrupted_left_and_met_again(server: Server) -> None:
    with closing((peer := Peer(server.address)).socket):
        peer.send("c")
        time.sleep(0.05)
        peer.socket.sendall(b"\x03")
        assert peer.receive().startswith("T02thread:1;")
        assert pc_of(peer) == BRANCH_TO_ITSELF
        assert peer.ask("D") == "OK"
        assert peer.is_closed()
    with closing((peer := Peer(server.address)).socket):
        assert peer.ask("?").startswith("T02thread:1;")
        assert pc_of(peer) == BRANCH_TO_ITSELF


def test_the_end_is_told(server: Server) -> None:
    with closing((peer := Peer(server.address)).socket):
        peer.send("c")
        finishing = threading.Timer(0.05, server.finish, [42])
        finishing.start()
        assert peer.receive() == "W2a"
        finishing.join()


@pytest.mark.parametrize(("kind", "word"), [(2, "watch"), (4, "awatch")])
def test_a_watchpoint_tells_the_address(peer: Peer, kind: int, word: str) -> None:
    assert peer.ask(f"Z{kind},{DATA + 2:x},2") == "OK"
    assert peer.ask("vCont;c") == f"T05thread:1;{word}:{DATA + 2:x};"
    assert pc_of(peer) == CODE + 12
    assert peer.ask(f"m{DATA:x},4") == "00000007"


def test_a_store_beside_a_watched_place_passes(peer: Peer) -> None:
    assert peer.ask(f"Z2,{DATA + 4:x},4") == "OK"
    assert peer.ask(f"Z0,{CODE + 12:x},4") == "OK"
    assert peer.ask("vCont;c") == "T05thread:1;swbreak:;"
    assert peer.ask(f"m{DATA:x},4") == "00000007"


@pytest.mark.parametrize(
    "text", ["0.0.0.0:1", "192.168.1.1:1", "example.org:1", "1:2:3:1", "x", "", "65536", "-1", "1.5"]
)
def test_only_loopback_addresses_and_ports_are_taken(text: str) -> None:
    with pytest.raises(XenonError):
        parse_address(text)


def test_addresses_are_understood() -> None:
    assert parse_address("1234") == parse_address(":1234") == ("127.0.0.1", 1234)
    assert parse_address("localhost:0") == ("127.0.0.1", 0)
    assert parse_address("[::1]:7") == ("::1", 7)


def test_a_port_that_is_taken_is_an_error(server: Server) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(XenonError, match=rf"127\.0\.0\.1:{port}: "):
        Server(Machine(MachineSettings(cpu=CpuKind.UNICORN)), "127.0.0.1", port)


@pytest.mark.parametrize(
    ("word", "registers", "place", "changed"),
    [
        (0x48000101, {}, 0x10100, {"lr": 0x10004}),  # bl .+0x100
        (0x48000102, {}, 0x100, {}),  # ba 0x100
        (0x4BFFFF00, {}, 0xFF00, {}),  # b .-0x100
        (0x4E800020, {"lr": 0x2003}, 0x2000, {}),  # blr
        (0x4E800421, {"ctr": 0x3000}, 0x3000, {"lr": 0x10004}),  # bctrl
        (0x42000008, {"ctr": 2}, 0x10008, {"ctr": 1}),  # bdnz .+8
        (0x42000008, {"ctr": 1}, 0x10004, {"ctr": 0}),
        (0x42400008, {"ctr": 1}, 0x10008, {"ctr": 0}),  # bdz .+8
        (0x41820008, {"cr": 0x2000_0000}, 0x10008, {}),  # beq .+8
        (0x41820008, {"cr": 0}, 0x10004, {}),
        (0x40820008, {"cr": 0}, 0x10008, {}),  # bne .+8
        (0x4D820020, {"cr": 0x2000_0000, "lr": 0x40}, 0x40, {}),  # beqlr
    ],
)
def test_branches_go_where_the_books_say(
    word: int, registers: dict[str, int], place: int, changed: dict[str, int]
) -> None:
    assert branch(word, 0x10000, {"cr": 0, "ctr": 0, "lr": 0} | registers) == (place, changed)


def test_a_reservation_and_its_store_are_one_step() -> None:
    words = (0x7C601828, 0x38630001, 0x40820008, 0x7C60192D, 0x40A2FFF0)  # lwarx, addi, bne, stwcx., bne-
    code = {0x10000 + 4 * index: word for index, word in enumerate(words)}
    assert next_places(words[0], 0x10000, code.get) == (0x10010,)
    assert next_places(words[1], 0x10004, code.get) == (0x10008,)
    assert branch(0x38630001, 0x10004, {}) is None


def test_a_debugger_takes_no_time_of_a_machine_without_one() -> None:
    machine = Machine(MachineSettings(cpu=CpuKind.UNICORN))
    assert machine.runner is None
    assert Debugger(machine) is machine.runner
