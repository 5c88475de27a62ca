"""The one base error of the console side, with the exit codes the command line documents."""

from __future__ import annotations

EXIT_BAD_INPUT = 1
EXIT_USAGE = 2
EXIT_GUEST_FAULT = 3
EXIT_TIMEOUT = 124  # as GNU timeout(1)
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def reason(error: OSError) -> str:
    """What the host says of a file, in lower case: `no such file or directory`."""
    return (error.strerror or str(error)).lower()


class XenonError(Exception):
    """Something a user can act on: one line of what is wrong, one line of what to do next.

    `message` names the file, the offset, what was found and what was expected; `hint` is the next step (may
    be empty); `exit_code` is what the command line ends with.
    """

    exit_code = EXIT_BAD_INPUT
    report = ""
    """Lines to print before the message, where there is more to say."""

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code
