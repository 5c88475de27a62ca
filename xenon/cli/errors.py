"""What the command line makes of an error: an exit code, and a hint that names its own options."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from xenon.errors import ErrorCode, XenonError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loader import LoaderError

EXIT_BAD_INPUT = 1
EXIT_USAGE = 2
EXIT_GUEST_FAULT = 3
EXIT_TIMEOUT = 124  # as GNU timeout(1)
EXIT_SIGNAL = 128  # and the number of the signal, as shells report it
EXIT_READER_GONE = 141  # SIGPIPE is number 13
EXIT_INTERRUPTED = 130  # SIGINT is number 2

_EXIT_CODES: dict[str, int] = {
    ErrorCode.BAD_VALUE: EXIT_USAGE,
    ErrorCode.FOREIGN_INSTRUCTION: EXIT_GUEST_FAULT,
    ErrorCode.GUEST_FAULT: EXIT_GUEST_FAULT,
    ErrorCode.LIMIT_REACHED: EXIT_TIMEOUT,
}
# By the code of a XenonError or a LoaderError; {names} are the error's fields.
_HINTS = {
    "already-converted": "nothing to do; --to {other} converts it to {other}-endian",
    "context-too-long": "a context of {longest_context} fits: --context {longest_context}",
    "disc-full": "make room, or name another folder with -o",
    "foreign-instruction": "{remedy}; --allow {allowed_as} lets it run here",
    "gpu-limit": "--engine cpu runs it",
    "granted-twice": "give one of them another name: --file HOST=GUEST",
    "no-address-space": "raise the limit (ulimit -v), or take fewer --threads",
    "no-such-model": "{likely}xenon-llm list shows the models that have names",
    "no-tokenizer": "-z TOKENIZER names the model's tokenizer",
    "no-version": "leave --format out",
    "not-pulled": "xenon-llm pull {name}",
    "target-exists": "--force overwrites it, -o OUT names another file",
    "target-refused": "-o OUT names another file",
    "test-too-long": "the context holds {positions} positions, and the first is not timed: "
    "a smaller --n-prompt or --n-gen fits",
}


class UsageError(XenonError):
    """A wrong command line."""

    code = ErrorCode.BAD_VALUE


def exit_code_of(error: XenonError | LoaderError) -> int:
    """What the command ends with."""
    if error.code is ErrorCode.GUEST_SIGNAL:
        return EXIT_SIGNAL + int(str(error.fields["signal"]))
    return _EXIT_CODES.get(error.code, EXIT_BAD_INPUT)


def hint_for(error: XenonError | LoaderError) -> str:
    """The next step, in options of the command line where there are some for it; may be empty."""
    hint = _HINTS.get(error.code)
    return error.hint if hint is None else hint.format_map(error.fields)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'generate'?`, or nothing where no known word is like it."""
    likely = get_close_matches(word, list(known), n=1)
    return f"did you mean {likely[0]!r}?" if likely else ""
