"""Bytes from a file as text that can stand in a message: one line, nothing that a terminal obeys."""

from __future__ import annotations

_LONGEST = 80


def printable(text: bytes | str, longest: int = _LONGEST) -> str:
    """What cannot be printed becomes an escape sequence; text beyond `longest` characters is cut off."""
    if isinstance(text, bytes):
        text = text[: 4 * longest].decode(errors="backslashreplace")
    escaped = "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: longest + 1]
    )
    return escaped if len(escaped) <= longest else f"{escaped[:longest]}…"
