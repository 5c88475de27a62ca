"""What a user asks for of a story, as two values: how it is sampled, and what tells it.

Both check themselves when they are made. This module imports neither the engine nor the loader, so that the
command line can show its options quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from xenon.errors import ErrorCode, XenonError
from xenon.hardware.memory_map import RAM_BYTES
from xenon.recompiler.cpu_kind import CpuKind

DEFAULT_STEPS = 256
MOST_STOPS, MOST_STOP_BYTES = 16, 128  # llama2c/src/stops.h
_MOST_SEED = (1 << 64) - 1
_MOST_TEMPERATURE = 1e30  # llama2.c knows no bound


class Engine(Enum):
    """Who computes the forward pass: the CPU, by the guest's C code, or the GPU, by the draws that the guest
    has recorded. AUTO is the faster."""

    CPU = "cpu"
    GPU = "gpu"
    AUTO = "auto"


class Matmul(Enum):
    """The guest's two ways to multiply a matrix by a vector on the CPU; they add up in different orders."""

    SCALAR = "scalar"
    VMX = "vmx"


class KeyValueType(Enum):
    """How the guest keeps keys and values: as floats, or rounded to half precision in half the memory."""

    F32 = "f32"
    F16 = "f16"

    @property
    def nbytes(self) -> int:
        """Bytes of a number."""
        return 2 if self is KeyValueType.F16 else 4


class Activations(Enum):
    """What matrices are multiplied by: floats, or int8 in groups, which are the arithmetic of llama2.c's
    runq and need a model of version 2."""

    F32 = "f32"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a story's tokens are chosen; the defaults are llama2.c's.

    `temperature` 0 is greedy; `top_p` 0 or 1 samples from all tokens; `seed` 1 to 2^64 - 1 repeats a story
    (None or 0: a random one); `steps` is the number of positions, the prompt's included (None: 256 or what
    the context holds, 0: the whole context), and in a conversation the most tokens of an answer (None, 0:
    what the context holds); `ignore_eos` goes on where a story ends; `special` takes special tokens of
    byte-level BPE that are written in the prompt for what they are. `min_p` leaves out tokens less likely
    than this share of the likeliest; `repeat_penalty` divides the positive logits of the last 64 tokens and
    multiplies the negative ones (1: none); the text ends before the first of the strings `stop`.

    Raises XenonError for a value out of its range.
    """

    temperature: float = 1.0
    top_p: float = 0.9
    seed: int | None = None
    steps: int | None = None
    ignore_eos: bool = False
    special: bool = False
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_choice()
        if not 0 <= self.temperature <= _MOST_TEMPERATURE:
            raise XenonError(
                f"temperature {self.temperature:g}, expected 0 or more",
                "0 always takes the likeliest token, 1 takes the model's own odds",
                ErrorCode.BAD_VALUE,
            )
        if not 0 <= self.top_p <= 1:
            raise XenonError(
                f"top-p {self.top_p:g}, expected 0 to 1",
                "0.9 is usual, 1 takes all tokens",
                ErrorCode.BAD_VALUE,
            )
        if self.seed is not None and not 0 <= self.seed <= _MOST_SEED:
            raise XenonError(
                f"seed {self.seed}, expected 0 to {_MOST_SEED}", "0 picks a random one", ErrorCode.BAD_VALUE
            )
        if self.steps is not None and self.steps < 0:
            raise XenonError(
                f"{self.steps} steps, expected 0 or more",
                "0 runs to the end of the context",
                ErrorCode.BAD_VALUE,
            )

    def _check_choice(self) -> None:
        if not 0 <= self.min_p <= 1:
            raise XenonError(
                f"min-p {self.min_p:g}, expected 0 to 1", "0.05 is usual, 0 takes all", ErrorCode.BAD_VALUE
            )
        if not 0 < self.repeat_penalty <= _MOST_TEMPERATURE:
            raise XenonError(
                f"repetition penalty {self.repeat_penalty:g}, expected a number above 0",
                "1.1 is usual, 1 is none",
                ErrorCode.BAD_VALUE,
            )
        if len(self.stop) > MOST_STOPS:
            raise XenonError(
                f"{len(self.stop)} stop strings, expected at most {MOST_STOPS}", "", ErrorCode.BAD_VALUE
            )
        for text in self.stop:
            size = len(text.encode("utf-8", "surrogateescape"))
            if not 1 <= size <= MOST_STOP_BYTES or "\0" in text:
                raise XenonError(
                    f"a stop string of {size} bytes{' with a zero byte' * (chr(0) in text)}, expected 1 to "
                    f"{MOST_STOP_BYTES}",
                    "stop strings are text",
                    ErrorCode.BAD_VALUE,
                )


@dataclass(frozen=True, slots=True)
class Setup:
    """What tells a story, as far as the user cares; `engine.decide` answers what is left open (None, AUTO).

    `engine` says who computes; `matmul`, `threads` (the console's hardware threads, 1 to 6, which change the
    speed and no bit of the output) and `cpu` (how guest code is run) are the CPU's. `context` keeps keys and
    values for fewer positions than the model could; `memory_bytes` is the console's RAM; `kv`
    is how the CPU keeps keys and values, `activations` what it multiplies matrices by.

    Raises XenonError for the GPU with what is the CPU's.
    """

    engine: Engine = Engine.AUTO
    matmul: Matmul | None = None
    threads: int | None = None
    cpu: CpuKind | None = None
    context: int | None = None
    memory_bytes: int = RAM_BYTES
    kv: KeyValueType = KeyValueType.F32
    activations: Activations = Activations.F32

    def __post_init__(self) -> None:
        if self.engine is Engine.GPU and (self.matmul is not None or self.threads is not None):
            raise XenonError(
                "the engine gpu with a matmul or threads, which are the CPU's",
                "leave them out",
                ErrorCode.BAD_VALUE,
            )
        if self.engine is Engine.GPU and self.kv is KeyValueType.F16:
            raise XenonError(
                "the engine gpu with keys and values in half precision, which are the CPU's",
                "leave one of them out",
                ErrorCode.BAD_VALUE,
            )
        if self.engine is Engine.GPU and self.activations is Activations.INT8:
            raise XenonError(
                "the engine gpu with activations in int8, which are the CPU's",
                "leave one of them out",
                ErrorCode.BAD_VALUE,
            )


class RunnerKind(Enum):
    """A way to run the guest that a benchmark measures: the console's CPU in two ways, its GPU, the guest's
    ELF file under qemu's user-mode emulation, the same C compiled for this computer, and llama2.c's own
    program."""

    UNICORN = "unicorn"
    RECOMPILER = "recompiler"
    GPU = "gpu"
    QEMU = "qemu-ppc64"
    NATIVE = "native"
    LLAMA2C = "llama2c"
