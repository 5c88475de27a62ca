"""The one error of the loader room: a file that is not what it should be."""

from __future__ import annotations

from enum import StrEnum


class LoaderCode(StrEnum):
    """What kind of mistake a LoaderError reports, for callers that act on it."""

    BAD_FILE = "bad-file"
    """A file that cannot be read, or is not what it should be."""
    ALREADY_CONVERTED = "already-converted"
    """The file is in that byte order already; field `other`: the other one, `big` or `little`."""
    DISC_FULL = "disc-full"
    """No room for the output."""
    NO_TOKENIZER = "no-tokenizer"
    """No tokenizer beside the model fits it."""
    NO_VERSION = "no-version"
    """A version is asked for of a tokenizer, which has none."""
    TARGET_EXISTS = "target-exists"
    """The output exists already, and overwriting it was not asked for."""
    TARGET_REFUSED = "target-refused"
    """The output cannot be at this place."""


class LoaderError(Exception):
    """A model or tokenizer file that cannot be read or written.

    `message` names the file, the byte offset, what was found and what was expected; `hint` is the next step
    (may be empty); `code` says what kind of mistake it is, and `fields` holds the values that belong to it.
    """

    def __init__(
        self, message: str, hint: str = "", code: LoaderCode = LoaderCode.BAD_FILE, **fields: object
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.fields = fields
