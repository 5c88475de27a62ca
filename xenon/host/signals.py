"""Signals as the system has them: which ones end a program, an alarm, and a pipe whose reader has left."""

from __future__ import annotations

import errno
import signal
import sys

if sys.platform == "win32":
    import _thread
    import threading

    ENDING = (signal.SIGTERM, signal.SIGBREAK)
    """What tells a program to end, besides Ctrl-C. A console window that closes sends SIGBREAK."""
    ALARM = signal.SIGABRT
    """What `set_alarm` sends. Windows has no alarm, and nothing else sends this."""
    _timers: list[threading.Timer] = []

    def set_alarm(seconds: float, every: float = 0) -> None:
        """Send ALARM to the main thread in so many seconds, 0: not at all. One that comes back `every` so
        many is not needed here: Ctrl-C ends the calls that wait for ever."""
        while _timers:
            _timers.pop().cancel()
        if seconds and not every:
            timer = threading.Timer(seconds, _thread.interrupt_main, (ALARM,))
            timer.daemon = True
            _timers.append(timer)
            timer.start()

    def end_with_the_reader() -> None:
        """A write to a pipe whose reader has left ends no process here. It raises OSError, see below."""

    def outlive_the_reader() -> None:
        """Nothing has to be done for a write to raise OSError here."""

    def is_reader_gone(error: OSError) -> bool:
        """Whether a write failed because the pipe has no reader any more: Windows has two errors for that."""
        return error.filename is None and error.errno in (errno.EPIPE, errno.EINVAL)

else:
    ENDING = (signal.SIGTERM, signal.SIGHUP)
    """What tells a program to end, besides Ctrl-C."""
    ALARM = signal.SIGALRM
    """What `set_alarm` sends."""

    def set_alarm(seconds: float, every: float = 0) -> None:
        """Send ALARM to the main thread in so many seconds, and `every` so many later; 0: not at all."""
        signal.setitimer(signal.ITIMER_REAL, seconds, every)

    def end_with_the_reader() -> None:
        """Let a write to a pipe whose reader has left end the process, quietly, as it ends any program."""
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    def outlive_the_reader() -> None:
        """Let a write to a pipe or a socket whose reader has left raise OSError."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def is_reader_gone(error: OSError) -> bool:
        """Whether a write failed because the pipe has no reader any more."""
        return isinstance(error, BrokenPipeError)
