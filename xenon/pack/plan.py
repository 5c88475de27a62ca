"""What a stick holds for a model and a prompt: the layout by size, and the memory picture of the console.

Three layouts: everything in xenon.elf; the program in xenon.elf and the files in an initrd that kboot.conf
names, which is there for other models and prompts; and a model cut in two, where one file cannot hold it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import loader
from llama2c.allocations import allocations
from loader.image import Segment
from loader.tensor_types import U8
from xenon.errors import ErrorCode, XenonError
from xenon.hardware.memory_map import HARDWARE_THREADS, SYSTEM, Range
from xenon.linux.program import read_program
from xenon.pack.archive import FilePiece, archive_bytes, pack_archive
from xenon.pack.container import BareProgram, container, page_up, read_guest
from xenon.pack.limits import IMAGE_END, INITRD_BYTES, TFTP_BYTES, MemoryArea
from xenon.stories.budget import Run, extents_of
from xenon.stories.guest import (
    MODEL_PATH,
    STACK_BYTES,
    guest_program,
    matrix_types,
    open_model,
    open_tokenizer,
    xell_program,
)
from xenon.stories.settings import Sampling
from xenon.xell.layout import PLACES, Loader

ELF_NAME, INITRD_NAME, KBOOT_NAME = "xenon.elf", "model.img", "kboot.conf"
_MODEL, _TOKENIZER, _ARGUMENTS = "model.bin", "tokenizer.bin", "arguments"
_KBOOT = f"""#KBOOTCONFIG
timeout=5
default=xenon-llm
xenon-llm="uda0:/{ELF_NAME} initrd=uda0:/{INITRD_NAME}"
"""
# Tensor types by the bytes that they take of those of fp32, as a fraction.
_SMALLER = (("f16", 1, 2), ("q8_0", 34, 128), ("q4_1", 20, 128))
_PASSES_OF_SELF_TEST = 3  # each takes its own memory, and nothing is given back
_SLACK = 0x10000  # bytes of a container beside its image: headers, symbols


class Layout(StrEnum):
    """Where the files are: with the program, in an initrd beside it, or the model in both."""

    ONE = "one"
    INITRD = "initrd"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Tale:
    """What is told on the console: a model, its tokenizer, the prompt, how tokens are chosen.

    `sampling` may leave the seed to the console's clock. `context` is in positions (None: the model's own).
    With `powers_off` the console switches itself off at the end. With `tests_itself` it runs its self-test by
    the model instead, and prints a page.
    """

    model: loader.Model
    tokenizer: loader.Tokenizer
    prompt: bytes = b""
    sampling: Sampling = field(default_factory=Sampling)
    context: int | None = None
    powers_off: bool = False
    tests_itself: bool = False

    @property
    def arguments(self) -> bytes:
        """The program's options, each with a zero behind it."""
        platform = b"--power-off\0" * self.powers_off
        if self.tests_itself:
            return b"--self-test\0" + platform
        sampling = self.sampling
        texts = ["-t", repr(float(sampling.temperature)), "-p", repr(float(sampling.top_p))]
        if sampling.seed:
            texts += ["-s", str(sampling.seed)]
        if sampling.steps is not None:
            texts += ["-n", str(sampling.steps)]
        if self.context is not None:
            texts += ["-c", str(self.context)]
        if sampling.min_p:
            texts += ["-m", repr(float(sampling.min_p))]
        if sampling.repeat_penalty != 1:
            texts += ["-a", repr(float(sampling.repeat_penalty))]
        texts += ["-e"] * sampling.ignore_eos + ["-x"] * sampling.special
        words = [text.encode() for text in texts]
        for text in sampling.stop:
            words += [b"-b", text.encode("utf-8", "surrogateescape")]
        if self.prompt:
            words += [b"-i", self.prompt]
        return platform + b"".join(word + b"\0" for word in words)


@dataclass(frozen=True, slots=True)
class Stick:
    """The files for a stick by name, and the memory of a console that has started them."""

    layout: Layout
    files: dict[str, bytes]
    memory: tuple[MemoryArea, ...]
    notes: tuple[str, ...]

    def images(self, folder: Path) -> list[tuple[loader.Image, Path]]:
        """The files as loader.output writes them, together or not at all."""
        return [
            (loader.Image((), [Segment(len(data), U8, data)], swap=False), folder / name)
            for name, data in self.files.items()
        ]


def plan(tale: Tale, layout: Layout | None = None) -> Stick:
    """The stick for a tale; `layout` None: as few files as can be.

    Raises XenonError for what does not fit: on the stick, in the memory that XeLL loads to, or in RAM.
    """
    _check(tale)
    program = bare_program()
    sizes = _Sizes(program, tale)
    chosen = sizes.choose(layout)
    areas = {kind: _memory(tale, sizes, chosen, kind) for kind in Loader}
    return Stick(chosen, _files(tale, sizes, chosen), areas[Loader.NEW], _notes(sizes, chosen))


def picture(tale: Tale, layout: Layout | None = None) -> tuple[Layout, tuple[MemoryArea, ...]]:
    """The layout, and the memory of a console with a new loader that tells the tale. Reads no weights.

    Raises XenonError as plan does.
    """
    _check(tale)
    sizes = _Sizes(bare_program(), tale)
    chosen = sizes.choose(layout)
    return chosen, _memory(tale, sizes, chosen, Loader.NEW)


def self_test(powers_off: bool = False) -> Tale:
    """The self-test of a console, by the bundled model."""
    model = open_model(None)
    return Tale(model, open_tokenizer(model, None), powers_off=powers_off, tests_itself=True)


def bare_program() -> BareProgram:
    """The guest that starts on bare metal. Raises XenonError where it has not been built."""
    path = xell_program()
    return read_guest(str(path), path.read_bytes())


def _check(tale: Tale) -> None:
    positions = tale.model.config.seq_len
    for what, value in (("steps", tale.sampling.steps), ("a context of", tale.context)):
        if value is not None and value > positions:
            message = f"{value} {what}" if what == "steps" else f"{what} {value}"
            raise XenonError(f"{message}, expected at most {positions}, the context of {tale.model.path}")
    if b"\0" in tale.prompt:
        raise XenonError("the prompt contains a zero byte", "prompts are text")
    longest = (tale.context or positions) * tale.tokenizer.max_token_length
    if len(tale.prompt) > longest:
        raise XenonError(
            f"a prompt of {len(tale.prompt)} bytes, the context of {tale.model.path} holds at most {longest}",
            "shorten the prompt",
        )


class _Sizes:
    """How large everything is, before a byte of the model is read."""

    def __init__(self, program: BareProgram, tale: Tale) -> None:
        self.program = program
        self.model = tale.model.image(loader.ByteOrder.BIG).size
        self.small = (tale.tokenizer.image(loader.ByteOrder.BIG).size, len(tale.arguments))
        self.whole = archive_bytes([self.model, *self.small])
        self.room = IMAGE_END - _SLACK - program.files_address
        """Bytes of an archive that an image has room for; a file takes no more than its image."""
        self.path = tale.model.path
        self.types = set(matrix_types(tale.model))

    @property
    def first_half(self) -> int:
        """Bytes of the model in the initrd, of a model that is cut."""
        return min(INITRD_BYTES - archive_bytes([0, 0, 0]) - sum(self.small) - 3 * 4096, self.model) & ~0xFFF

    def _nearest(self, most: int) -> str:
        """What would fit instead."""
        if self.types == {"fp32"}:
            for label, numerator, denominator in _SMALLER:
                size = self.model * numerator // denominator
                if size <= most:
                    return f"with its matrices converted to {label} it takes about {size:,} bytes, which fit"
        return "a smaller model fits, such as llama2.c's stories15M"

    def choose(self, wanted: Layout | None) -> Layout:
        """The layout. Raises XenonError where the files do not fit in it, or in any."""
        fits = {
            Layout.ONE: self.whole <= self.room,
            Layout.INITRD: self.whole <= INITRD_BYTES,
            # The loader reads xenon.elf to where it read the initrd before, if it is no larger.
            Layout.SPLIT: archive_bytes([self.model - self.first_half]) + self.program.files_address + _SLACK
            <= INITRD_BYTES,
        }
        if wanted is None:
            if Layout.ONE in (layout for layout, good in fits.items() if good):
                return Layout.ONE
            if fits[Layout.SPLIT]:
                return Layout.SPLIT
            most = self.first_half + INITRD_BYTES - self.program.files_address - _SLACK - 4096
            raise XenonError(
                f"{self.path}: {self.model:,} bytes, XeLL loads a model of at most {most:,}",
                self._nearest(most),
                ErrorCode.OUT_OF_MEMORY,
            )
        if not fits[wanted]:
            most = {Layout.ONE: self.room, Layout.INITRD: INITRD_BYTES}.get(wanted, INITRD_BYTES * 2)
            other = next((layout for layout, good in fits.items() if good), None)
            raise XenonError(
                f"{self.path}: {self.whole:,} bytes of files, the layout {wanted} has room for {most:,}",
                f"the layout {other} has room for them" if other else "a smaller model fits",
                ErrorCode.OUT_OF_MEMORY,
            )
        return wanted


def _files(tale: Tale, sizes: _Sizes, layout: Layout) -> dict[str, bytes]:
    model = _bytes_of(tale.model.image(loader.ByteOrder.BIG))
    small = [
        FilePiece.whole(_TOKENIZER, _bytes_of(tale.tokenizer.image(loader.ByteOrder.BIG))),
        FilePiece.whole(_ARGUMENTS, tale.arguments),
    ]
    if layout is Layout.ONE:
        return {ELF_NAME: container(sizes.program, pack_archive([FilePiece.whole(_MODEL, model), *small]))}
    if layout is Layout.INITRD:
        initrd, image = pack_archive([FilePiece.whole(_MODEL, model), *small]), b""
    else:
        cut = sizes.first_half
        initrd = pack_archive([FilePiece(_MODEL, model[:cut], 0, len(model)), *small])
        image = pack_archive([FilePiece(_MODEL, model[cut:], cut, len(model))])
    return {
        ELF_NAME: container(sizes.program, image),
        INITRD_NAME: initrd,
        KBOOT_NAME: _KBOOT.encode(),
    }


def _bytes_of(image: loader.Image) -> memoryview:
    data = memoryview(bytearray(image.size))
    image.read_into(0, data)
    return data


def _notes(sizes: _Sizes, layout: Layout) -> tuple[str, ...]:
    if layout is Layout.ONE and sizes.whole + sizes.program.files_address + _SLACK > TFTP_BYTES:
        return (f"{ELF_NAME} is too long for a network: XeLL takes {TFTP_BYTES >> 20} MiB by TFTP",)
    return ()


def _memory(tale: Tale, sizes: _Sizes, layout: Layout, kind: Loader) -> tuple[MemoryArea, ...]:
    """Physical memory while the story is told, in the order of addresses: llama2c/src/xell_heap.c.

    Raises XenonError where an allocation finds no room.
    """
    program, places = sizes.program, PLACES[kind]
    taken = [MemoryArea(program.address, program.address + len(program.image), "program")]
    rest = archive_bytes([sizes.model - sizes.first_half])
    in_image = {Layout.ONE: sizes.whole, Layout.INITRD: 0, Layout.SPLIT: rest}[layout]
    if in_image:
        start = program.files_address
        taken.append(MemoryArea(start, start + in_image, "files in the image"))
    if layout is not Layout.ONE:
        size = sizes.whole if layout is Layout.INITRD else archive_bytes([sizes.first_half, *sizes.small])
        taken.append(MemoryArea(places.initrd.start, places.initrd.start + size, "initrd"))
    held = [*taken, *map(_area, (places.loader, places.device_tree, SYSTEM))]
    free = _gaps(max(area.end for area in taken if area.purpose != "initrd"), held)
    for purpose, size in _requests(tale, layout):
        index = next((i for i, gap in enumerate(free) if gap.size >= size), None)
        if index is None:
            largest = max((gap.size for gap in free), default=0)
            raise XenonError(
                f"{tale.model.path}: {purpose} takes {size:,} bytes, {largest:,} are free in one piece",
                "a shorter context takes less",
                ErrorCode.OUT_OF_MEMORY,
            )
        gap = free[index]
        held.append(MemoryArea(gap.start, gap.start + size, purpose))
        free[index] = MemoryArea(gap.start + size, gap.end, "")
    return tuple(sorted(held))


def _area(place: Range) -> MemoryArea:
    return MemoryArea(place.start, place.end, place.purpose)


def _gaps(start: int, held: list[MemoryArea]) -> list[MemoryArea]:
    """Whole pages from `start` up to the end of RAM that no area touches."""
    gaps, place = [], page_up(start)
    for area in sorted(held):
        if area.start > place:
            gaps.append(MemoryArea(place, min(area.start & ~0xFFF, SYSTEM.start), ""))
        place = max(place, page_up(area.end))
    return [gap for gap in gaps if gap.size > 0]


def _requests(tale: Tale, layout: Layout) -> Iterator[tuple[str, int]]:
    """What the program takes from the heap, in its order, in whole pages."""
    run = Run(
        program=read_program(guest_program()),
        stack_bytes=STACK_BYTES,
        model=tale.model,
        tokenizer=tale.tokenizer,
        model_path=MODEL_PATH,
        prompt_bytes=len(tale.prompt),
        context=tale.context,
        threads=HARDWARE_THREADS,
    )
    extents = extents_of(run)
    yield "stack", STACK_BYTES
    yield "options", page_up(len(tale.arguments) + 1)
    if extents.mapped and layout is Layout.SPLIT:
        yield "model in one piece", page_up(tale.model.image(loader.ByteOrder.BIG).size)
    for _ in range(_PASSES_OF_SELF_TEST if tale.tests_itself else 1):
        for allocation in allocations(extents):
            yield allocation.name, page_up(allocation.size)
