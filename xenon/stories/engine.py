"""Decides who computes a story, on how many threads and by which kind of CPU. No other module does.

Three rules: compiled code is faster than the GPU's programs (docs/gpu.md); on Unicorn the GPU is faster for
all but test models; beside the GPU guest code has too little to do for a compiler or a second thread to pay.
The CPU takes all processors of this computer: the guest starts no thread that would not pay (parallel.c).
"""

from __future__ import annotations

from typing import NamedTuple

from loader import Config, Format, Model
from xenon.console import MachineSettings, check_threads
from xenon.errors import ErrorCode, XenonError
from xenon.hardware.gpu.limits import MOST_FETCH_WORDS, MOST_SCORES, MOST_TABLE_PIECES
from xenon.hardware.memory_map import HARDWARE_THREADS
from xenon.host.processes import usable_processors
from xenon.recompiler.cpu_kind import CpuKind, default_kind
from xenon.stories.settings import Activations, Engine, KeyValueType, Matmul, Setup

_GPU_WINS_FROM_DIM = 4


class Decision(NamedTuple):
    """A Setup with every question answered: `engine` is CPU or GPU, `context` is in positions; `matmul`, `kv`
    and `activations` are the CPU's; `machine` is the console's."""

    engine: Engine
    matmul: Matmul
    context: int
    machine: MachineSettings
    kv: KeyValueType
    activations: Activations


def decide(setup: Setup, model: Model) -> Decision:
    """Who computes stories of this model, and on what.

    Raises XenonError for a context that the model does not have, a model that the GPU cannot run when the GPU
    is asked for, activations in int8 for a model of another type, and a number of threads that the console
    does not have.
    """
    context = _context(setup, model)
    if setup.activations is Activations.INT8 and model.format is not Format.V2:
        raise XenonError(
            f"{model.path}: activations in int8 need matrices in int8, as version 2 has them; this is "
            f"{model.format}",
            "quantise the model to int8 first",
            ErrorCode.BAD_INPUT,
        )
    engine = choose_engine(setup, model.config, context)
    cpu = setup.cpu or (CpuKind.UNICORN if engine is Engine.GPU else default_kind())
    threads = setup.threads
    if threads is None:
        threads = 1 if engine is Engine.GPU else default_threads()
    check_threads(threads)
    machine = MachineSettings(setup.memory_bytes, cpu, threads)
    return Decision(engine, setup.matmul or Matmul.VMX, context, machine, setup.kv, setup.activations)


def choose_engine(setup: Setup, config: Config, context: int) -> Engine:
    """CPU or GPU: the one asked for, the CPU where something that only it has is asked for, else the faster.

    Raises XenonError when the GPU is asked for and cannot run the model.
    """
    if setup.engine is Engine.GPU and (limit := gpu_limit(config, context)):
        raise XenonError(f"the GPU cannot run this model: {limit}", "the CPU can run it", ErrorCode.GPU_LIMIT)
    if setup.engine is not Engine.AUTO:
        return setup.engine
    cpu_wanted = setup.matmul is not None or setup.threads is not None or setup.cpu is not None
    cpu_wanted = cpu_wanted or setup.kv is KeyValueType.F16 or setup.activations is Activations.INT8
    if cpu_wanted or default_kind() is CpuKind.RECOMPILER:
        return Engine.CPU
    return faster_engine(config, context)


def faster_engine(config: Config, context: int) -> Engine:
    """CPU on Unicorn or GPU, whichever takes less time for a token.

    A draw costs the host about 15 microseconds whatever it computes, emulated guest code 25 nanoseconds and
    more for each multiply-add. Measured, the two meet between a dim of 2 and one of 4 (docs/gpu.md has the
    figures): only models for tests are below.
    """
    if config.dim < _GPU_WINS_FROM_DIM or gpu_limit(config, context):
        return Engine.CPU
    return Engine.GPU


def gpu_limit(config: Config, context: int) -> str:
    """Why the GPU cannot run the model with a context of so many positions; empty when it can."""
    if context * config.kv_dim > MOST_FETCH_WORDS:
        return f"a layer's keys are {context * config.kv_dim} words, the GPU takes {MOST_FETCH_WORDS}"
    if config.vocab_size > MOST_TABLE_PIECES * (MOST_FETCH_WORDS // config.dim):
        return f"the embedding table is larger than {MOST_TABLE_PIECES} fetch constants can say"
    if context * config.n_heads > MOST_SCORES:
        return f"{config.n_heads} heads by {context} positions, the GPU takes {MOST_SCORES} scores"
    return ""


def default_threads() -> int:
    """As many hardware threads as this process may use processors, up to the console's six."""
    return min(usable_processors(), HARDWARE_THREADS)


def _context(setup: Setup, model: Model) -> int:
    """The positions that a run keeps keys and values for. Raises XenonError for more than the model has."""
    most = model.config.seq_len
    wanted = setup.context
    if wanted is not None and not 1 <= wanted <= most:
        raise XenonError(
            f"context {wanted}, expected 1 to {most}, the context of {model.path}",
            "leave it out to take the model's own",
            ErrorCode.BAD_VALUE if wanted < 1 else ErrorCode.BAD_INPUT,
        )
    return most if wanted is None else wanted
