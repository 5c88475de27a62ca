"""What a run of the guest will take of the console's memory, region by region, without running it.

Follows the guest's allocations (llama2c/src: checkpoint.c, tokenizer.c, transformer.c, sampler.c, parallel.c)
and the kernel's way to place them (linux/loading.py, linux/memory_calls.py). A run never gives memory back,
so the sum of its regions is its high-water mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from loader import Config, Format, Model, Tokenizer
from xenon.errors import XenonError
from xenon.hardware.memory import OutOfMemoryError, Owner, UnifiedMemory
from xenon.hardware.memory_map import CACHE_LINE_BYTES, KIB, PAGE_BYTES, RAM_BYTES, align_up, in_units
from xenon.linux.loading import STACK_GUARD_BYTES, placements
from xenon.linux.owners import owner_named
from xenon.linux.program import Program
from xenon.stories.gpu_budget import gpu_requests

_FLOAT, _INT, _PIECE = 4, 4, 16  # bytes; sizeof(Piece) in tokenizer.h
_THREAD_STACK = 64 * KIB  # STACK_SIZE in parallel.c
_HELPFUL = 3  # regions that a refusal names


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is made of: the guest and its stack, the model and its tokenizer, a prompt of so many bytes.

    `context` is in positions (None: the model's own), `model_path` is the model's name on the console's disc,
    `gpu` says that the GPU computes.
    """

    program: Program
    stack_bytes: int
    model: Model
    tokenizer: Tokenizer
    model_path: str
    prompt_bytes: int
    context: int | None = None
    memory_bytes: int = RAM_BYTES
    threads: int = 1
    gpu: bool = False

    @property
    def positions(self) -> int:
        """The context in effect."""
        return self.model.config.seq_len if self.context is None else self.context


@dataclass(frozen=True, slots=True)
class Use:
    """One region: whole pages from `address`, which is None where it does not fit."""

    owner: Owner
    purpose: str
    size: int
    address: int | None


@dataclass(frozen=True, slots=True)
class Budget:
    """The regions of a run in the order in which they come to be, the system's own first."""

    run: Run
    uses: tuple[Use, ...]

    @property
    def total(self) -> int:
        """Bytes in all regions: what `UnifiedMemory.high_water` will be."""
        return sum(use.size for use in self.uses)

    @property
    def fits(self) -> bool:
        return all(use.address is not None for use in self.uses)

    @property
    def largest(self) -> tuple[Use, ...]:
        """The three largest regions of the program, the largest first."""
        own = [use for use in self.uses if use.owner is not Owner.SYSTEM]
        return tuple(sorted(own, key=lambda use: -use.size)[:_HELPFUL])

    def check(self) -> None:
        """Raise OutOfMemoryError, with the largest regions and what would help, unless the run fits."""
        if self.fits:
            return
        named = ", ".join(f"{use.purpose} {in_units(use.size)}" for use in self.largest)
        longest = longest_context(self.run)
        help_ = (
            f"a context of {longest} fits: --context {longest}"
            if longest
            else "no context is short enough: a smaller model fits"
        )
        system = sum(use.size for use in self.uses if use.owner is Owner.SYSTEM)
        sizes = self.total - system, self.run.memory_bytes - system
        needed, room = map(in_units, sizes)
        if needed == room:
            needed, room = (f"{size:,} bytes" for size in sizes)
        raise OutOfMemoryError(
            f"{self.run.model.path}: needs {needed} with a context of {self.run.positions}, and the console "
            f"has {room} for a program; the largest regions are {named}",
            help_,
        )


def predict(run: Run) -> Budget:
    """The regions of a run, placed as the kernel would place them.

    Raises XenonError for a model that the guest does not run, and a memory size or a context that cannot be.
    """
    most = run.model.config.seq_len
    if not 1 <= run.positions <= most:
        raise XenonError(f"context {run.positions}, expected 1 to {most}, the context of {run.model.path}")
    memory = UnifiedMemory(run.memory_bytes)
    uses = [Use(region.owner, region.purpose, region.size, region.address) for region in memory.regions]
    full = False
    for name, size, wanted in _requests(run):
        size = align_up(size, PAGE_BYTES)
        owner, purpose = owner_named(name)
        address = None
        if not full:
            try:
                address = memory.allocate(size, owner, purpose, PAGE_BYTES, wanted).address
            except OutOfMemoryError:
                full = True  # the guest ends at the first that fails
        uses.append(Use(owner, purpose, size, address))
    return Budget(run, tuple(uses))


def longest_context(run: Run) -> int:
    """The most positions with which the run fits, 0 when none does."""
    low, high = 0, run.model.config.seq_len
    while low < high:
        middle = (low + high + 1) // 2
        if predict(replace(run, context=middle)).fits:
            low = middle
        else:
            high = middle - 1
    return low


def _requests(run: Run) -> Iterator[tuple[str, int, int | None]]:
    """(name, bytes, address where it must be) in the order in which memory is asked for; the name is what the
    guest calls it in the end, with its owner."""
    shared = "shared " if run.gpu else ""
    for part in placements(run.program):
        yield part.purpose, part.size, part.address
    yield "stack", align_up(run.stack_bytes, PAGE_BYTES) + STACK_GUARD_BYTES, None
    config = run.model.config
    purpose, size, _ = _weights(run)
    yield shared + purpose, size, None
    yield "tokenizer file", run.tokenizer.size, None
    yield "tokenizer table", config.vocab_size * _PIECE, None
    yield "prompt", _prompt_bytes(run), None
    if run.prompt_bytes:
        yield "tokenizer order", 2 * config.vocab_size * _INT, None
    cache = _floats(config.n_layers * run.positions * config.kv_dim)
    yield shared + "activations", sum(_activations(config, run.positions)), None
    yield shared + "key cache", cache, None
    yield shared + "value cache", cache, None
    yield "sampler", 2 * config.vocab_size * _INT, None
    for thread in range(1, run.threads):
        yield f"stack of thread {thread}", _THREAD_STACK, None
    if run.gpu:
        for name, size in gpu_requests(config):
            yield name, size, None


def _floats(count: int) -> int:
    """Bytes of an array of floats that begins and ends with a cache line."""
    return align_up(count * _FLOAT, CACHE_LINE_BYTES)


def _weights(run: Run) -> tuple[str, int, None]:
    """One region into which tensors are copied, or, where all are aligned (v1), the file itself."""
    model = run.model
    if model.format is Format.V2:
        raise XenonError(f"{model.path}: an int8 model (v2); the guest runs fp32 models (v0 and v1)")
    if model.format is Format.V1 and all(part.offset % CACHE_LINE_BYTES == 0 for part in model.tensors):
        return f"file {run.model_path}", model.size, None
    weights = [part.count for part in model.tensors if part.is_weight]
    return "weights", sum(map(_floats, weights)), None


def _prompt_bytes(run: Run) -> int:
    """Tokens and merges (a token a byte, BOS and a space), and room for two pieces side by side."""
    pieces = run.tokenizer.pieces[: run.model.config.vocab_size]
    longest = max(len(piece.text) for piece in pieces)
    return 2 * (run.prompt_bytes + 2) * _INT + 2 * longest


def _activations(config: Config, positions: int) -> Sequence[int]:
    """Bytes of each array in Run_State (transformer.h) but for the two caches."""
    counts = (
        *(config.dim,) * 3,  # x, xb, xb2
        *(config.hidden_dim,) * 2,  # hb, hb2
        config.dim,  # q
        config.n_heads * positions,  # att
        config.vocab_size,  # logits
        *(config.half_head,) * 3,  # rope_freq, rope_cos, rope_sin
    )
    return [_floats(count) for count in counts]
