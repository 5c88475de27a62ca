"""LLVM by llvmlite: text to object code, and object code into this process. Importing this costs 0.2 s."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import threading
from collections.abc import Callable, Container
from functools import cache

import llvmlite
import llvmlite.binding as llvm

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.unicorn.instruments import COMPILED_AT
from xenon.lifter.alone import lift_all_alone
from xenon.lifter.flow import Block, End, explore_leaves
from xenon.lifter.jump_tables import Surroundings, explore_function, whole_function
from xenon.lifter.parts import LONGEST, part_of
from xenon.lifter.resolver import resolver_text
from xenon.lifter.target import Target
from xenon.lifter.unit import lift_unit
from xenon.recompiler.bridge import bridge_text
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.units import CompiledUnit, digest_of_words, generator_version, runs_of

# No fast-math flag is ever set, so that LLVM neither contracts nor reassociates.
_OPTIMISATION = 3
_LONG_TEXT = 500_000
"""Bytes of a module whose guest registers stay in stack slots at first: LLVM takes seconds to choose among
the host's registers for so many values that live so long."""
# LLVM's older linker places the sections of an object apart. Where 2 GiB of consoles lie between code and its
# constants, small code ends the process. JITLink keeps them together; llvmlite lacks it on Windows.
_HAS_JITLINK = sys.platform != "win32"


_REPAIR = "noinline cold "
"""How the helpers of prelude.ll are marked that preserve their callers' registers."""


@cache
def _repair_attributes() -> str:
    """On x86, LLVM would have such a helper clear the upper halves of all vector registers at its end."""
    features = llvm.get_host_cpu_features()
    if "avx" not in features:
        return ""
    return f'"target-cpu"="{llvm.get_host_cpu_name()}" "target-features"="{features.flatten()},-vzeroupper" '


@cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=_OPTIMISATION,
        reloc="pic",
        codemodel="small" if _HAS_JITLINK else "large",
        jit=True,
    )


@cache
def compiler_name() -> str:
    """What object code depends on besides its source: the versions, the host's processor and its features."""
    machine = _machine()
    version = ".".join(map(str, llvm.llvm_version_info))
    features = llvm.get_host_cpu_features().flatten()
    parts = [
        "llvmlite",
        llvmlite.__version__,
        "LLVM",
        version,
        machine.triple,
        llvm.get_host_cpu_name(),
        features,
    ]
    return " ".join(map(str, parts))


def console_target(
    assume_singles: bool = True,
    counting: bool = False,
    optimised: bool = False,
    shows_status: bool = False,
) -> Target:
    """The console's memory, and this computer; with `counting`, code that counts in a CPU's instruments."""
    x86 = str(_machine().triple).startswith("x86_64")
    arm = str(_machine().triple).startswith(("aarch64", "arm64"))
    return Target(
        x86=x86,
        arm=arm,
        halves=arm or (x86 and bool(llvm.get_host_cpu_features().get("f16c"))),
        ram_bytes=RAM_BYTES,
        page_bytes=PAGE_BYTES,
        assume_singles=assume_singles,
        optimised=optimised,
        shows_status=shows_status,
        counters=COMPILED_AT if counting else None,
    )


def compile_text(text: str, optimised: bool = False) -> bytes:
    """Object code of a module: by three passes, or by the full optimiser, which takes much longer."""
    module = llvm.parse_assembly(text.replace(_REPAIR, _REPAIR + _repair_attributes()))
    module.verify()
    machine = _machine()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, options)
    if optimised:
        with builder.getModulePassManager() as passes:
            passes.run(module, builder)
        return bytes(machine.emit_object(module))
    with llvm.create_new_function_pass_manager() as passes:
        if len(text) <= _LONG_TEXT:
            passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        passes.add_instruction_combine_pass()
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)
    return bytes(machine.emit_object(module))


class Linker:
    """Puts object code into this process, for as long as the process lives; each name is linked once."""

    def __init__(self) -> None:
        self._jit = llvm.create_lljit_compiler(_machine(), use_jit_link=_HAS_JITLINK)
        self._linked: dict[str, tuple[llvm.ResourceTracker, int]] = {}
        self._tries = 0
        self._lock = threading.Lock()

    def known(self, name: str) -> int | None:
        """Where the function `name` is, None before its object code was linked."""
        with self._lock:
            return self._linked[name][1] if name in self._linked else None

    def address(self, name: str, code: bytes) -> int:
        """Where the function `name` of this object code is. Raises RuntimeError for what is no such code."""
        with self._lock:
            if name not in self._linked:
                library = llvm.JITLibraryBuilder()
                library.add_object_img(code).add_current_process().export_symbol(name)
                self._tries += 1  # a library's name is used up, even where the link fails
                tracker = library.link(self._jit, f"{name}.{self._tries}")
                self._linked[name] = (tracker, tracker[name])
            return self._linked[name][1]


@cache
def linker() -> Linker:
    """The linker of this process."""
    return Linker()


def make_unit(
    fetch: Callable[[int], int | None],
    entries: tuple[int, ...],
    functions: Container[int],
    cache: CodeCache | None,
    target: Target,
    worker: Callable[[str, bool], bytes] = compile_text,
    around: Surroundings | None = None,
) -> CompiledUnit:
    """Compile the function with these entries for a target by `worker`, or take it from the cache.

    Raises NotUnderstood, and what the worker raises.
    """
    flow = explore_function(fetch, entries, functions, around)
    if len(flow.words) > LONGEST:
        flow = part_of(whole_function(fetch, entries, functions, around), entries[0])
    leaves = explore_leaves(fetch, flow, functions) if target.optimised else {}
    flows = (flow, *leaves.values())
    parts = [
        (
            part.entries,
            part.entry_points,
            sorted(part.calls),
            [_end(block) for block in part.blocks.values()],
            part.words,
        )
        for part in flows
    ]
    name = _key("unit" if target.counters is None else "counting", repr((target, parts)))
    function, cached = _linked(
        name, lambda: worker(lift_unit(flow, name, target, leaves), target.optimised), cache
    )
    words = {address: word for part in flows for address, word in part.words}
    return CompiledUnit(
        function,
        tuple(flow.entry_points),
        flow.calls | flow.beyond,
        frozenset(address // target.page_bytes for address in words),
        len(flow.words),
        cached,
        flow.inside_blocks,
        name,
        runs_of(words),
        digest_of_words(words[address] for address in sorted(words)),
    )


def _end(block: Block) -> tuple[str, tuple[int, ...]]:
    """How a block ends, and what the words do not say of where it goes."""
    return block.end.name, tuple(block.successors) if block.end is End.SWITCH else ()


def module_function(kind: str, text: Callable[[str], str], cache: CodeCache | None = None) -> int:
    """The host address of the function of a module, which `text` writes for a name, compiled in this process
    or taken from the cache. `kind` begins the name."""
    name = _key(kind, text(kind))
    return _linked(name, lambda: compile_text(text(name)), cache)[0]


def lone_instruction(general: int, cache: CodeCache | None = None) -> int:
    """The host address of the function for a word (see lifter/alone.py), compiled in this process or taken
    from the cache."""
    name, target = _key("alone", f"{general:08x}"), console_target()
    return _linked(name, lambda: compile_text(lift_all_alone({general: name}, target)), cache)[0]


def resolver(cache: CodeCache | None) -> int:
    """The host address of the resolver (see lifter/resolver.py), compiled in this process or taken from the
    cache."""
    target = console_target()
    name = _key("resolver", repr(target))
    if (address := linker().known(name)) is not None:
        return address
    return _linked(name, lambda: compile_text(resolver_text(name, target)), cache)[0]


def bridge(
    cache: CodeCache | None, worker: Callable[[str, bool], bytes] = compile_text, counting: bool = False
) -> int:
    """The host address of the hook that hands over (see bridge.py), by `worker` or from the cache."""
    target = console_target()
    name = _key("bridge", bridge_text("bridge", counting, target))
    if (address := linker().known(name)) is not None:
        return address
    return _linked(name, lambda: worker(bridge_text(name, counting, target), False), cache)[0]


def _linked(name: str, compiled: Callable[[], bytes], cache: CodeCache | None) -> tuple[int, bool]:
    """The host address of a function, and whether its object code came from the cache. A file of the cache
    that is no object code is written anew."""
    if cache and (code := cache.get(name)) is not None:
        with contextlib.suppress(RuntimeError):
            return linker().address(name, code), True
    code = compiled()
    function = linker().address(name, code)
    if cache:
        cache.put(name, code)
    return function, False


def _key(kind: str, source: str) -> str:
    """A name for object code: the same for the same source, code generator, compiler and host."""
    digest = hashlib.sha256("\n".join((generator_version(), compiler_name(), source)).encode()).hexdigest()
    return f"{kind}_{digest[:40]}"
