"""The GPU from end to end: the guest's stories on it, and programs that drive it badly."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command_text
from numpy.typing import NDArray
from support import NATIVE, GoldenStory, Made, image_bytes, sample, shared_file

import llama2c
import loader
import xenon
from llama2c.reference import Reference
from xenon.cli.errors import EXIT_GUEST_FAULT
from xenon.console import Console, CpuKind
from xenon.errors import ErrorCode, XenonError
from xenon.hardware.gpu.gpu import Gpu
from xenon.hardware.memory import Owner
from xenon.linux.faults import GuestFault
from xenon.stories.engine import choose_engine, faster_engine
from xenon.stories.settings import Engine, Matmul, Setup


def logits(model: loader.Model, tokenizer: loader.Tokenizer, *options: str) -> NDArray[np.float32]:
    """(positions, vocab_size) as the guest writes them."""
    console = Console()
    console.disc.add("/m", model.image(loader.ByteOrder.BIG))
    console.disc.add("/t", tokenizer.image(loader.ByteOrder.BIG))
    console.boot(llama2c.guest_program(), ["/m", "-z", "/t", "-t", "0", "-l", "-e", *options])
    data = b"".join(output.data for output in console.run(timeout=100) if output.fd == 1)
    assert console.exit_status == 0
    return np.frombuffer(data, ">f4").astype(np.float32).reshape(-1, model.config.vocab_size)


def test_golden_stories_are_the_same_on_the_gpu(golden: list[GoldenStory]) -> None:
    session = xenon.Session(shared_file("models/stories260K.bin"), setup=Setup(Engine.GPU))
    greedy = [story for story in golden if story.temperature == 0]
    assert greedy
    for story in sample(greedy, 2):
        assert "".join(session.generate(story.prompt, 0, steps=story.steps)) == story.text


def test_logits_are_the_cpus_within_a_ten_thousandth_of_their_range(
    reference: Reference, joe260K: loader.Model, joe_tokenizer: loader.Tokenizer
) -> None:
    """The host's build of the same C stands for the CPU: test_byte_orders.py finds every bit the same."""
    options = ("-n", "256", "-i", "Once upon a time")
    gpu = logits(joe260K, joe_tokenizer, *options, "-g")
    files = {"m": image_bytes(joe260K, NATIVE), "t": image_bytes(joe_tokenizer, NATIVE)}
    _, data, _ = reference.run(files, ["m", "-z", "t", "-t", "0", "-l", "-e", *options])
    cpu = np.frombuffer(data, np.float32).reshape(gpu.shape)
    assert len(cpu) == len(gpu) == 256
    spread = cpu.max(axis=1) - cpu.min(axis=1)
    assert (np.abs(cpu - gpu).max(axis=1) / spread).max() < 1e-4


@pytest.mark.parametrize("shape", [{}, {"n_kv_heads": 4, "shared": False}, {"n_kv_heads": 1, "n_layers": 5}])
def test_models_of_other_shapes_agree_as_well(make_model: Callable[..., Made], shape: dict[str, Any]) -> None:
    made = make_model(**shape)
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    cpu, gpu = (logits(model, tokenizer, "-n", "32", "-i", "ab", *engine) for engine in ((), ("-g",)))
    assert np.abs(cpu - gpu).max() < 1e-4 * (cpu.max() - cpu.min())


@pytest.mark.parametrize(
    "shape", sample([{}, {"n_kv_heads": 1, "shared": False}, {"dim": 18, "n_heads": 3, "n_kv_heads": 3}], 1)
)
def test_no_bit_depends_on_how_a_prompt_is_parted(
    reference: Reference, make_model: Callable[..., Made], shape: dict[str, Any]
) -> None:
    """Prompts with one beginning and lengths of every remainder, which is the size of their first pass."""
    made = make_model(**shape)
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    text, steps = "btobtobtobtobtobtobtobtobtobto", 30
    longest = logits(model, tokenizer, "-n", str(steps), "-i", text, "-g")
    for letters in sample((*range(1, reference.batch + 1), 2 * reference.batch), 5):
        found = logits(model, tokenizer, "-n", str(letters + 2), "-i", text[:letters], "-g")
        np.testing.assert_array_equal(found.view(np.uint32), longest[: letters + 2].view(np.uint32))


def test_a_sampled_story_is_repeated_by_its_seed(make_model: Callable[..., Made]) -> None:
    session = xenon.Session(make_model().model, setup=Setup(Engine.GPU))
    first, second = (session.generate("a", 0.9, 0.9, seed=5, ignore_eos=True) for _ in range(2))
    assert "".join(first) == "".join(second) != ""
    assert first.statistics is not None
    assert first.statistics.engine is Engine.GPU
    assert first.statistics.as_dict()["matmul"] is None


def test_memory_belongs_to_whom_the_guest_says_and_is_what_the_budget_predicts(
    make_model: Callable[..., Made],
) -> None:
    session = xenon.Session(make_model().model, setup=Setup(Engine.GPU))
    story = session.generate("ab", seed=1, steps=4)
    list(story)
    budget = session.budget("ab")
    assert story.statistics is not None
    assert story.statistics.memory_used == budget.total
    owners = {use.purpose: use.owner for use in budget.uses}
    assert {owners[name] for name in ("weights", "activations", "key cache", "value cache")} == {Owner.SHARED}
    assert {owners[name] for name in ("ring buffer", "vectors", "command buffers")} == {Owner.GPU}


def test_the_faster_engine_is_the_gpu_but_for_toys_and_what_it_cannot_run() -> None:
    toy = loader.Config(2, 4, 1, 1, 1, 300, 8, shared_classifier=True)
    story = loader.Config(64, 172, 5, 8, 4, 512, 512, shared_classifier=True)
    long = loader.Config(64, 172, 1, 1, 1, 512, 1 << 19, shared_classifier=True)
    assert faster_engine(toy, 8) is Engine.CPU
    assert faster_engine(story, 512) is Engine.GPU
    assert faster_engine(long, 1 << 19) is Engine.CPU
    with pytest.raises(XenonError, match="the GPU cannot run this model: a layer's keys are 33554432 words"):
        choose_engine(Setup(Engine.GPU), long, 1 << 19)


def test_what_only_the_cpu_has_takes_the_cpu(
    make_model: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model().model

    def chosen(setup: Setup) -> Engine:
        return xenon.Session(model, setup=setup).decision.engine

    assert chosen(Setup(cpu=CpuKind.UNICORN)) is Engine.CPU
    assert chosen(Setup(Engine.GPU, cpu=CpuKind.UNICORN)) is Engine.GPU
    monkeypatch.setattr("xenon.recompiler.cpu_kind.installed", lambda: False)
    assert chosen(Setup(matmul=Matmul.SCALAR)) is Engine.CPU
    assert chosen(Setup(threads=2)) is Engine.CPU
    assert chosen(Setup()) is Engine.GPU
    with pytest.raises(XenonError, match="which are the CPU's") as caught:
        Setup(Engine.GPU, threads=2)
    assert caught.value.code is ErrorCode.BAD_VALUE


def test_a_machine_without_a_gpu_says_so(
    reference: Reference, joe260K: loader.Model, joe_tokenizer: loader.Tokenizer
) -> None:
    files = {"m": image_bytes(joe260K, NATIVE), "t": image_bytes(joe_tokenizer, NATIVE)}
    status, _, messages = reference.run(files, ["m", "-z", "t", "-g"])
    assert (status, messages) == (1, b"error: -g: this machine has no GPU\n")


def test_linux_without_the_device_says_so_too(make_model: Callable[..., Made], tmp_path: Path) -> None:
    qemu = shutil.which("qemu-ppc64")
    if qemu is None:
        pytest.skip("qemu-ppc64 is not installed (Debian: qemu-user)")
    made = make_model()
    for opened in (loader.open(made.model), loader.open_tokenizer(made.tokenizer)):
        (tmp_path / opened.path.name).write_bytes(image_bytes(opened, loader.ByteOrder.BIG))
    command = [qemu, str(llama2c.guest_program()), "model.bin", "-g"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert (result.returncode, result.stderr) == (1, b"error: -g: this machine has no GPU\n")


FAULTS = {
    "opcode": r"GPU command processor: packet 0xc0007f00 at 0x\w{8}: opcode 0x7f: unknown opcode \(PC 0x\w+",
    "ring": r"GPU command processor: ring buffer at 0x20000000 to 0x20000400 leaves RAM",
    "wait": r"GPU command processor: packet 0xc0043c00 at 0x\w{8}: WAIT_REG_MEM: has not come true in 0.2 s",
    "byte": r"bus: write of 1 byte at 0x7fc80714: registers are aligned words",
    "outside": r"read of 4 bytes at 0x7fc7fffc: not mapped",
}


@pytest.mark.parametrize("how", FAULTS)
def test_a_program_that_drives_the_gpu_badly_faults(
    build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(Gpu.__init__, "__defaults__", (0.2,))  # seconds of patience
    console = Console()
    console.boot(build("gpu", "freestanding"), [how])
    start = time.monotonic()
    with pytest.raises(GuestFault) as caught:
        list(console.run(timeout=30))
    assert re.search(FAULTS[how], caught.value.message), caught.value.message
    assert caught.value.code is ErrorCode.GUEST_FAULT
    assert "callers:" in caught.value.report
    assert time.monotonic() - start < 15


def test_the_device_file_gives_its_registers_and_nothing_else(build: Callable[..., Path]) -> None:
    console = Console()
    console.boot(build("gpu", "freestanding"), ["file"])
    lines = b"".join(output.data for output in console.run(timeout=30)).split()
    bad_descriptor, invalid = -9 & (1 << 64) - 1, -22 & (1 << 64) - 1
    assert [int(line, 16) for line in lines] == [0x7FC8_0000, bad_descriptor, invalid, 0]


def test_the_program_of_the_guide_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "gpu.md").read_text("utf-8")
    (block,) = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    headers = "".join(f"#include <{name}.h>\n" for name in ("fcntl", "stdint", "stdio", "stdlib", "sys/mman"))
    body = "static volatile uint32_t answer;\nint main(void)\n{\n" + block + '    printf("%u", answer);\n}\n'
    (tmp_path / "guide.c").write_text(headers + body)
    zig = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        "powerpc64-linux-musl",
        "-mcpu=970-altivec",
        "-O2",
        "-static",
    ]
    subprocess.run([*zig, "guide.c", "-o", "guide"], cwd=tmp_path, check=True, capture_output=True)
    console = Console()
    console.boot(tmp_path / "guide")
    assert b"".join(output.data for output in console.run(timeout=30)) == b"42"


@pytest.mark.parametrize(("engine", "named"), [("gpu", "(gpu)"), ("cpu", "(cpu, vmx, ")])
def test_the_command_names_the_engine(make_model: Callable[..., Made], engine: str, named: str) -> None:
    words = ["generate", "-m", str(make_model().model), "-n", "8", "--engine", engine]
    result = run_command_text(*words, "a")
    assert result.returncode == 0
    assert named in result.stderr
    result = run_command_text(*words, "a", "--json")
    assert json.loads(result.stdout)["engine"] == ("cpu" if engine == "cpu" else "gpu")


def test_the_command_ends_with_the_fault_in_one_line(build: Callable[..., Path]) -> None:
    result = run_command_text("run", build("gpu", "freestanding"), "opcode")
    assert result.returncode == EXIT_GUEST_FAULT
    last = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert re.fullmatch(f"error: {FAULTS['opcode']}.*", last[0])
    assert "Traceback" not in result.stderr
