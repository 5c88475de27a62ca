"""Waiting for input, on the systems that have no other way than the one tried here."""

from __future__ import annotations

import os
import select
import sys

import pytest

from xenon.host.streams import Input


@pytest.mark.skipif(sys.platform == "win32", reason="Windows looks at pipes in its own way")
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_input_is_waited_for_with_the_call_that_the_system_has(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    if system == "darwin":  # its poll takes no terminals; some builds of Python have none
        monkeypatch.delattr(select, "poll", raising=False)
    source, sink = os.pipe()
    stream = Input(source)
    assert not stream.wait(0)
    os.write(sink, b"a")
    assert stream.wait(60)
    assert stream.read(2) == b"a"
    assert not stream.wait(0)
    os.close(sink)
    assert stream.wait(60)
    assert stream.read(2) == b""
    os.close(source)
