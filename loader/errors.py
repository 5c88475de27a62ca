"""The one error of the loader room: a file that is not what it should be."""

from __future__ import annotations


class LoaderError(Exception):
    """A model or tokenizer file that cannot be read or written.

    `message` names the file, the byte offset, what was found and what was expected; `hint` is the next step
    (may be empty).
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
