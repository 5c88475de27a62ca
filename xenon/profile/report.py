"""A profile for reading, and as one object for JSON (the keys are documented in docs/profile.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xenon.powerpc.disassembly import disassemble
from xenon.powerpc.mix import name_and_work
from xenon.profile.flame_drawing import flame_graph
from xenon.profile.profile import BlockProfile, FunctionProfile, Profile
from xenon.profile.sampler import Place
from xenon.recompiler.cpu_kind import CpuKind

_MOST_LINES = 40  # of a block
_MOST_MNEMONICS = 12
_NAMES = {Place.COMPILED: "compiled", Place.UNICORN: "on Unicorn", Place.SYSTEM: "system calls"}


def lines(profile: Profile, top: int) -> Iterator[str]:
    """The report, `top` functions of it."""
    many = f", {len(profile.threads)} threads" if len(profile.threads) > 1 else ""
    yield f"profile of {profile.program}: {profile.seconds:.2f} s, --cpu {profile.cpu.value}{many}"
    yield ""
    yield from _summary(profile)
    yield ""
    yield from _functions(profile, top)
    yield ""
    yield from _mix(profile)
    for block in profile.blocks:
        yield ""
        yield from _block(block, profile.instructions)


def _summary(profile: Profile) -> Iterator[str]:
    milliseconds = 1000 * profile.period
    yield f"time          {profile.samples:,} samples, one each {milliseconds:.1f} ms" + _places(
        profile.places
    )
    yield f"instructions  {profile.instructions:,} counted exactly" + _compiled(profile)
    if len(profile.threads) > 1:
        for one in profile.threads:
            samples = sum(one.samples.values())
            yield (
                f"  thread {one.number}    {samples:,} samples{_places(one.samples)}; "
                f"{one.instructions:,} instructions"
            )


def _places(places: Mapping[Place, int]) -> str:
    whole = sum(places.values())
    parts = [f"{_NAMES[one]} {_share(places[one], whole)}" for one in Place if places.get(one)]
    return f": {', '.join(parts)}" if parts else ""


def _compiled(profile: Profile) -> str:
    if not profile.compiled_instructions:
        return ""
    return f": {_share(profile.compiled_instructions, profile.instructions)} of them in compiled code"


def _functions(profile: Profile, top: int) -> Iterator[str]:
    yield "functions by their own time (total: with what they call)"
    yield f"  {'self':>6}  {'total':>6}  {'instructions':>16}  {'':>6}  {'calls':>12}  tier, function"
    for one in profile.functions[:top]:
        yield (
            f"  {_share(one.self_samples, profile.samples):>6}  {_share(one.total, profile.samples):>6}  "
            f"{one.instructions:>16,}  {_share(one.instructions, profile.instructions):>6}  "
            f"{one.calls:>12,}  {_tier(one, profile.cpu)}"
        )
    if (rest := len(profile.functions) - top) > 0:
        yield f"  and {rest} more (--top)"


def _tier(one: FunctionProfile, cpu: CpuKind) -> str:
    """`compiled rows_vmx`, or why it is not, and how much ran compiled where that is not all or nothing."""
    words = f"{one.tier:<8}  {one.name}"
    notes = [one.reason] if one.reason and cpu is CpuKind.RECOMPILER else []
    share = one.compiled_instructions / one.instructions if one.instructions else 0.0
    if 0.001 < share < 0.99:
        notes.append(f"{100 * share:.1f}% of its instructions compiled")
    return f"{words}  ({'; '.join(notes)})" if notes else words


def _mix(profile: Profile) -> Iterator[str]:
    yield "instructions by class"
    for work, count in sorted(profile.works.items(), key=lambda item: -item[1]):
        yield f"  {_share(count, profile.instructions):>6}  {count:>16,}  {work.value}"
    yield ""
    yield "most frequent instructions"
    for name, count in _frequent(profile)[:_MOST_MNEMONICS]:
        yield f"  {_share(count, profile.instructions):>6}  {count:>16,}  {name}"


def _frequent(profile: Profile) -> list[tuple[str, int]]:
    return sorted(profile.mnemonics.items(), key=lambda item: (-item[1], item[0]))


def _block(block: BlockProfile, instructions: int) -> Iterator[str]:
    compiled = ""
    if block.compiled_executions:
        compiled = f", {_share(block.compiled_executions, block.executions)} of them compiled"
    yield (
        f"{block.function}+0x{block.offset:x}: {_share(block.instructions, instructions)} of all "
        f"instructions, executed {block.executions:,}x{compiled}"
    )
    for address, word, text in _text(block)[:_MOST_LINES]:
        yield f"  {address:08x}  {word:08x}  {text}"
    if (rest := len(block.code) - _MOST_LINES) > 0:
        yield f"  and {rest} more"


def _text(block: BlockProfile) -> list[tuple[int, int, str]]:
    code = b"".join(word.to_bytes(4, "big") for _, word in block.code)
    return list(disassemble(code, block.address))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def flame(profile: Profile) -> str:
    """A flame graph of it, an SVG document."""
    stacks = {(names, place.value): count for (names, place), count in profile.stacks.items()}
    many = f", {len(profile.threads)} threads" if len(profile.threads) > 1 else ""
    title = f"{profile.program}: {profile.seconds:.2f} s, --cpu {profile.cpu.value}{many}"
    return flame_graph(stacks, f"{title}; {profile.samples:,} samples", profile.period)


def as_json(profile: Profile) -> dict[str, object]:
    """All of it; time in seconds, addresses as numbers."""
    return {
        "program": profile.program,
        "cpu": profile.cpu.value,
        "seconds": round(profile.seconds, 6),
        "samples": profile.samples,
        "sample_period": round(profile.period, 9),
        "samples_by_tier": _by_place(profile.places),
        "instructions": profile.instructions,
        "instructions_compiled": profile.compiled_instructions,
        "threads": [
            {
                "number": one.number,
                "samples_by_tier": _by_place(one.samples),
                "instructions": one.instructions,
                "instructions_compiled": one.compiled_instructions,
            }
            for one in profile.threads
        ],
        "functions": [_function_json(one) for one in profile.functions],
        "classes": {work.value: count for work, count in profile.works.items()},
        "mnemonics": [{"mnemonic": name, "instructions": count} for name, count in _frequent(profile)],
        "blocks": [_block_json(one) for one in profile.blocks],
        "stacks": [
            {"functions": list(names), "tier": place.value, "samples": count}
            for (names, place), count in sorted(
                profile.stacks.items(), key=lambda item: (-item[1], item[0][0], item[0][1].value)
            )
        ],
    }


def _by_place(places: Mapping[Place, int]) -> dict[str, int]:
    return {place.value: places.get(place, 0) for place in Place}


def _function_json(one: FunctionProfile) -> dict[str, object]:
    return {
        "name": one.name,
        "address": one.address,
        "size": one.size,
        "tier": one.tier,
        "reason": one.reason,
        "self_samples": one.self_samples,
        "self_samples_by_tier": _by_place(one.own),
        "total_samples": one.total,
        "calls": one.calls,
        "instructions": one.instructions,
        "instructions_compiled": one.compiled_instructions,
    }


def _block_json(block: BlockProfile) -> dict[str, object]:
    return {
        "address": block.address,
        "function": block.function,
        "offset": block.offset,
        "executions": block.executions,
        "executions_compiled": block.compiled_executions,
        "instructions": block.instructions,
        "code": [
            {"address": address, "word": word, "mnemonic": name_and_work(word)[0], "text": text}
            for address, word, text in _text(block)
        ],
    }
