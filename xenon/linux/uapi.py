"""Numbers and structures of Linux on big-endian ppc64 (include/uapi and arch/powerpc/include/uapi/asm)."""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

WORD_MASK = 0xFFFF_FFFF_FFFF_FFFF
PATH_MAX = 4096
NAME_MAX = 255
IOV_MAX = 1024
MAX_TRANSFER = 0x7FFF_F000  # the most bytes that one read or write moves
CLOCK_TICKS = 100  # a second, for times()
AT_FDCWD = -100


class Error(IntEnum):
    """errno values that the kernel answers with."""

    EPERM = 1
    ENOENT = 2
    EIO = 5
    EBADF = 9
    EAGAIN = 11
    ENOMEM = 12
    EACCES = 13
    EFAULT = 14
    EEXIST = 17
    ENODEV = 19
    ENOTDIR = 20
    EISDIR = 21
    EINVAL = 22
    EMFILE = 24
    ENOTTY = 25
    ENOSPC = 28
    ESPIPE = 29
    EROFS = 30
    ERANGE = 34
    ENAMETOOLONG = 36
    ENOSYS = 38
    ENOTEMPTY = 39
    EOPNOTSUPP = 95
    ETIMEDOUT = 110


class GuestError(Exception):
    """A system call fails with this errno; the guest sees it, the host nothing."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.name)
        self.error = error


class Open(IntFlag):
    """Flags of open."""

    WRITE_ONLY = 0o1
    READ_WRITE = 0o2
    CREATE = 0o100
    EXCLUSIVE = 0o200
    TRUNCATE = 0o1000
    APPEND = 0o2000
    DIRECTORY = 0o40000  # differs from x86


class Map(IntFlag):
    """Flags of mmap."""

    SHARED = 0x1
    PRIVATE = 0x2
    FIXED = 0x10
    ANONYMOUS = 0x20
    HUGE_PAGES = 0x40000
    FIXED_NO_REPLACE = 0x100000


class Poll(IntFlag):
    """Events of poll."""

    IN = 0x1
    OUT = 0x4
    INVALID = 0x20


class Signal(IntEnum):
    """Signals by number; the same on ppc64 as on x86."""

    SIGHUP = 1
    SIGINT = 2
    SIGQUIT = 3
    SIGILL = 4
    SIGTRAP = 5
    SIGABRT = 6
    SIGBUS = 7
    SIGFPE = 8
    SIGKILL = 9
    SIGUSR1 = 10
    SIGSEGV = 11
    SIGUSR2 = 12
    SIGPIPE = 13
    SIGALRM = 14
    SIGTERM = 15
    SIGCHLD = 17
    SIGCONT = 18
    SIGURG = 23
    SIGWINCH = 28


class FloatException(NamedTuple):
    """An exception of FPSCR, as SIGFPE tells of it: `code` is si_code."""

    enabled: int
    occurred: int
    name: str
    code: int
    code_name: str

    def __str__(self) -> str:
        return f"{self.name} (SIGFPE, {self.code_name})"


_FLOAT_EXCEPTIONS = (
    FloatException(0x80, 1 << 29, "invalid operation", 7, "FPE_FLTINV"),
    FloatException(0x40, 1 << 28, "overflow", 4, "FPE_FLTOVF"),
    FloatException(0x20, 1 << 27, "underflow", 5, "FPE_FLTUND"),
    FloatException(0x10, 1 << 26, "division by zero", 3, "FPE_FLTDIV"),
    FloatException(0x08, 1 << 25, "inexact result", 6, "FPE_FLTRES"),
)
"""In the order in which Linux looks at them (arch/powerpc/kernel/traps.c)."""
_UNKNOWN_FLOAT_EXCEPTION = FloatException(0, 0, "unknown", 14, "FPE_FLTUNK")


def float_exception(fpscr: int) -> FloatException:
    """The exception that FPSCR enables and has."""
    for row in _FLOAT_EXCEPTIONS:
        if fpscr & row.enabled and fpscr & row.occurred:
            return row
    return _UNKNOWN_FLOAT_EXCEPTION


# What these do when the program has not said otherwise: nothing.
IGNORED_SIGNALS = frozenset({Signal.SIGCHLD, Signal.SIGCONT, Signal.SIGURG, Signal.SIGWINCH})
SIGNAL_COUNT = 64
SIGNAL_DEFAULT, SIGNAL_IGNORE = 0, 1  # SIG_DFL and SIG_IGN in place of a handler's address

# struct sigaction of the kernel: handler, flags, restorer, mask
SIGACTION_BYTES = 32
# struct sigaltstack: address, flags, size
SIGALTSTACK = struct.Struct(">QI4xQ")
SIGALTSTACK_DISABLED = 2

TERMINAL_GET_ATTRIBUTES = 0x402C_7413  # TCGETS
TERMINAL_GET_WINDOW = 0x4008_7468  # TIOCGWINSZ

IOVEC = struct.Struct(">QQ")
TIMESPEC = struct.Struct(">qq")  # seconds, nanoseconds; timeval: seconds, microseconds
POLLFD = struct.Struct(">ihh")
WINSIZE = struct.Struct(">HHHH")
RLIMIT = struct.Struct(">QQ")
RLIMIT_INFINITY = WORD_MASK
RLIMIT_STACK = 3
RLIMIT_DESCRIPTORS = 7

MODE_FILE = 0o100444
MODE_DIRECTORY = 0o040555
MODE_TEMPORARY = 0o100600
MODE_WRITABLE_DIRECTORY = 0o041777
MODE_TERMINAL = 0o020620
MODE_PIPE = 0o010600
MODE_DEVICE = 0o020660
TERMINAL_DEVICE = 136 << 8  # /dev/pts/0
XENOS_DEVICE = 240 << 8  # the first of the numbers for local use

DIRECTORY_ENTRY_TYPES = {MODE_DIRECTORY: 4, MODE_FILE: 8}

# struct stat: dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, three times (s, ns), three
# unused words
_STAT = struct.Struct(">QQQIIIxxxxQqqq6Q3Q")


def pack_stat(mode: int, inode: int, size: int, device: int = 0) -> bytes:
    """struct stat, 144 bytes; `size` in bytes."""
    blocks = (size + 511) // 512
    return _STAT.pack(1, inode, 1, mode, 1000, 1000, device, size, 4096, blocks, *[0] * 9)


def pack_uname() -> bytes:
    """struct new_utsname: six strings of 65 bytes."""
    words = ("Linux", "xenon", "6.1.0-xenon-llm", "#1", "ppc64", "(none)")
    return b"".join(word.encode().ljust(65, b"\0") for word in words)


def pack_sysinfo(uptime: int, total: int, free: int) -> bytes:
    """struct sysinfo, 112 bytes; `uptime` in seconds, `total` and `free` RAM in bytes."""
    return struct.pack(">q3Q6QHHxxxxQQIxxxx", uptime, 0, 0, 0, total, free, 0, 0, 0, 0, 1, 0, 0, 0, 1)


def pack_rusage(nanoseconds: int) -> bytes:
    """struct rusage, 144 bytes: the time used, everything else 0."""
    return pack_timeval(nanoseconds) + bytes(128)


def pack_timespec(nanoseconds: int) -> bytes:
    return TIMESPEC.pack(*divmod(nanoseconds, 1_000_000_000))


def pack_timeval(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return TIMESPEC.pack(seconds, rest // 1000)


def pack_terminal_attributes() -> bytes:
    """struct termios, 44 bytes, of a terminal in its ordinary line mode (output post-processing and echo
    on)."""
    return struct.pack(">4I19sBII", 0x0100, 0x0003, 0x0F00, 0x0588, bytes(19), 0, 15, 15)


def signed(value: int, bits: int = 64) -> int:
    """The low `bits` of a register as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
