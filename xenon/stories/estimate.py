"""What a real Xbox 360 would do with a model: a roofline from its bytes and operations, not a measurement.

A token takes every weight once, so that time is what it costs to bring the weights to the processor, or to
multiply them, whichever is more. Where a core waits for each miss before it goes on, the two add up. A pass
over a prompt takes the layers' weights once for several positions, and the classifier's not at all. The
console's numbers and their sources are in console_figures.py. Norms, RoPE, softmax, SwiGLU and sums are
counted for the vector unit; the sampler is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod

from llama2c.allocations import batch_positions
from loader import Config
from loader.layout import plane_tensors, shape_of
from xenon.stories.console_figures import XBOX_360, Assumption, ConsoleFigures

ASSUMPTIONS = XBOX_360.rows


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
    """What one token asks for at a position, or what `positions` of a prompt ask for together: bytes of
    weights, of cached keys and values, operations."""

    weight_bytes: int
    cache_bytes: int
    multiply_adds: int
    """Of matrices, and of attention's scores and weighted values."""
    other_operations: int
    """Of floats by the vector kernels: norms, RoPE, softmax, SwiGLU, sums."""
    positions: int = 1

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.cache_bytes


_MATRICES = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")
# Float operations of the vector kernels for each float, as llama2c/src/kernels_vmx.c has them.
_NORM, _ROPE, _SUM = 3, 2, 1
_SOFTMAX = 2 + 1 + 9 + 1  # largest, less the largest, 2^x with its least argument, sum
_SWIGLU = 1 + 1 + 9 + 1 + 6 + 1 + 2  # most, negative, e^x, 1 + e^x, its reciprocal, least, two products


def _others(config: Config, position: int) -> int:
    """Operations of the vector kernels at a position."""
    layer = (
        _ROPE * (config.dim + config.kv_dim)
        + _SOFTMAX * config.n_heads * (position + 1)
        + _SWIGLU * config.hidden_dim
        + (_SUM + _NORM) * 2 * config.dim
    )
    return config.n_layers * layer + _NORM * config.dim


def _nbytes(config: Config, name: str) -> int:
    """Bytes of a matrix, of one layer, in the model's types."""
    shape = shape_of(config, name)
    if config.types is not None:
        return sum(nbytes for *_, nbytes in plane_tensors(config, name, shape, ""))
    count = prod(shape)
    return 4 * count if config.group_size is None else count + 4 * count // config.group_size


def token_work(config: Config, position: int = 0, kv_bytes: int = 4) -> TokenWork:
    """The work of the token at `position` (0: the first, which has no past to look at); keys and values take
    `kv_bytes` each."""
    dim, kv_dim, hidden = config.dim, config.kv_dim, config.hidden_dim
    layer = 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden
    matrices = config.n_layers * layer + config.vocab_size * dim
    norms = 4 * (2 * config.n_layers + 1) * dim
    layers = config.n_layers * sum(_nbytes(config, name) for name in _MATRICES)
    own = 0 if config.shared_classifier else _embedding_row(config)
    past = 2 * config.n_layers * position
    return TokenWork(
        layers + _classifier(config) + own + norms,
        kv_bytes * past * kv_dim,
        matrices + past * dim,
        _others(config, position),
    )


def _classifier(config: Config) -> int:
    return _nbytes(config, "token_embedding_table" if config.shared_classifier else "wcls")


def _embedding_row(config: Config) -> int:
    return _nbytes(config, "token_embedding_table") // config.vocab_size


def prompt_work(config: Config) -> TokenWork:
    """The work of a pass over the first positions of a prompt, as many as the guest takes together.

    Logits are computed behind the last pass only, and not counted.
    """
    positions = min(batch_positions(), config.seq_len)
    token = token_work(config)
    classifier = config.vocab_size * config.dim
    row = _embedding_row(config)
    own = 0 if config.shared_classifier else row  # in token_work
    weights = token.weight_bytes - _classifier(config) - own + positions * row
    past = 2 * config.n_layers * sum(range(positions))
    adds = positions * (token.multiply_adds - classifier) + past * config.dim
    others = sum(_others(config, position) for position in range(positions))
    return TokenWork(weights, 0, adds, others, positions)


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the forward pass: seconds for each resource, whether they add up or overlap, and whether
    prompts are read in batches."""

    name: str
    resources: tuple[tuple[str, Callable[[TokenWork], float]], ...]
    overlapped: bool
    batches: bool = True

    def seconds(self, work: TokenWork) -> tuple[float, str]:
        """What it takes, and the resource that takes most of it."""
        times = [(seconds(work), resource) for resource, seconds in self.resources]
        slowest, limit = max(times)
        return slowest if self.overlapped else sum(seconds for seconds, _ in times), limit


@dataclass(frozen=True, slots=True)
class Estimate:
    """A variant's speed with a model, and the resource that limits it; and the same of a prompt."""

    variant: str
    tokens_per_second: float
    limit: str
    prompt_tokens_per_second: float
    prompt_limit: str


def _misses(figures: ConsoleFigures, cores: float, outstanding: float) -> Callable[[TokenWork], float]:
    return lambda work: work.bytes / figures.line.value * figures.miss.value / (cores * outstanding)


def _over(channel: Assumption) -> Callable[[TokenWork], float]:
    return lambda work: work.bytes / channel.value


def _scalar(figures: ConsoleFigures) -> Callable[[TokenWork], float]:
    return lambda work: work.multiply_adds * figures.scalar_latency.value / figures.clock.value


def _vmx(figures: ConsoleFigures, cores: float) -> Callable[[TokenWork], float]:
    def seconds(work: TokenWork) -> float:
        chains = figures.vmx_chains.value * min(work.positions, figures.shared_loads.value)
        a_cycle = min(chains / figures.vmx_latency.value, 1)  # vmaddfp that begin
        operations = work.multiply_adds + work.other_operations
        return operations / (4 * a_cycle * figures.clock.value * cores)

    return seconds


def _gpu(figures: ConsoleFigures) -> Callable[[TokenWork], float]:
    return lambda work: work.multiply_adds / (5 * figures.gpu_units.value * figures.gpu_clock.value)


_ONE_BY_ONE, _VECTOR = "memory latency, one miss at a time", "vector unit"
_COUNTED = {1: "one core", 2: "two cores", 3: "three cores"}


def variants(figures: ConsoleFigures = XBOX_360) -> tuple[Variant, ...]:
    """The ways to run a model on a console; the one of several cores is left out where one has arrived."""
    outstanding, cores = figures.outstanding.value, int(figures.cores.value)
    prefetched = f"memory latency, {outstanding:.2g} misses at a time"
    bus = ("front-side bus", _over(figures.front_side_bus))
    alone = (_ONE_BY_ONE, _misses(figures, 1, 1))

    def vmx(count: int) -> Variant:
        misses, unit = _misses(figures, count, outstanding), _vmx(figures, count)
        resources = ((prefetched, misses), bus, (_VECTOR, unit))
        return Variant(f"VMX, prefetched, {_COUNTED[count]}", resources, overlapped=True)

    chain = ("one chain of fmadds", _scalar(figures))
    return (
        Variant("naive scalar, one core", (alone, chain), overlapped=False, batches=False),
        Variant("VMX, one core", (alone, (_VECTOR, _vmx(figures, 1))), overlapped=False),
        *(vmx(count) for count in sorted({1, cores})),
        Variant(
            "GPU",
            (("memory bandwidth", _over(figures.memory)), ("shader units", _gpu(figures))),
            overlapped=True,
        ),
    )


def estimate(
    config: Config, position: int = 0, kv_bytes: int = 4, figures: ConsoleFigures = XBOX_360
) -> list[Estimate]:
    """Every variant's speed with a model of these dimensions and types, for the token at `position` and for
    the beginning of a prompt, on a console of these figures."""
    work = token_work(config, position, kv_bytes)
    estimates = []
    for variant in variants(figures):
        prompt = prompt_work(config) if variant.batches else token_work(config)
        (token_seconds, limit), (seconds, prompt_limit) = variant.seconds(work), variant.seconds(prompt)
        estimates.append(
            Estimate(variant.name, 1 / token_seconds, limit, prompt.positions / seconds, prompt_limit)
        )
    return estimates


def as_dict(
    name: str, config: Config, kv_bytes: int = 4, figures: ConsoleFigures = XBOX_360
) -> dict[str, object]:
    """The whole report as plain values for JSON: the first token, the last one, and what it rests on."""
    last = config.seq_len - 1
    estimates = zip(estimate(config, figures=figures), estimate(config, last, kv_bytes, figures), strict=True)
    return {
        "model": name,
        "work_of_the_first_token": asdict(token_work(config)),
        "work_of_a_pass_over_a_prompt": asdict(prompt_work(config)),
        "last_position": last,
        "estimates": [
            {
                "variant": early.variant,
                "tokens_per_second": early.tokens_per_second,
                "tokens_per_second_at_last_position": late.tokens_per_second,
                "prompt_tokens_per_second": early.prompt_tokens_per_second,
                "limit": early.limit,
                "limit_at_last_position": late.limit,
                "prompt_limit": early.prompt_limit,
            }
            for early, late in estimates
        ],
        "assumptions": [asdict(assumption) for assumption in figures.rows],
        "published": [asdict(measurement) for measurement in PUBLISHED],
    }
