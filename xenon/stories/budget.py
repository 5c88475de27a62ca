"""What a run of the guest will take of the console's memory, region by region, without running it.

The guest's allocations come from its own table (llama2c.allocations), their places from the kernel's rules
(linux/loading.py, linux/memory_calls.py). A run never gives memory back, so the sum of its regions is its
high-water mark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from llama2c.allocations import Extents, Users, allocations, most_request_bytes, whole_lines
from loader import Format, Model, Tokenizer
from xenon.errors import ErrorCode, XenonError
from xenon.hardware.memory import OutOfMemoryError, Owner, UnifiedMemory
from xenon.hardware.memory_map import CACHE_LINE_BYTES, PAGE_BYTES, RAM_BYTES, align_up, in_units
from xenon.linux.layout import LINUX_MAP
from xenon.linux.loading import STACK_GUARD_BYTES, placements
from xenon.linux.owners import owner_named
from xenon.linux.program import Program
from xenon.stories.guest import MOST_PROMPT_ARGUMENT, matrix_types

_HELPFUL = 3  # regions that a refusal names


@dataclass(frozen=True, slots=True)
class Run:
    """A run to predict: the guest and its stack, the model and its tokenizer, the length of the prompt.

    `context` is in positions (None: the model's own). `model_path` is the model's name on the console's disc.
    `gpu` says that the GPU computes, `kv_bytes` how many bytes each number of keys and values takes,
    `int8_activations` that matrices are multiplied by int8, `conversation` that the guest serves one and has
    no prompt.
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
    kv_bytes: int = 4
    int8_activations: bool = False
    conversation: bool = False

    @property
    def positions(self) -> int:
        """The context in effect."""
        return self.model.config.seq_len if self.context is None else self.context


class Use(NamedTuple):
    """One region: whole pages from `address`, or None where the region does not fit."""

    owner: Owner
    purpose: str
    size: int
    address: int | None


class Budget(NamedTuple):
    """The regions of a run in the order of their allocation, the system's own first."""

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
        system = sum(use.size for use in self.uses if use.owner is Owner.SYSTEM)
        sizes = self.total - system, self.run.memory_bytes - system
        needed, room = map(in_units, sizes)
        if needed == room:
            needed, room = (f"{size:,} bytes" for size in sizes)
        message = (
            f"{self.run.model.path}: needs {needed} with a context of {self.run.positions}, and the console "
            f"has {room} for a program; the largest regions are {named}"
        )
        if not longest:
            raise OutOfMemoryError(message, "no context is short enough: a smaller model fits")
        raise OutOfMemoryError(
            message,
            f"a context of {longest} fits",
            ErrorCode.CONTEXT_TOO_LONG,
            longest_context=longest,
        )

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; sizes are in bytes, addresses are physical, None where there is no room."""
        return {
            "model": os.fsencode(self.run.model.path).decode(errors="replace"),
            "context": self.run.positions,
            "prompt_bytes": self.run.prompt_bytes,
            "threads": self.run.threads,
            "kv_bytes": self.run.kv_bytes,
            "memory_bytes": self.run.memory_bytes,
            "total_bytes": self.total,
            "fits": self.fits,
            "longest_context": longest_context(self.run),
            "regions": [
                {"owner": use.owner.value, "purpose": use.purpose, "address": use.address, "size": use.size}
                for use in self.uses
            ],
        }


def predict(run: Run) -> Budget:
    """The regions of a run, placed as the kernel would place them.

    Raises XenonError for a memory size or a context that cannot be.
    """
    most = run.model.config.seq_len
    if not 1 <= run.positions <= most:
        raise XenonError(f"context {run.positions}, expected 1 to {most}, the context of {run.model.path}")
    memory = UnifiedMemory(run.memory_bytes, LINUX_MAP)
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
    """(name, bytes, address where it must be) in the order in which memory is asked for.

    The name is what the guest calls the region in the end, with its owner.
    """
    for part in placements(run.program):
        yield part.purpose, part.size, part.address
    yield "stack", align_up(run.stack_bytes, PAGE_BYTES) + STACK_GUARD_BYTES, None
    extents = extents_of(run)
    if extents.mapped:
        yield ("shared " if run.gpu else "") + f"file {run.model_path}", run.model.size, None
    for allocation in allocations(extents):
        shared = run.gpu and allocation.users is Users.SHARED
        yield ("shared " if shared else "") + allocation.name, allocation.size, None


def extents_of(run: Run) -> Extents:
    """The numbers of a run."""
    model, config = run.model, run.model.config
    planes = [count for name, count in matrix_types(model).items() if name != "fp32"]
    rows = run.tokenizer.table_rows(config.vocab_size)
    # The guest uses a file in place where all its tensors are aligned, which v0 files never are.
    aligned = all(part.offset % CACHE_LINE_BYTES == 0 for part in model.tensors)
    return Extents(
        dim=config.dim,
        hidden_dim=config.hidden_dim,
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        n_kv_heads=config.n_kv_heads,
        head_size=config.dim // config.n_heads,
        kv_dim=config.kv_dim,
        vocab_size=config.vocab_size,
        seq_len=run.positions,
        kv_bytes=run.kv_bytes,
        int8_activations=int(run.int8_activations),
        quantised_planes=max(planes, default=0),
        weight_bytes=sum(
            whole_lines(part.nbytes) for part in model.tensors if not part.name.startswith("freq_cis_")
        ),
        tokenizer_bytes=run.tokenizer.size,
        prompt_bytes=most_request_bytes() if run.conversation else run.prompt_bytes,
        prompt_file_bytes=run.prompt_bytes if run.prompt_bytes > MOST_PROMPT_ARGUMENT else 0,
        conversations=int(run.conversation),
        pieces=rows,
        longest_piece=max((len(piece.text) for piece in run.tokenizer.pieces[:rows]), default=0),
        mapped=model.format is not Format.V0 and aligned,
        gpu=run.gpu,
        threads=run.threads,
    )
