"""When a CPU that enters no compiled code goes without the hook that hands over, and when it gets it back."""

from __future__ import annotations

from typing import cast

from xenon.recompiler import idle_hooks
from xenon.recompiler.attachment import CompiledCode
from xenon.recompiler.idle_hooks import IdleHook


class Code:
    """What stands for a CPU's compiled code."""

    def __init__(self) -> None:
        self.hand_overs = 0
        self.is_hooked = True

    def hook_again(self) -> None:
        self.is_hooked = True

    def unhook(self) -> None:
        self.is_hooked = False


def samples_until_unhooked(code: Code, hook: IdleHook) -> int:
    count = 0
    while code.is_hooked:
        hook.look(False)
        count += 1
    return count


def made() -> tuple[Code, IdleHook]:
    code = Code()
    return code, IdleHook(cast(CompiledCode, code))


def test_the_hook_goes_where_nothing_is_handed_over() -> None:
    code, hook = made()
    assert samples_until_unhooked(code, hook) == idle_hooks._WINDOW


def test_the_hook_stays_while_something_is_handed_over() -> None:
    code, hook = made()
    for number in range(4 * idle_hooks._WINDOW):
        code.hand_overs += number % (idle_hooks._WINDOW // 2) == 0
        hook.look(False)
        assert code.is_hooked


def test_the_hook_comes_back_where_compiled_code_could_run_and_stays_longer_then() -> None:
    code, hook = made()
    for times in range(4):
        assert samples_until_unhooked(code, hook) == idle_hooks._WINDOW << times
        hook.look(False)
        assert not code.is_hooked
        hook.look(True)
        assert code.is_hooked
