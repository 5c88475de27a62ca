"""When a page that the program writes to is taken for code."""

from __future__ import annotations

import pytest

from xenon.hardware.cpu import Protection
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.pages import Pages
from xenon.recompiler.rewritten import RewrittenPages

CODE, OTHER = 0x100_0000, 0x200_0000


class Owner:
    """A CPU that stores into its own code."""

    def be_pausable(self) -> None: ...

    def map(self, address: int, size: int, shown: Protection) -> None: ...

    def unmap(self, address: int, size: int) -> None: ...

    def protect(self, address: int, size: int, shown: Protection) -> None: ...

    def forget_code(self, address: int, size: int) -> None: ...

    def own(self, address: int, shown: Protection) -> None: ...


class Trial:
    """A page of code that may be written to, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("xenon.recompiler.rewritten.time.monotonic", lambda: self.now)
        self.pages, self.cpu = Pages(UnifiedMemory()), Owner()
        self.pages.listen(self.cpu)
        self.pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.WRITE | Protection.EXECUTE)
        self.pages.map(OTHER, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
        self.pages.guest_jumped(CODE)
        self.rewritten = RewrittenPages(self.pages)

    def store(self) -> None:
        self.pages.guest_stored(self.cpu, CODE)

    def samples(self, seconds: float) -> list[bool]:
        """What samples say for so long, one in each hundredth of a second."""
        answers = []
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            answers.append(self.rewritten.is_calm(CODE))
        return answers


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Trial:
    return Trial(monkeypatch)


def test_code_that_nobody_writes_to_is_calm_at_once(trial: Trial) -> None:
    assert trial.rewritten.is_calm(OTHER)
    assert trial.rewritten.is_calm(CODE)


def test_code_that_was_rewritten_is_calm_once_it_holds_still(trial: Trial) -> None:
    for _ in range(3):
        trial.store()
        trial.samples(0.1)
    trial.store()
    answers = trial.samples(1)
    first = answers.index(True)
    assert first > 5
    assert all(answers[first:])


def test_a_page_that_is_written_to_at_each_moment_is_never_calm_and_seldom_looked_at(trial: Trial) -> None:
    taken = 0
    for _ in range(1000):
        trial.store()
        assert trial.samples(0.01) == [False]
        taken += trial.pages.holds_code(CODE)
    assert trial.rewritten.is_rewritten(CODE)
    assert taken < 20


def test_a_page_that_is_mapped_anew_begins_anew(trial: Trial) -> None:
    for _ in range(100):
        trial.store()
        trial.samples(0.01)
    assert trial.rewritten.is_rewritten(CODE)
    trial.rewritten.start_anew(CODE, PAGE_BYTES)
    assert not trial.rewritten.is_rewritten(CODE)
