"""How a server behaves, as one value, made by whoever starts it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from xenon.errors import ErrorCode, XenonError

MIB = 1 << 20
_MOST_CONSOLES = 16
_MOST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """`host` and `port` (0: a free one) to listen at; `key`, which requests must carry (None: none, loopback
    only); `names`, host names that requests may address besides localhost and IP addresses.

    `consoles` tell at once; `waiting` requests may wait, more are refused. A request takes at most `seconds`
    from its arrival. `body_bytes` and `body_seconds` bound its body, `head_seconds` its head, `connections`
    how many are open.

    Raises XenonError for a value out of its range, and for another address than loopback without a key.
    """

    host: str = "127.0.0.1"
    port: int = 8360
    key: str | None = None
    names: tuple[str, ...] = ()
    consoles: int = 1
    waiting: int = 32
    seconds: float = 300.0
    body_bytes: int = MIB
    body_seconds: float = 10.0
    head_seconds: float = 10.0
    connections: int = 512

    def __post_init__(self) -> None:
        _check_range("port", self.port, 0, _MOST_PORT)
        _check_range("consoles", self.consoles, 1, _MOST_CONSOLES)
        _check_range("waiting", self.waiting, 0, 1 << 16)
        if not self.seconds > 0:
            raise XenonError(
                f"timeout {self.seconds:g}, expected more than 0 seconds", code=ErrorCode.BAD_VALUE
            )
        if self.key is not None and (
            not self.key.isascii() or not self.key.isprintable() or len(self.key) < 8
        ):
            raise XenonError(
                "an API key that cannot be one",
                "eight or more printable ASCII characters",
                ErrorCode.BAD_VALUE,
            )
        if self.key is None and not is_loopback(self.host):
            raise XenonError(
                f"{self.host} can be reached from other computers, and there is no API key",
                "set a key, which every request must then carry, or listen at 127.0.0.1",
                ErrorCode.BAD_VALUE,
            )


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise XenonError(f"{name} {value}, expected {least} to {most}", code=ErrorCode.BAD_VALUE)
