"""What all tests share: the real models where they are, the guest, its host reference, and made-up models."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import settings
from sharing import build_once, built_library, built_reference, run_folder
from support import WHOLE, GoldenStory, Made, compiling_quickly, golden_stories, shared_file, write_model
from systems import RECOMPILER, need

import llama2c
import loader
from llama2c import build
from llama2c.reference import Reference
from loader.synthetic import Shape, write_shape
from xenon.powerpc.elf import Elf
from xenon.powerpc.functions import Extent, Functions, read_functions

# No test may depend on how fast the computer is. Each run has other examples.
settings.register_profile("ours", deadline=None, max_examples=100 if WHOLE else 40)
settings.load_profile("ours")
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are processors: tests wait for commands, clocks and disks."""
    processors = os.cpu_count() or 1
    return processors + processors // 2


def pytest_configure(config: pytest.Config) -> None:
    """Python's byte code goes into pytest's cache, where none is to be written beside the modules: to compile
    all modules takes each process of a run longer than to import them."""
    if sys.dont_write_bytecode and (cache := config.cache) is not None:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(cache.mkdir("byte_code"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing of what is collected is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Every other worker reads folders from their end. So each compiles half of the test modules, which takes
    longest of all, and finds the other half compiled."""
    report = yield
    if isinstance(collector, pytest.Directory) and int(_WORKER.removeprefix("gw")) % 2:
        report.result.reverse()
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The same order of modules in each worker."""
    items.sort(key=lambda item: item.path)


def pytest_collection_finish() -> None:
    """The garbage collector need not look again and again at all tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled code of the tests goes to a folder that all workers of the run share and that goes away, not
    into the user's; commands share Python's byte code with this process; zig's C libraries, which take it a
    minute to build, stay where they are. The port's files stay there as well: zig compiles again what has
    changed (see sharing.building_from_nothing)."""
    with pytest.MonkeyPatch.context() as patch:
        if "ZIG_GLOBAL_CACHE_DIR" not in os.environ:
            caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            patch.setenv("ZIG_GLOBAL_CACHE_DIR", str(caches / "zig"))
        patch.setattr(build, "zig_cache", lambda work: os.environ["ZIG_GLOBAL_CACHE_DIR"])
        patch.setenv("XDG_CACHE_HOME", str(run_folder(tmp_path_factory) / "cache"))
        if "PYTHONDONTWRITEBYTECODE" in os.environ and sys.pycache_prefix is not None:
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", sys.pycache_prefix)
        yield


@pytest.fixture(scope="session", autouse=True)
def functions_of_a_program_once() -> Iterator[None]:
    """A console reads all names of its program, a sixth of what it costs to boot; most consoles of the tests
    have one of few programs."""

    @lru_cache(maxsize=16)
    def read(image: bytes, name: str, code: tuple[Extent, ...], base: int) -> Functions:
        return read_functions(Elf(name, image), code, base)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "xenon.linux.program.read_functions",
            lambda file, code, base=0: read(bytes(file.image), file.name, tuple(map(tuple, code)), base),
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def signals_as_on_a_terminal() -> None:
    """A shell starts background jobs with SIGINT ignored, nohup starts all with SIGHUP ignored, and what they
    start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def c64_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the parts of the Commodore 64 are built, once in a run."""
    return run_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def stories260K() -> loader.Model:
    return loader.open(shared_file("models/stories260K.bin"))


@pytest.fixture(scope="session")
def tok512() -> loader.Tokenizer:
    return loader.open_tokenizer(shared_file("models/tok512.bin"))


@pytest.fixture(scope="session")
def tokenizer32000() -> loader.Tokenizer:
    return loader.open_tokenizer(shared_file("models/tokenizer32000.bin"))


@pytest.fixture(scope="session")
def golden() -> list[GoldenStory]:
    """Twelve stories that llama2.c tells with stories260K.bin."""
    return golden_stories(shared_file("golden/stories260K.json"))


@pytest.fixture(scope="session")
def joe260K() -> loader.Model:
    """The bundled model, which every clone has."""
    return loader.open(llama2c.bundled_model())


@pytest.fixture(scope="session")
def joe_tokenizer() -> loader.Tokenizer:
    """The bundled model's tokenizer."""
    return loader.open_tokenizer(llama2c.bundled_tokenizer())


@pytest.fixture(scope="session")
def guest() -> Path:
    return llama2c.guest_program()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return built_reference(tmp_path_factory, "reference")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference's library, where commands and `Reference.build` find it."""
    return built_library(tmp_path_factory)


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """Calls support.write_model in a folder of its own."""
    return lambda **shape: write_model(tmp_path_factory.mktemp("made"), **shape)


@pytest.fixture(scope="session")
def written_shape(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Shape], tuple[Path, Path]]:
    """The model and the tokenizer of loader.synthetic.write_shape, to be read: written once in a run."""

    def written(shape: Shape) -> tuple[Path, Path]:
        def write(unfinished: Path) -> None:
            unfinished.mkdir(exist_ok=True)
            write_shape(shape, unfinished)

        folder = build_once(run_folder(tmp_path_factory) / shape.value, write)
        return folder / f"{shape.value}-random.bin", folder / "tokenizer.bin"

    return written


@pytest.fixture
def quick_code() -> Iterator[None]:
    """Around a test: see support.compiling_quickly."""
    need(RECOMPILER)
    with compiling_quickly():
        yield
