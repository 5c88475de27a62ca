"""Who computes the forward pass, the console's CPU or its GPU, and which of them is faster for a model."""

from __future__ import annotations

from enum import Enum

from loader import Config
from xenon.errors import EXIT_USAGE, XenonError
from xenon.hardware.gpu.operands import MOST_FETCH_WORDS
from xenon.hardware.gpu.programs import MOST_SCORES, MOST_TABLE_PIECES

_GPU_WINS_FROM_DIM = 4


class Engine(Enum):
    """The CPU runs the guest's C code, the GPU the draws that the guest has recorded; AUTO is the faster."""

    CPU = "cpu"
    GPU = "gpu"
    AUTO = "auto"


def gpu_limit(config: Config, context: int) -> str:
    """Why the GPU cannot run the model with a context of so many positions; empty when it can."""
    if context * config.kv_dim > MOST_FETCH_WORDS:
        return f"a layer's keys are {context * config.kv_dim} words, the GPU takes {MOST_FETCH_WORDS}"
    if config.vocab_size > MOST_TABLE_PIECES * (MOST_FETCH_WORDS // config.dim):
        return f"the embedding table is larger than {MOST_TABLE_PIECES} fetch constants can say"
    if context * config.n_heads > MOST_SCORES:
        return f"{config.n_heads} heads by {context} positions, the GPU takes {MOST_SCORES} scores"
    return ""


def faster_engine(config: Config, context: int) -> Engine:
    """CPU on Unicorn or GPU, whichever takes less time for a token.

    A draw costs the host about 15 microseconds whatever it computes, emulated guest code 25 nanoseconds and
    more for each multiply-add. Measured, the two meet between a dim of 2 and one of 4 (docs/gpu.md has the
    figures): only models for tests are below.
    """
    if config.dim < _GPU_WINS_FROM_DIM or gpu_limit(config, context):
        return Engine.CPU
    return Engine.GPU


def resolve(engine: Engine, config: Config, context: int, cpu_wanted: bool) -> Engine:
    """The engine that a choice comes to; `cpu_wanted`: something was asked for that only the CPU has.

    Raises XenonError when the GPU is asked for and cannot.
    """
    if engine is Engine.AUTO:
        return Engine.CPU if cpu_wanted else faster_engine(config, context)
    if engine is Engine.GPU and cpu_wanted:
        raise XenonError(
            "the engine gpu with a matmul or threads, which are the CPU's", "leave them out", EXIT_USAGE
        )
    if engine is Engine.GPU and (limit := gpu_limit(config, context)):
        raise XenonError(f"the GPU cannot run this model: {limit}", "--engine cpu runs it")
    return engine
