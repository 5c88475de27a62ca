"""How commands end: by closed streams and full disks, time limits, Ctrl-C, an interpreter that exits."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest
from command_line import run_command_text
from support import WHOLE, sample
from systems import SHELL, SIGNALS

import xenon
from xenon.errors import ErrorCode, XenonError

COMMAND = [sys.executable, "-c", "from xenon.cli.start import main; main()"]
STORY = ["generate", "-s", "1", "-n", "20", "a"]


def shell(words: list[str], redirections: str) -> subprocess.CompletedProcess[str]:
    script = f'"$@" {redirections}'
    command = ["sh", "-c", script, "sh", *COMMAND, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


ENDINGS = {
    "story": (STORY, 0, "a sunny day, Ben wanted"),
    "program": (["run", "PROGRAM", "nothing"], 0, "survived\n"),
    "usage": (["inspect"], 2, ""),
    "cache": (["cache"], 0, ""),
    "help": (["--help"], 0, ""),
}


@SHELL
@pytest.mark.parametrize(
    ("name", "redirections"), sample(product(ENDINGS, (">&-", "2>&-", ">&- 2>&- <&-")), 4)
)
def test_a_closed_stream_is_an_empty_one(misdeeds: Path, name: str, redirections: str) -> None:
    words, code, text = ENDINGS[name]
    done = shell([str(misdeeds) if word == "PROGRAM" else word for word in words], redirections)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if redirections == "2>&-":
        assert done.stdout.startswith(text)
        assert "tokens/s" not in done.stdout
        assert done.stderr == ""
    else:
        assert done.stdout == ""


@SHELL
def test_a_full_disk_is_one_line(misdeeds: Path) -> None:
    for words in (["run", str(misdeeds), "nothing"], ["cache"]):
        done = shell(words, ">/dev/full")
        lines = done.stderr.splitlines()
        assert (done.returncode, lines[-1]) == (1, "error: no space left on device")
        assert "Traceback" not in done.stderr
        assert "ignored" not in done.stderr


@SHELL
def test_what_stderr_does_not_take_leaves_the_exit_code() -> None:
    assert shell(["run", "missing"], "2>/dev/full").returncode == 1
    assert shell(["frobnicate"], "2>/dev/full").returncode == 2


@pytest.mark.parametrize("seconds", ["inf", "1e300"])
def test_a_time_limit_may_be_huge(misdeeds: Path, seconds: str) -> None:
    done = run_command_text("run", "--timeout", seconds, misdeeds, "nothing")
    assert (done.returncode, done.stdout, done.stderr) == (0, "survived\n", "")


@pytest.mark.parametrize("seconds", ["nan", "-1"])
def test_a_time_limit_that_is_no_time_is_a_wrong_command_line(misdeeds: Path, seconds: str) -> None:
    done = run_command_text("run", "--timeout", seconds, misdeeds, "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    with pytest.raises(XenonError, match="timeout") as caught:
        xenon.Session().generate(timeout=float(seconds))
    assert caught.value.code is ErrorCode.BAD_VALUE


HANDLES_CTRL_C = """
import os
from xenon.cli import start
def ready(open_standard_streams=start._open_standard_streams):
    os.write(1, b"!")
    open_standard_streams()
start._open_standard_streams = ready  # what comes behind the handler
start.main()
"""


@SIGNALS
@pytest.mark.parametrize("delay", [0, 0.02, 0.06, 0.2])
def test_ctrl_c_is_one_line_from_the_start_on(delay: float) -> None:
    words = [*COMMAND, "generate", "-s", "1", "-n", "0", "--ignore-eos"]
    process = subprocess.Popen([words[0], "-c", HANDLES_CTRL_C, *words[3:]], stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stdout.read(1) == b"!"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=20)
    assert (process.returncode, messages) == (130, b"error: interrupted\n")


@SIGNALS
def test_ctrl_c_in_an_import_comes_behind_it(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhole = 1\n"
    )
    script = (
        "import sys, time; from xenon.cli.signals import end_by_exception; end_by_exception()\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "try:\n    import slow_module\n    time.sleep(20)\n"
        "except KeyboardInterrupt:\n    print(slow_module.whole)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("setup", ["", "setup=xenon.Setup(cpu=CpuKind.UNICORN, threads=2)"])
def test_a_story_half_told_does_not_crash_the_interpreter(setup: str) -> None:
    script = (
        "import xenon; from xenon.console import CpuKind\n"
        f"story = xenon.Session({setup}).generate('a', seed=1, steps=250); print(next(story))"
    )
    for _ in range(1 + WHOLE):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


# The signal is served by another thread: as one that comes just before a wait, it does not end the wait.
_NOT_WOKEN = """
import os, signal, sys, threading, time
from xenon.console import Console, MachineSettings

def kick():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)

console = Console(MachineSettings(threads=2))
console.boot(sys.argv[1], ["spin"])
outputs = console.run()
print(next(outputs).data)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
threading.Thread(target=kick).start()
try:
    next(outputs)
except KeyboardInterrupt:
    print("interrupted")
"""


@SIGNALS
def test_a_signal_that_does_not_end_the_wait_is_served_all_the_same(misdeeds: Path) -> None:
    command = [sys.executable, "-c", _NOT_WOKEN, str(misdeeds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("b'spinning\\n'\ninterrupted\n", "")
