"""A program's image (see program_image.py) in the cache: taken before it runs, kept when it has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.recompiler.object_code import FlatCode, flat_code
from xenon.recompiler.outcome import Tier
from xenon.recompiler.prepared import digest_of
from xenon.recompiler.program_image import KeptUnit, ProgramImage, image_key

if TYPE_CHECKING:
    from xenon.recompiler.recompiler import Recompiler


class KeptImage:
    """The image of the program that the recompiler of a console compiles."""

    def __init__(self, recompiler: Recompiler) -> None:
        self._recompiler = recompiler
        self._image: ProgramImage | None = None

    def take(self, program: str) -> bool:
        """Have the CPUs hand over to those functions of a program's image in the cache whose instructions
        memory holds, before guest code runs; whether there is an image."""
        recompiler = self._recompiler
        data = recompiler.cache.get(self._key(program)) if recompiler.cache and self._may_be else None
        image = ProgramImage.read(data) if data else None
        base = image.base() if image else None
        if image is None or base is None:
            return False
        self._image = image
        for kept in image.units:
            if recompiler.is_left(kept.entries[0]) or recompiler.reason_to_leave(kept.entries[0]):
                continue
            if any(recompiler.fetch(page * PAGE_BYTES) is None for page in kept.pages):
                continue
            if digest_of(recompiler.code_at, kept.runs) == kept.digest:
                tier = Tier.OPTIMISED if kept.optimised else Tier.COMPILED
                start = time.perf_counter()
                recompiler.enter(kept.entries, kept.inside, tier, kept.unit(base), start, set())
        return True

    def keep(self, program: str) -> None:
        """Put what is compiled into the program's image, if some of that is not in it."""
        cache, image = self._recompiler.cache, self._image
        if cache is None or not self._may_be:
            return
        before = {(kept.entries, kept.inside, kept.optimised): kept for kept in image.units} if image else {}
        rows: list[tuple[KeptUnit, FlatCode]] = []
        is_new = False
        for outcome, unit in self._recompiler.published.compiled():
            key = outcome.entries, outcome.inside, outcome.tier is Tier.OPTIMISED
            if image and (kept := before.get(key)) and kept.digest == unit.digest:
                rows.append((kept, image.code_of(kept)))
            elif unit.symbol and (code := cache.get(unit.symbol)):
                flat = flat_code(code, unit.symbol)
                rows += [] if flat is None else [(KeptUnit.make(*key, unit), flat)]
                is_new |= flat is not None
        if is_new:
            cache.put(self._key(program), ProgramImage.of(rows).data)

    @property
    def _may_be(self) -> bool:
        """Whether an image has the code that is asked for: that which shows its status needs a resolver."""
        return not self._recompiler.counting and not self._recompiler.shows_status

    def _key(self, program: str) -> str:
        return image_key(program, repr((self._recompiler.assume_singles, RAM_BYTES, PAGE_BYTES)))
