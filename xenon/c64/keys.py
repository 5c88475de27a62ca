"""What is typed: a text in the codes of a C64's keyboard, and the settings of Llama2.c64 by its own keys."""

from __future__ import annotations

from dataclasses import dataclass

from xenon.errors import ErrorCode, XenonError

RETURN = b"\r"
LONGEST_PROMPT = 239  # characters: the program's window has 6 x 40 cells, the last for its cursor
_NO = b"N"  # to "again?"
_STEPS, _FEWEST, _MOST = 60, 10, 512  # what the program starts with, and takes
_TENTHS, _TEMPERATURE, _TOP_P = 10, 0, 9


@dataclass(frozen=True)
class Wanted:
    """What the program is asked for; None leaves its own: temperature 0, top-p 0.9, 60 steps."""

    temperature: float | None = None
    top_p: float | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Typing:
    """The keys in the order in which they are typed; the story begins behind the first `before_story`."""

    keys: bytes
    before_story: int


def petscii(text: str) -> bytes:
    """The keys of a text. Raises XenonError for a character that the keyboard does not have."""
    return bytes(_key(character) for character in text)


def _key(character: str) -> int:
    code = ord(character)
    if "a" <= character <= "z":
        return code - 0x20
    if "A" <= character <= "Z":
        return code + 0x80
    if 0x20 <= code < 0x40 or character in "@[]":
        return code
    raise XenonError(
        f"{character!r} is on no key of a C64",
        "letters, digits, spaces and the punctuation of ASCII are",
        ErrorCode.BAD_VALUE,
    )


def typing(prompt: str, wanted: Wanted) -> Typing:
    """The keys of one story: settings, RETURN, the prompt, RETURN, and no further story.

    Raises XenonError for a prompt or a setting that cannot be typed.
    """
    if not 1 <= len(prompt) <= LONGEST_PROMPT:
        raise XenonError(
            f"a prompt of {len(prompt)} characters, expected 1 to {LONGEST_PROMPT}", "", ErrorCode.BAD_VALUE
        )
    settings = _tenths("temperature", wanted.temperature, _TEMPERATURE, b"+", b"-")
    settings += _tenths("top-p", wanted.top_p, _TOP_P, b";", b":")
    keys = settings + _step_keys(wanted.steps) + RETURN + petscii(prompt) + RETURN
    return Typing(keys + _NO, len(keys))


def _tenths(name: str, value: float | None, start: int, more: bytes, less: bytes) -> bytes:
    if value is None:
        return b""
    tenths = round(value * _TENTHS) if 0 <= value <= 1 else -1
    if tenths < 0 or abs(tenths - value * _TENTHS) > 1e-6:
        raise XenonError(f"{name} {value:g}, expected a multiple of 0.1 from 0 to 1", "", ErrorCode.BAD_VALUE)
    return more * (tenths - start) + less * (start - tenths)


def _step_keys(steps: int | None) -> bytes:
    if steps is None:
        return b""
    if not _FEWEST <= steps <= _MOST:
        raise XenonError(f"{steps} steps, expected {_FEWEST} to {_MOST}", "", ErrorCode.BAD_VALUE)
    tens, ones = divmod(abs(steps - _STEPS), 10)
    return (b">" * tens + b"." * ones) if steps >= _STEPS else (b"<" * tens + b"," * ones)
