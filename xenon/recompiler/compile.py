"""LLVM by llvmlite: text to object code, and object code into this process. Importing this costs 0.2 s."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cache
from importlib import resources

import llvmlite
import llvmlite.binding as llvm

from xenon.hardware.memory_map import PAGE_BYTES
from xenon.lifter.flow import explore
from xenon.lifter.unit import lift_unit
from xenon.recompiler.bridge import bridge_text
from xenon.recompiler.cache import CodeCache

# No fast-math flag is ever set, so that LLVM neither contracts nor reassociates.
_OPTIMISATION = 3


@cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=_OPTIMISATION,
        reloc="pic",
        codemodel="small",
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


def is_x86() -> bool:
    return str(_machine().triple).startswith("x86_64")


def compile_text(text: str) -> bytes:
    """Object code of a module."""
    module = llvm.parse_assembly(text)
    module.verify()
    machine = _machine()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options())
    with llvm.create_new_function_pass_manager() as passes:
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        passes.add_instruction_combine_pass()
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)
    return bytes(machine.emit_object(module))


class Loader:
    """Object code in this process, for as long as the process lives: the same name is loaded once."""

    def __init__(self) -> None:
        self._jit = llvm.create_lljit_compiler(_machine())
        self._loaded: dict[str, tuple[llvm.ResourceTracker, int]] = {}
        self._lock = threading.Lock()

    def address(self, name: str, code: bytes) -> int:
        """Where the function `name` of this object code is."""
        with self._lock:
            if name not in self._loaded:
                library = llvm.JITLibraryBuilder()
                library.add_object_img(code).add_current_process().export_symbol(name)
                tracker = library.link(self._jit, name)
                self._loaded[name] = (tracker, tracker[name])
            return self._loaded[name][1]


@cache
def loader() -> Loader:
    """The one of this process."""
    return Loader()


@dataclass(frozen=True, slots=True)
class Unit:
    """A compiled function in this process: where it is, where it may be entered, and what it came from."""

    function: int
    points: tuple[int, ...]
    calls: frozenset[int]
    pages: frozenset[int]
    instructions: int
    cached: bool


def make_unit(
    fetch: Callable[[int], int | None],
    entries: tuple[int, ...],
    functions: Container[int],
    cache: CodeCache | None,
    worker: Callable[[str], bytes] = compile_text,
    hopeful: bool = True,
    counting: bool = False,
) -> Unit:
    """Compile the function with these entries by `worker`, or take it from the cache; `counting` makes it one
    that measures what it does.

    Raises NotUnderstood, and what the worker raises.
    """
    flow = explore(fetch, entries, functions)
    words = flow.words
    source = repr(
        (entries, hopeful, sorted(flow.calls), [block.end.name for block in flow.blocks.values()], words)
    )
    name = _key("counting" if counting else "unit", source)
    code = cache.get(name) if cache else None
    cached = code is not None
    if code is None:
        code = worker(lift_unit(flow, name, is_x86(), hopeful, counting))
        if cache:
            cache.put(name, code)
    pages = frozenset(address // PAGE_BYTES for address, _ in words)
    points = tuple(flow.entry_points)
    return Unit(loader().address(name, code), points, flow.calls, pages, len(words), cached)


def bridge(
    cache: CodeCache | None, worker: Callable[[str], bytes] = compile_text, counting: bool = False
) -> int:
    """The host address of the hook that hands over (see bridge.py), by `worker` or from the cache."""
    name = _key("bridge", bridge_text("bridge", counting))
    code = cache.get(name) if cache else None
    if code is None:
        code = worker(bridge_text(name, counting))
        if cache:
            cache.put(name, code)
    return loader().address(name, code)


def _key(kind: str, source: str) -> str:
    """A name for object code: the same for the same source, lifter, compiler and host."""
    digest = hashlib.sha256("\n".join((lifter_version(), compiler_name(), source)).encode()).hexdigest()
    return f"{kind}_{digest[:40]}"


@cache
def lifter_version() -> str:
    """A hash of the recompiler's own source: any change of it voids what was compiled before."""
    digest = hashlib.sha256()
    for room in ("xenon.lifter", "xenon.recompiler"):
        for file in sorted(resources.files(room).iterdir(), key=lambda file: file.name):
            if file.name.endswith((".py", ".ll")):
                digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
