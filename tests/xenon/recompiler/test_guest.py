"""Our guest on the recompiler: whole functions, logits and stories are those of Unicorn, bit for bit.

Functions of other tensor types than fp32 are those of tests/llama2c/test_quantised_models.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest
from support import LONG, NATIVE, WHOLE, Made, compiling_quickly, image_bytes, sample
from systems import RECOMPILER

import llama2c
import loader
from llama2c.facts import HOT_FUNCTIONS, TYPE_FUNCTIONS, hot_functions
from llama2c.reference import Reference
from xenon.console import Console, CpuKind, MachineSettings
from xenon.recompiler.outcome import Tier

pytestmark = RECOMPILER

KERNELS = ["scalar", "vmx"]
# Those of the second tier; the short form takes two. Prepared code is of it as well, for all hot functions.
OPTIMISED = {
    "scalar": sample(("rows_scalar", "attend_scalar", "softmax_scalar", "forward"), 2),
    "vmx": sample(("rows_vmx", "attend_vmx", "softmax_vmx", "forward"), 2),
}
OTHER_TYPES = frozenset(name for functions in TYPE_FUNCTIONS.values() for name in functions)


def booted(
    model: loader.Model, tokenizer: loader.Tokenizer, arguments: list[str], kind: CpuKind, threads: int = 1
) -> Console:
    console = Console(MachineSettings(cpu=kind, threads=threads))
    console.disc.add("m", model.image(loader.ByteOrder.BIG))
    console.disc.add("t", tokenizer.image(loader.ByteOrder.BIG))
    console.boot(llama2c.guest_program(), ["m", "-z", "t", *arguments])
    return console


def compile_all(console: Console, kernel: str | None = None, is_prepared: bool = True) -> None:
    """Compile every function of the program that a model in fp32 may need before its first instruction:
    those that are hot with the kernel, if one is named (in the short form the hottest), and the others
    quickly; in the short form those that there is prepared code for, if there is, and six of the rest."""
    recompiler = console.recompiler
    assert recompiler is not None
    names = set((hot_functions if WHOLE else OPTIMISED.__getitem__)(kernel) if kernel else ())
    for each in recompiler.functions:
        if each.name in names:
            recompiler.compile(each.address)
    needed = {each.name: each.address for each in recompiler.functions if each.name not in OTHER_TYPES}
    chosen = sample(needed, 6, hot_functions(kernel or "vmx") if is_prepared else [])
    print("compiled:", *chosen)  # shown where the test fails
    with compiling_quickly():
        for name in chosen:
            recompiler.compile(needed[name])


def optimise(console: Console, names: Collection[str]) -> None:
    """Compile these functions again, to the second tier."""
    recompiler = console.recompiler
    assert recompiler is not None
    addresses = [function.address for function in recompiler.functions if function.name in names]
    for address in addresses:
        assert recompiler.compile(address, tier=Tier.OPTIMISED).tier is Tier.OPTIMISED


def output(console: Console) -> bytes:
    written = b"".join(one.data for one in console.run(timeout=100) if one.fd == 1)
    assert console.exit_status == 0
    return written


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_logit_has_the_bits_of_unicorn_and_of_the_host(
    joe260K: loader.Model,
    joe_tokenizer: loader.Tokenizer,
    reference: Reference,
    kernel: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """256 positions in prepared code and on the host, of which Unicorn computes the first 12, or 64; fewer in
    code that is compiled for the run."""
    check_logits(joe260K, joe_tokenizer, reference, kernel, monkeypatch)


@LONG
@pytest.mark.parametrize("kernel", KERNELS)
def test_so_do_the_logits_of_stories260K(
    stories260K: loader.Model,
    tok512: loader.Tokenizer,
    reference: Reference,
    kernel: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_logits(stories260K, tok512, reference, kernel, monkeypatch)


def check_logits(
    model: loader.Model,
    tokenizer: loader.Tokenizer,
    reference: Reference,
    kernel: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["-i", "Sleepy Joe said", "-s", "5", "-e", "-k", kernel, "-l", "-n"]
    files = {"m": image_bytes(model, NATIVE), "t": image_bytes(tokenizer, NATIVE)}
    _, on_the_host, _ = reference.run(files, ["m", "-z", "t", *arguments, "256"])
    expected = np.frombuffer(on_the_host, np.uint32).astype(">u4").tobytes()
    assert len(expected) == 256 * 4 * model.config.vocab_size
    positions = 64 if WHOLE else 12
    interpreted = output(booted(model, tokenizer, [*arguments, str(positions)], CpuKind.UNICORN))
    assert interpreted == expected[: len(expected) // 256 * positions]
    for threads, tier, is_prepared in (
        (2, Tier.COMPILED, True),
        (1, Tier.COMPILED, False),
        (1, Tier.OPTIMISED, False),
    ):
        if not (WHOLE or is_prepared or (tier is Tier.OPTIMISED) is (kernel == "vmx")):
            continue  # the short form has either tier with one kernel
        if not is_prepared:
            monkeypatch.setattr("xenon.recompiler.recompiler.prepared", lambda: None)
        length = 256 if WHOLE or is_prepared else 16  # Unicorn computes much of what is not prepared
        console = booted(model, tokenizer, [*arguments, str(length)], CpuKind.RECOMPILER, threads)
        compile_all(console, kernel, is_prepared)
        if tier is Tier.OPTIMISED:
            optimise(console, hot_functions(kernel) if WHOLE else OPTIMISED[kernel][:1])
        assert output(console) == expected[: len(expected) // 256 * length], (threads, tier, is_prepared)


@pytest.mark.parametrize("shape", [{"dim": 18, "n_heads": 3, "n_kv_heads": 3, "hidden_dim": 23}, {}], ids=str)
def test_made_up_models_agree_as_well(make_model: Callable[..., Made], shape: dict[str, int]) -> None:
    made = make_model(**shape)
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    arguments = ["-i", "a bee", "-s", "3", "-n", "12", "-e", "-l"]
    console = booted(model, tokenizer, arguments, CpuKind.RECOMPILER)
    compile_all(console)
    assert output(console) == output(booted(model, tokenizer, arguments, CpuKind.UNICORN))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "shape", [{"dim": 18, "n_heads": 3, "n_kv_heads": 3, "hidden_dim": 23}, {"dim": 64}], ids=str
)
def test_prompts_in_batches_have_the_bits_of_one_position_at_a_time(
    reference: Reference, make_model: Callable[..., Made], shape: dict[str, int], threads: int, kernel: str
) -> None:
    made = make_model(**shape)
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    for letters in (reference.batch - 2, 2 * reference.batch + 4):
        text = ("bto" * 16)[:letters]
        arguments = ["-i", text, "-n", str(letters + 2), "-e", "-l", "-k", kernel]
        console = booted(model, tokenizer, arguments, CpuKind.RECOMPILER, threads)
        compile_all(console)
        tokens = reference.encode(image_bytes(tokenizer, NATIVE), model.config.vocab_size, text.encode())
        reference.load(image_bytes(model, NATIVE), kernel == "vmx")
        alone = np.concatenate([reference.forward([token], pos) for pos, token in enumerate(tokens)])
        assert output(console) == alone.astype(">f4").tobytes()


def test_no_function_of_the_guest_stays_on_unicorn(make_model: Callable[..., Made]) -> None:
    made = make_model()
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    console = booted(model, tokenizer, [], CpuKind.RECOMPILER)
    compile_all(console)
    assert console.recompiler is not None
    left = [one for one in console.recompiler.outcomes.values() if one.tier is Tier.UNICORN]
    assert left == []


def test_the_hot_functions_are_functions_of_the_guest(make_model: Callable[..., Made]) -> None:
    made = make_model()
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    console = booted(model, tokenizer, [], CpuKind.RECOMPILER)
    assert console.recompiler is not None
    assert set(HOT_FUNCTIONS) <= {one.name for one in console.recompiler.functions}


def test_a_story_ends_soon_after_it_is_closed_and_leaves_no_thread(
    joe260K: loader.Model, joe_tokenizer: loader.Tokenizer
) -> None:
    arguments = ["-s", "5", "-n", "512", "-e"]
    console = booted(joe260K, joe_tokenizer, arguments, CpuKind.RECOMPILER)
    compile_all(console)
    outputs = console.run()
    next(outputs)
    start = time.monotonic()
    outputs.close()
    assert time.monotonic() - start < 30
    assert not [one for one in threading.enumerate() if one.name == "recompiler"]


def test_the_cache_is_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    assert console.recompiler is not None
    assert console.recompiler.cache is not None
    assert console.recompiler.cache.folder == tmp_path / "xenon-llm" / "code"
