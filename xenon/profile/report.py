"""A profile as lines of text, as a flame graph, and as one JSON object (keys: docs/profile.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from xenon.powerpc.disassembly import disassemble
from xenon.powerpc.mix import name_and_class
from xenon.profile.flame_drawing import flame_graph
from xenon.profile.profile import BlockProfile, FunctionProfile, Profile
from xenon.profile.sampler import Activity
from xenon.recompiler.cpu_kind import CpuKind

_MOST_LINES = 40  # of a block
_MOST_MNEMONICS = 12
_NAMES = {
    Activity.OPTIMISED: "optimised",
    Activity.COMPILED: "compiled",
    Activity.UNICORN: "on Unicorn",
    Activity.SYSTEM: "system calls",
}


def lines(profile: Profile, top: int, advice: str = "") -> Iterator[str]:
    """The report, with the `top` functions; `advice` says how to see the rest of them."""
    many = f", {len(profile.threads)} threads" if len(profile.threads) > 1 else ""
    yield f"profile of {profile.program}: {profile.seconds:.2f} s, cpu {profile.cpu.value}{many}"
    yield ""
    yield from _summary(profile)
    yield ""
    yield from _functions(profile, top, advice)
    yield ""
    yield from _mix(profile)
    yield from _exits(profile, top)
    for block in profile.blocks:
        yield ""
        yield from _block(block, profile.instructions)


def _summary(profile: Profile) -> Iterator[str]:
    milliseconds = 1000 * profile.period
    yield f"time          {profile.samples:,} samples, one each {milliseconds:.1f} ms" + _activities(
        profile.activities
    )
    yield f"instructions  {profile.instructions:,} counted exactly" + _compiled(profile)
    if len(profile.threads) > 1:
        for thread in profile.threads:
            samples = sum(thread.samples.values())
            yield (
                f"  thread {thread.number}    {samples:,} samples{_activities(thread.samples)}; "
                f"{thread.instructions:,} instructions"
            )


def _activities(samples: Mapping[Activity, int]) -> str:
    whole = sum(samples.values())
    parts = [
        f"{_NAMES[activity]} {_share(samples[activity], whole)}"
        for activity in Activity
        if samples.get(activity)
    ]
    return f": {', '.join(parts)}" if parts else ""


def _compiled(profile: Profile) -> str:
    if not profile.compiled_instructions:
        return ""
    return f": {_share(profile.compiled_instructions, profile.instructions)} of them in compiled code"


def _functions(profile: Profile, top: int, advice: str) -> Iterator[str]:
    yield "functions by their own time (total: with what they call)"
    yield f"  {'self':>6}  {'total':>6}  {'instructions':>16}  {'':>6}  {'calls':>12}  tier, function"
    for function in profile.functions[:top]:
        own, total = (_share(part, profile.samples) for part in (function.self_samples, function.total))
        yield (
            f"  {own:>6}  {total:>6}  "
            f"{function.instructions:>16,}  {_share(function.instructions, profile.instructions):>6}  "
            f"{function.calls:>12,}  {_tier(function, profile.cpu)}"
        )
    if (rest := len(profile.functions) - top) > 0:
        yield f"  and {rest} more{advice}"


def _tier(function: FunctionProfile, cpu: CpuKind) -> str:
    """`compiled rows_vmx`; the reason if it is not compiled, and the compiled share if only a part is."""
    words = f"{function.tier:<9}  {function.name}"
    notes = [function.reason] if function.reason and cpu is CpuKind.RECOMPILER else []
    share = function.compiled_instructions / function.instructions if function.instructions else 0.0
    if 0.001 < share < 0.99:
        notes.append(f"{100 * share:.1f}% of its instructions compiled")
    return f"{words}  ({'; '.join(notes)})" if notes else words


def _exits(profile: Profile, top: int) -> Iterator[str]:
    """Where compiled code went on to Unicorn, the most frequent places first."""
    if not profile.exits:
        return
    yield ""
    yield f"exits         {sum(place.count for place in profile.exits):,} from compiled code to Unicorn"
    for place in profile.exits[:top]:
        ((_, _, text),) = disassemble(place.word.to_bytes(4, "big"), place.address)
        yield f"  {place.count:>12,}  {place.address:#010x}  {place.function}+{place.offset:#x}  {text}"


def _mix(profile: Profile) -> Iterator[str]:
    yield "instructions by class"
    for kind, count in sorted(profile.classes.items(), key=lambda item: -item[1]):
        yield f"  {_share(count, profile.instructions):>6}  {count:>16,}  {kind.value}"
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
    """The flame graph of a profile, an SVG document."""
    stacks = {(names, activity.value): count for (names, activity), count in profile.stacks.items()}
    many = f", {len(profile.threads)} threads" if len(profile.threads) > 1 else ""
    title = f"{profile.program}: {profile.seconds:.2f} s, cpu {profile.cpu.value}{many}"
    return flame_graph(stacks, f"{title}; {profile.samples:,} samples", profile.period)


def as_json(profile: Profile) -> dict[str, object]:
    """The whole profile as a JSON object; time in seconds, addresses as numbers."""
    return {
        "program": profile.program,
        "cpu": profile.cpu.value,
        "seconds": round(profile.seconds, 6),
        "samples": profile.samples,
        "sample_period": round(profile.period, 9),
        "samples_by_tier": _by_activity(profile.activities),
        "instructions": profile.instructions,
        "instructions_compiled": profile.compiled_instructions,
        "threads": [
            {
                "number": thread.number,
                "samples_by_tier": _by_activity(thread.samples),
                "instructions": thread.instructions,
                "instructions_compiled": thread.compiled_instructions,
            }
            for thread in profile.threads
        ],
        "functions": [_function_json(function) for function in profile.functions],
        "classes": {kind.value: count for kind, count in profile.classes.items()},
        "mnemonics": [{"mnemonic": name, "instructions": count} for name, count in _frequent(profile)],
        "blocks": [_block_json(block) for block in profile.blocks],
        "exits": [asdict(place) for place in profile.exits],
        "stacks": [
            {"functions": list(names), "tier": activity.value, "samples": count}
            for (names, activity), count in sorted(
                profile.stacks.items(), key=lambda item: (-item[1], item[0][0], item[0][1].value)
            )
        ],
    }


def _by_activity(samples: Mapping[Activity, int]) -> dict[str, int]:
    return {activity.value: samples.get(activity, 0) for activity in Activity}


def _function_json(function: FunctionProfile) -> dict[str, object]:
    return {
        "name": function.name,
        "address": function.address,
        "size": function.size,
        "tier": function.tier,
        "reason": function.reason,
        "self_samples": function.self_samples,
        "self_samples_by_tier": _by_activity(function.own),
        "total_samples": function.total,
        "calls": function.calls,
        "instructions": function.instructions,
        "instructions_compiled": function.compiled_instructions,
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
            {"address": address, "word": word, "mnemonic": name_and_class(word)[0], "text": text}
            for address, word, text in _text(block)
        ],
    }
