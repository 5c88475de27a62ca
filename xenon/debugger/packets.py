"""Packets of gdb's remote serial protocol over a connection (gdb's manual, appendix E)."""

from __future__ import annotations

import socket

INTERRUPT = b"\x03"
"""What gdb sends for Ctrl-C, outside of any packet."""
MOST_BYTES = 0x4000
"""The longest packet that is taken, in bytes between `$` and `#`."""

_ESCAPE = 0x7D
_ESCAPED = b"#$}*"
_AT_ONCE = 0x1_0000


class ProtocolError(Exception):
    """What has come is not gdb's protocol."""


class Link:
    """Both directions of one connection. Until `acknowledging` is set to False, each packet is answered by
    `+`, or by `-` if its checksum is wrong."""

    def __init__(self, connection: socket.socket) -> None:
        self.acknowledging = True
        self._connection = connection
        self._received = bytearray()

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    def receive(self) -> bool:
        """Wait for bytes; False at the end of the connection."""
        try:
            data = self._connection.recv(_AT_ONCE)
        except OSError:
            return False
        self._received += data
        return bool(data)

    def packets(self) -> list[bytes]:
        """The packets that have come in whole, and INTERRUPT. Raises ProtocolError for anything else."""
        packets: list[bytes] = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def send(self, payload: bytes) -> None:
        """Send a packet. A connection that has ended is noticed at the next `receive`."""
        escaped = bytearray()
        for byte in payload:
            escaped += bytes([_ESCAPE, byte ^ 0x20]) if byte in _ESCAPED else bytes([byte])
        self._write(b"$%b#%02x" % (bytes(escaped), sum(escaped) & 0xFF))

    def _write(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError:
            self._connection.close()

    def _next(self) -> bytes | None:
        received = self._received
        while received.startswith((b"+", b"-")):  # a packet is not sent again: the connection loses nothing
            del received[:1]
        if not received:
            return None
        if received[:1] == INTERRUPT:
            del received[:1]
            return INTERRUPT
        if received[:1] != b"$":
            raise ProtocolError(f"byte 0x{received[0]:02x} begins no packet")
        end = received.find(b"#")
        if end < 0 or len(received) < end + 3:
            if len(received) > MOST_BYTES:
                raise ProtocolError(f"a packet of more than {MOST_BYTES} bytes")
            return None
        body, check = bytes(received[1:end]), bytes(received[end + 1 : end + 3])
        del received[: end + 3]
        if not self.acknowledging:
            return _unescaped(body)
        is_right = check.lower() == b"%02x" % (sum(body) & 0xFF)
        self._write(b"+" if is_right else b"-")
        return _unescaped(body) if is_right else self._next()


def _unescaped(body: bytes) -> bytes:
    plain = bytearray()
    escape = False
    for byte in body:
        if byte == _ESCAPE and not escape:
            escape = True
            continue
        plain.append(byte ^ 0x20 if escape else byte)
        escape = False
    return bytes(plain)
