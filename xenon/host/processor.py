"""The features of the host's processor, named as Linux names them (arch/x86/include/asm/cpufeatures.h).

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, CPUID and XGETBV.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

from xenon.host.machine_code import Convention, convention, machine_code

_FEATURES = {  # by leaf and register of CPUID: the bits
    (1, "ecx"): {"fma": 12, "movbe": 22, "avx": 28, "f16c": 29},
    (7, "ebx"): {
        **{"bmi1": 3, "avx2": 5, "bmi2": 8},
        **{"avx512f": 16, "avx512dq": 17, "avx512cd": 28, "avx512bw": 30, "avx512vl": 31},
    },
    (0x8000_0001, "ecx"): {"abm": 5},
}
_REGISTERS = ("eax", "ebx", "ecx", "edx")
_YMM_STATE, _ZMM_STATE = 0x06, 0xE6  # of XCR0: what the system keeps for a thread
# (numbers, leaf, subleaf): push rbx; mov r9, rcx; mov eax, edx; mov ecx, r8d; cpuid; mov [r9], eax;
# mov [r9 + 4], ebx; mov [r9 + 8], ecx; mov [r9 + 12], edx; pop rbx; ret
_CPUID = bytes.fromhex("53 4989c9 89d0 4489c1 0fa2 418901 41895904 41894908 4189510c 5b c3")
_XGETBV = bytes.fromhex("31c9 0f01d0 c3")  # xor ecx, ecx; xgetbv; ret


@cache
def features() -> frozenset[str]:
    """Those that the processor has and the system lets programs use; none where that cannot be told."""
    if sys.platform == "win32":
        return _by_cpuid() if convention() is Convention.MICROSOFT else frozenset()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def _by_cpuid() -> frozenset[str]:
    """By Microsoft's calling convention."""
    cpuid, xgetbv = machine_code(_CPUID), machine_code(_XGETBV)
    if cpuid is None or xgetbv is None:
        return frozenset()
    ask = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)(cpuid.address)
    numbers = (ctypes.c_uint32 * 4)()

    def leaf(number: int) -> dict[str, int]:
        ask(ctypes.addressof(numbers), number, 0)
        return dict(zip(_REGISTERS, numbers, strict=True))

    last = {0: leaf(0)["eax"], 0x8000_0000: leaf(0x8000_0000)["eax"]}
    known: set[str] = set()
    for (number, register), bits in _FEATURES.items():
        if number <= last[number & 0x8000_0000]:
            word = leaf(number)[register]
            known.update(name for name, bit in bits.items() if word >> bit & 1)
    keeps = ctypes.CFUNCTYPE(ctypes.c_uint32)(xgetbv.address)() if leaf(1)["ecx"] >> 27 & 1 else 0  # OSXSAVE
    if keeps & _YMM_STATE != _YMM_STATE:
        known -= {"avx", "avx2", "fma", "f16c"}
    if keeps & _ZMM_STATE != _ZMM_STATE:
        known = {name for name in known if not name.startswith("avx512")}
    return frozenset(known)
