"""What packets and draws are refused with."""

from __future__ import annotations


class PacketError(Exception):
    """What is wrong with a packet or with the draw it starts; the command processor adds where it stands."""
