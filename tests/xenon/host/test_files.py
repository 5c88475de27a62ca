"""What the system says of a file, in the same words on every system."""

from __future__ import annotations

import errno
import os

import pytest

from xenon.host.files import reason


class WindowsError(OSError):
    """As Windows' Python raises it: the number of C, Windows' own words and its own number."""

    def __init__(self, number: int, words: str, winerror: int) -> None:
        super().__init__(number, words)
        self.winerror = winerror


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (WindowsError(errno.ENOENT, "Path not found.\r\n", 3), "no such file or directory"),
        (WindowsError(errno.EACCES, "Sharing violation.", 32), "permission denied"),
        (WindowsError(errno.EINVAL, "Invalid name.", 123), "invalid name."),
        (WindowsError(errno.EINVAL, "Only one usage of each socket", 10048), "only one usage of each socket"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), "no such file or directory"),
        (ValueError("embedded null byte"), "embedded null byte"),
    ],
)
def test_an_error_is_told_in_the_words_of_c(error: OSError | ValueError, words: str) -> None:
    assert reason(error) == words
