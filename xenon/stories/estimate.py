"""What a real Xbox 360 would do with a model: a roofline from its bytes and operations, not a measurement.

A token takes every weight once, so that time is what it costs to bring the weights to the processor, or to
multiply them, whichever is more. Where a core waits for each miss before it goes on, the two add up. The
console's numbers and their sources are in ASSUMPTIONS. Norms, RoPE, softmax, SwiGLU and sums are counted for
the vector unit; the sampler is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from loader import Config

_IEEE = "Andrews & Baker, Xbox 360 System Architecture, IEEE Micro 26(2) 2006"
_CELL = "GCC, gcc/config/rs6000/cell.md, for the closely related Cell PPE"


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number of the console: `value` in `unit`, and who says so."""

    name: str
    value: float
    unit: str
    source: str


CLOCK = Assumption("CPU clock", 3.2e9, "Hz", _IEEE)
CORES = Assumption("CPU cores", 3, "", _IEEE)
LINE = Assumption("cache line", 128, "bytes", _IEEE)
OUTSTANDING = Assumption("outstanding misses of a core", 8, "lines", _IEEE)
MISS = Assumption(
    "miss to memory", 200e-9, "s", "developer rule of thumb: 5,000 misses take 1 ms (onepartcode.com)"
)
FRONT_SIDE_BUS = Assumption("front-side bus, reading", 10.8e9, "bytes/s", _IEEE)
DRAM = Assumption("memory, shared by CPU and GPU", 22.4e9, "bytes/s", _IEEE)
SCALAR_LATENCY = Assumption("fmadds, result to next use", 10, "cycles", _CELL)
VMX_LATENCY = Assumption("vmaddfp, result to next use", 12, "cycles", f"{_CELL}; an approximation")
VMX_CHAINS = Assumption("independent vmaddfp chains", 4, "", "llama2c/src/matmul.c")
GPU_CLOCK = Assumption("GPU clock", 500e6, "Hz", _IEEE)
GPU_UNITS = Assumption("GPU units, 4 + 1 multiply-adds a cycle each", 48, "", _IEEE)

ASSUMPTIONS = (
    *(CLOCK, CORES, LINE, OUTSTANDING, MISS, FRONT_SIDE_BUS, DRAM),
    *(SCALAR_LATENCY, VMX_LATENCY, VMX_CHAINS, GPU_CLOCK, GPU_UNITS),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Tokens a second that somebody published for a model on a machine."""

    machine: str
    model: str
    tokens_per_second: str
    source: str


_ROSSIGNOL = "A. Rossignol, theresistornetwork.com, March 2025"
_LLAMA2_GO = "README of llama2.go (karpathy's llama2.c)"
PUBLISHED = (
    Measurement("PowerBook G4 1.5 GHz, scalar", "stories110M", "0.77", _ROSSIGNOL),
    Measurement("PowerBook G4 1.5 GHz, AltiVec matmul", "stories110M", "0.88", _ROSSIGNOL),
    Measurement("Xeon Silver 4216", "stories110M", "6.91", _ROSSIGNOL),
    Measurement("PowerMac G3 400 MHz, NetBSD", "stories15M", "2.70", "K. Borys, kamilborys.com"),
    Measurement(
        "iMac G3 233 MHz, Mac OS 8.5", "stories260K", "more than 32", "README of the port, seen in a mirror"
    ),
    Measurement("M1 Max", "stories15M", "676", _LLAMA2_GO),
    Measurement("M1 Max", "stories42M", "267", _LLAMA2_GO),
    Measurement("M1 Max", "stories110M", "101", _LLAMA2_GO),
)
NOT_PUBLISHED = "the Xbox 360 port of Andrei David (January 2025): tokens a second were not published"


@dataclass(frozen=True, slots=True)
class TokenWork:
    """What one token asks for at a position: bytes of weights, of cached keys and values, operations."""

    weight_bytes: int
    cache_bytes: int
    multiply_adds: int
    """Of matrices, and of attention's scores and weighted values."""
    other_operations: int
    """Of floats by the vector kernels: norms, RoPE, softmax, SwiGLU, sums."""

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.cache_bytes


# Float operations of the vector kernels for each float, as llama2c/src/kernels_vmx.c has them.
_NORM, _ROPE, _SUM = 3, 2, 1
_SOFTMAX = 2 + 1 + 9 + 1  # largest, less the largest, 2^x with its least argument, sum
_SWIGLU = 1 + 1 + 9 + 1 + 6 + 1 + 2  # most, negative, e^x, 1 + e^x, its reciprocal, least, two products


def token_work(config: Config, position: int = 0) -> TokenWork:
    """The work of the token at `position` (0: the first, which has no past to look at); fp32."""
    dim, kv_dim, hidden = config.dim, config.kv_dim, config.hidden_dim
    layer = 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden
    matrices = config.n_layers * layer + config.vocab_size * dim
    vectors = (2 * config.n_layers + 1) * dim + (0 if config.shared_classifier else dim)  # norms, embedding
    past = 2 * config.n_layers * position
    norms = (2 * config.n_layers + 1) * dim * _NORM
    of_a_layer = (
        _ROPE * (dim + kv_dim)
        + _SOFTMAX * config.n_heads * (position + 1)
        + _SWIGLU * hidden
        + _SUM * 2 * dim
    )
    others = norms + config.n_layers * of_a_layer
    return TokenWork(4 * (matrices + vectors), 4 * past * kv_dim, matrices + past * dim, others)


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the forward pass: seconds for each resource, and whether they add up or overlap."""

    name: str
    resources: tuple[tuple[str, Callable[[TokenWork], float]], ...]
    overlapped: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """A variant's speed with a model, and the resource that limits it."""

    variant: str
    tokens_per_second: float
    limit: str


def _misses(cores: float, outstanding: float) -> Callable[[TokenWork], float]:
    return lambda work: work.bytes / LINE.value * MISS.value / (cores * outstanding)


def _over(channel: Assumption) -> Callable[[TokenWork], float]:
    return lambda work: work.bytes / channel.value


def _scalar(work: TokenWork) -> float:
    return work.multiply_adds * SCALAR_LATENCY.value / CLOCK.value


def _vmx(cores: float) -> Callable[[TokenWork], float]:
    rate = 4 * VMX_CHAINS.value / VMX_LATENCY.value * CLOCK.value * cores
    return lambda work: (work.multiply_adds + work.other_operations) / rate


def _gpu(work: TokenWork) -> float:
    return work.multiply_adds / (5 * GPU_UNITS.value * GPU_CLOCK.value)


_ONE_BY_ONE, _EIGHT = "memory latency, one miss at a time", "memory latency, 8 misses at a time"
_BUS = ("front-side bus", _over(FRONT_SIDE_BUS))
_VECTOR = "vector unit"

VARIANTS = (
    Variant(
        "naive scalar, one core",
        ((_ONE_BY_ONE, _misses(1, 1)), ("one chain of fmadds", _scalar)),
        overlapped=False,
    ),
    Variant("VMX, one core", ((_ONE_BY_ONE, _misses(1, 1)), (_VECTOR, _vmx(1))), overlapped=False),
    Variant(
        "VMX, prefetched, one core",
        ((_EIGHT, _misses(1, OUTSTANDING.value)), _BUS, (_VECTOR, _vmx(1))),
        overlapped=True,
    ),
    Variant(
        "VMX, prefetched, three cores",
        ((_EIGHT, _misses(CORES.value, OUTSTANDING.value)), _BUS, (_VECTOR, _vmx(CORES.value))),
        overlapped=True,
    ),
    Variant("GPU", (("memory bandwidth", _over(DRAM)), ("shader units", _gpu)), overlapped=True),
)


def estimate(config: Config, position: int = 0) -> list[Estimate]:
    """Every variant's speed with a model of these dimensions (fp32), for the token at `position`."""
    work = token_work(config, position)
    estimates = []
    for variant in VARIANTS:
        times = [(seconds(work), resource) for resource, seconds in variant.resources]
        slowest, limit = max(times)
        total = slowest if variant.overlapped else sum(seconds for seconds, _ in times)
        estimates.append(Estimate(variant.name, 1 / total, limit))
    return estimates


def as_dict(name: str, config: Config) -> dict[str, object]:
    """The whole report as plain values for JSON: the first token, the last one, and what it rests on."""
    last = config.seq_len - 1
    estimates = zip(estimate(config), estimate(config, last), strict=True)
    return {
        "model": name,
        "work_of_the_first_token": asdict(token_work(config)),
        "last_position": last,
        "estimates": [
            {
                "variant": early.variant,
                "tokens_per_second": early.tokens_per_second,
                "tokens_per_second_at_last_position": late.tokens_per_second,
                "limit": early.limit,
                "limit_at_last_position": late.limit,
            }
            for early, late in estimates
        ],
        "assumptions": [asdict(assumption) for assumption in ASSUMPTIONS],
        "published": [asdict(measurement) for measurement in PUBLISHED],
    }
