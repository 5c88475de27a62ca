"""The one base error of the console side: a message, a code and fields for programs, a hint for people."""

from __future__ import annotations

from enum import StrEnum

from xenon.host.files import reason

__all__ = ["ErrorCode", "XenonError", "reason"]


class ErrorCode(StrEnum):
    """What kind of mistake an error reports, for callers that act on it."""

    BAD_INPUT = "bad-input"
    """A file that cannot be read or is not what it should be, or a value that does not fit it."""
    BAD_VALUE = "bad-value"
    """A value that is wrong whatever the input is."""
    CONTEXT_TOO_LONG = "context-too-long"
    """The run does not fit in memory; field `longest_context`: the positions with which it would."""
    GPU_LIMIT = "gpu-limit"
    """The GPU cannot run this model."""
    GRANTED_TWICE = "granted-twice"
    """Two files under one name on the disc; field `path`."""
    FOREIGN_INSTRUCTION = "foreign-instruction"
    """The guest program executes an instruction that Xenon lacks; fields `remedy`, a hint, and
    `allowed_as`, its name."""
    GUEST_FAULT = "guest-fault"
    """The guest program is at fault."""
    GUEST_SIGNAL = "guest-signal"
    """The guest program ended itself by a signal; field `signal`: its number."""
    LIMIT_REACHED = "limit-reached"
    """The time or the instructions that the run was given are used up."""
    NO_ADDRESS_SPACE = "no-address-space"
    """The host gives no address space for a part of the machine."""
    NO_SUCH_MODEL = "no-such-model"
    """No file and no model of this name; field `likely`: a question with the likeliest name, or nothing."""
    NOT_PULLED = "not-pulled"
    """A model of the catalogue that this computer does not have; field `name`."""
    OUT_OF_MEMORY = "out-of-memory"
    """An allocation does not fit in the console's memory."""
    TEST_TOO_LONG = "test-too-long"
    """A benchmark's test of more tokens than can be; fields `kind` (pp or tg), `positions`: the context's."""


class XenonError(Exception):
    """Something a user can act on: one line of what is wrong, one line of what to do next.

    `message` names the file, the offset, what was found and what was expected; `hint` is the next step (may
    be empty), in words that a program's user understands too; `code` says what kind of mistake it is, and
    `fields` holds the values that belong to it.
    """

    code = ErrorCode.BAD_INPUT
    report = ""
    """Lines to print before the message, where there is more to say."""

    def __init__(self, message: str, hint: str = "", code: ErrorCode | None = None, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields
        if code is not None:
            self.code = code
