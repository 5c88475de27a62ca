"""A stretch of PM4 packets in memory, taken apart once: what the command processor steps through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from xenon.hardware.gpu.endian import copy_words
from xenon.hardware.gpu.errors import PacketError
from xenon.hardware.gpu.packets import (
    NOP_WORDS,
    ONE_REGISTER,
    OPCODE_MASK,
    OPCODE_SHIFT,
    REGISTER_MASK,
    TYPE_SHIFT,
    packet_words,
)

Handler = Callable[[Sequence[int]], bool | None]
"""Runs a packet's payload; true when the processor must look at its stack again. Raises PacketError."""

Prepare = Callable[[int, Sequence[int]], Handler]
"""The handler of an opcode, or of REGISTER_WRITE, made ready for a payload. Raises PacketError."""

REGISTER_WRITE = -1
"""In place of an opcode: packets of type 0. Their payload begins with the register and the step, 0 or 1."""


@dataclass(slots=True)
class Step:
    """A packet, ready to run: `handler(payload)`. `address` and `header` say which one it is."""

    handler: Handler
    payload: Sequence[int]
    address: int
    header: int


@dataclass(slots=True)
class CommandBuffer:
    """A buffer under way: the ring's new part, or an indirect buffer with its extent in memory."""

    start: int
    end: int
    steps: Iterator[Step] = field(repr=False)


def words_of(data: bytes | memoryview, mode: int) -> list[int]:
    """The dwords of a stretch of memory in an endian mode."""
    if not len(data):
        return []
    source = np.frombuffer(data, np.uint32)
    target = np.empty_like(source)
    copy_words(target, source, mode)
    words: list[int] = target.tolist()
    return words


def decode(
    words: Sequence[int], address_of: Callable[[int], int], prepare: Prepare, limit: str
) -> list[Step]:
    """The packets in `words`. A packet's error is raised by its step, when its turn comes.

    `address_of` gives the address of a dword, `limit` names what ends where the words end.
    """
    steps: list[Step] = []
    index, end = 0, len(words)
    while index < end:
        header = words[index]
        if header in NOP_WORDS:
            index += 1
            continue
        size = packet_words(header)
        payload = words[index + 1 : index + size]
        try:
            if index + size > end:
                raise PacketError(f"{size} dwords, {end - index} up to {limit}")
            handler, payload = _decode_one(header, payload, prepare)
        except PacketError as error:
            handler = _refuse(str(error))
        steps.append(Step(handler, payload, address_of(index), header))
        index += size
    return steps


def _decode_one(header: int, payload: Sequence[int], prepare: Prepare) -> tuple[Handler, Sequence[int]]:
    kind = header >> TYPE_SHIFT
    if kind == 0:
        step = 0 if header & ONE_REGISTER else 1
        payload = header & REGISTER_MASK, step, *payload
        return prepare(REGISTER_WRITE, payload), payload
    if kind != 3:
        raise PacketError(f"packets of type {kind} are not simulated")
    return prepare(header >> OPCODE_SHIFT & OPCODE_MASK, payload), payload


def _refuse(what: str) -> Handler:
    def handler(_: Sequence[int]) -> bool:
        raise PacketError(what)

    return handler
