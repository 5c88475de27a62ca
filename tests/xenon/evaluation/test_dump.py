"""Dumps of tensors: named as the manual says, the same on host and console; the first to differ is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command_text
from independent_forward import forward
from sharing import build_once, run_folder
from support import Made, write_model

import loader
from llama2c import build
from xenon.errors import XenonError
from xenon.evaluation import checks
from xenon.evaluation.checks import Outcome, Plan, tokens_to_verify
from xenon.evaluation.dump import (
    ABOUT,
    Tensors,
    dumped_tokens,
    first_difference,
    read_dump,
    tensors_of,
    ulps_between,
    write_dumps,
)
from xenon.evaluation.engines import ConsoleEvaluator, ReferenceEvaluator
from xenon.models.folder import ModelFolder
from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories import session as session_module
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Matmul, Setup

pytestmark = pytest.mark.usefixtures("library")
HEADS, CONTEXT, VOCABULARY = 4, 32, 272
TOKENS = (1, 60, 61, 62, 63)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_model(
        tmp_path_factory.mktemp("model"), n_heads=HEADS, seq_len=CONTEXT, vocab_size=VOCABULARY
    )


def host_tensors(made: Made, matmul: Matmul = Matmul.VMX) -> Tensors:
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    return tensors_of(ReferenceEvaluator(model, tokenizer, matmul), TOKENS, HEADS)


@pytest.mark.parametrize("matmul", Matmul)
def test_every_name_means_what_another_forward_pass_has_under_it(made: Made, matmul: Matmul) -> None:
    tensors, wanted = host_tensors(made, matmul), forward(loader.open(made.model), TOKENS)
    assert set(tensors.arrays) == set(wanted)
    for name, array in tensors.arrays.items():
        assert array.shape == wanted[name].shape, name
        largest = np.abs(wanted[name]).max()
        np.testing.assert_allclose(array, wanted[name], atol=2e-5 * largest, err_msg=name)


@pytest.mark.parametrize("matmul", Matmul)
def test_the_console_has_the_hosts_bits(made: Made, matmul: Matmul) -> None:
    setup = Setup(Engine.CPU, matmul, threads=1, cpu=CpuKind.UNICORN)
    console = ConsoleEvaluator(Session(made.model, made.tokenizer, setup))
    assert first_difference(tensors_of(console, TOKENS, HEADS), host_tensors(made, matmul)) is None


def test_a_dump_is_read_as_it_was_written(made: Made, tmp_path: Path) -> None:
    tensors = host_tensors(made)
    write_dumps(tmp_path / "d", {"host": tensors})
    assert dumped_tokens(tmp_path / "d" / "host", VOCABULARY, CONTEXT) == TOKENS
    back = read_dump(tmp_path / "d" / "host", tensors)
    assert list(back.arrays) == list(tensors.arrays) and first_difference(back, tensors) is None
    about = json.loads((tmp_path / "d" / "host" / ABOUT).read_text())
    assert about["order"][:5] == ["embedding", "l00.att_norm", "l00.q", "l00.k", "l00.v"]
    with pytest.raises(XenonError, match="exists already"):
        write_dumps(tmp_path / "d", {"host": tensors})
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_folder_that_cannot_be_written_is_a_line(made: Made, tmp_path: Path) -> None:
    with pytest.raises(XenonError, match="no such file or directory"):
        write_dumps(tmp_path / "none" / "d", {"host": host_tensors(made)})


def changed(tensors: Tensors, name: str, place: tuple[int, ...], by: float) -> Tensors:
    array = tensors.arrays[name].copy()
    array[place] += np.float32(by)
    return replace(tensors, arrays=tensors.arrays | {name: array})


def test_the_first_difference_is_first_by_position_then_by_computing(made: Made) -> None:
    wanted = host_tensors(made)
    later = changed(wanted, "l00.q", (3, 2), 1.0)
    earlier = changed(later, "l01.att", (2, 1, 0), 0.5)
    difference = first_difference(earlier, wanted)
    assert difference is not None
    assert (difference.name, difference.position, difference.index) == ("l01.att", 2, (1, 0))
    value = wanted.arrays["l01.att"][2, 1, 0]
    assert difference.expected == value and difference.value == value + np.float32(0.5)
    assert f"l01.att at position 2, index 1, 0: {difference.value:.9g}" in str(difference)
    only = {name: array for name, array in earlier.arrays.items() if name == "l00.q"}
    difference = first_difference(replace(earlier, arrays=only), wanted)
    assert difference is not None and (difference.name, difference.position) == ("l00.q", 3)


def test_distances_are_counted_in_floats() -> None:
    one, tiny = np.float32(1), np.float32(1e-45)
    pairs = [(one, one, 0), (one, np.nextafter(one, np.float32(2)), 1), (-tiny, tiny, 2), (0.0, -0.0, 0)]
    pairs += [(np.nan, np.nan, 0), (np.nan, one, 1 << 32), (-np.inf, np.inf, 2 * 0x7F800000)]
    a, b, wanted = (np.array(column) for column in zip(*pairs, strict=True))
    assert list(ulps_between(a.astype(np.float32), b.astype(np.float32))) == list(wanted)


def test_a_tolerance_is_of_the_largest_item_around_zero(made: Made) -> None:
    wanted = host_tensors(made)
    largest = np.abs(wanted.arrays["l00.q"][1]).max()
    smallest = int(np.abs(wanted.arrays["l00.q"][1]).argmin())
    near = changed(wanted, "l00.q", (1, smallest), 3 * float(np.spacing(largest)))
    assert first_difference(near, wanted, 2) is not None
    assert first_difference(near, wanted, 4) is None
    lost = changed(wanted, "l00.q", (1, smallest), float("nan"))
    assert first_difference(lost, wanted, 1 << 20) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file or directory"),
        ("", "expected format"),
        ("[]", "expected format"),
        ('{"format": "xenon-llm tensors 2", "tokens": [1]}', "expected format 'xenon-llm tensors 1'"),
        ('{"format": "xenon-llm tensors 1", "tokens": [1.5]}', "a list of tokens"),
        ('{"format": "xenon-llm tensors 1", "tokens": [true]}', "a list of tokens"),
        ('{"format": "xenon-llm tensors 1", "tokens": []}', "0 tokens, expected 1 to 32, the context"),
        ('{"format": "xenon-llm tensors 1", "tokens": [272]}', "token 272, expected 0 to 271"),
        ('{"format": "xenon-llm tensors 1", "tokens": [-1]}', "token -1, expected 0 to 271"),
        ("[" * 100_000, "expected format"),
    ],
)
def test_a_folder_that_is_no_dump_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / ABOUT).write_text(text)
    with pytest.raises(XenonError, match=message):
        dumped_tokens(tmp_path, VOCABULARY, CONTEXT)


def save_array(array: object) -> Callable[[Path], None]:
    return lambda path: np.save(path, np.asarray(array), allow_pickle=True)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), r"no \.npy file"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{"), r"no \.npy file"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (save_array(np.zeros((5, 15), np.float32)), r"shape \(5, 15\), expected \(5, 16\)"),
        (save_array(np.zeros((5, 16), np.int32)), "items of type int32, expected float32"),
        (save_array(np.array([{"x": 1}], object)), r"no \.npy file"),
    ],
    ids=["empty", "cut", "folder", "shape", "type", "objects"],
)
def test_a_tensor_that_is_none_is_refused(
    made: Made, tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "l00.q.npy")
    with pytest.raises(XenonError, match=rf"l00\.q\.npy: {message}"):
        read_dump(tmp_path, host_tensors(made))


def test_a_folder_without_tensors_of_the_model_is_refused(made: Made, tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(XenonError, match="no tensor of the model") as caught:
        read_dump(tmp_path, host_tensors(made))
    assert "embedding, l00.att_norm, l00.q, l00.k" in caught.value.hint


def test_doubles_and_other_byte_orders_are_read(made: Made, tmp_path: Path) -> None:
    wanted = host_tensors(made)
    np.save(tmp_path / "l00.q.npy", wanted.arrays["l00.q"].astype(">f4"))
    np.save(tmp_path / "l00.k.npy", wanted.arrays["l00.k"].astype("<f8"))
    back = read_dump(tmp_path, wanted)
    assert list(back.arrays) == ["l00.q", "l00.k"] and first_difference(back, wanted) is None


def test_a_weight_that_was_changed_is_found_by_the_tensor_that_it_makes(made: Made, tmp_path: Path) -> None:
    with loader.open(made.model) as model:
        place = next(tensor for tensor in model.tensors if tensor.name == "w1")
        dim, hidden = model.config.dim, model.config.hidden_dim
    data = bytearray(made.model.read_bytes())
    offset = place.offset + 4 * (hidden * dim + 5 * dim)  # row 5 of layer 1
    data[offset : offset + 4] = np.array(3.0, "<f4").tobytes()
    (tmp_path / "broken.bin").write_bytes(data)
    broken = host_tensors(Made(tmp_path / "broken.bin", made.tokenizer))
    difference = first_difference(broken, host_tensors(made))
    assert difference is not None
    assert (difference.name, difference.position, difference.index) == ("l01.hb", 0, (5,))


@pytest.fixture(scope="module")
def broken_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest with a mistake in its scalar swiglu, from the third item on."""
    folder = run_folder(tmp_path_factory) / "broken swiglu"

    def build_it(unfinished: Path) -> None:
        folder.mkdir()
        kernels = (build.SOURCES / "kernels_scalar.c").read_text()
        right, wrong = "hb[i] = val * hb2[i];", "hb[i] = val * hb2[i] * (i < 2 ? 1.0f : 1.5f);"
        assert right in kernels
        (folder / "kernels_scalar.c").write_text(kernels.replace(right, wrong))
        others = [part for part in build.PORT if part != "kernels_scalar"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(build, "PORT", (*others, str(folder / "kernels_scalar")))
            build.build_guest(folder / "guest")
        unfinished.touch()

    build_once(folder.with_suffix(".built"), build_it)
    return folder / "guest"


def plan_of(made: Made, setup: Setup) -> Plan:
    model = loader.open(made.model)
    return Plan(model, loader.open_tokenizer(made.tokenizer), setup, tokens_to_verify(model, 9))


def test_a_kernel_with_a_mistake_is_found_by_its_tensor(
    made: Made, broken_guest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "guest_program", lambda: broken_guest)
    setup = Setup(Engine.CPU, Matmul.SCALAR, threads=1, cpu=CpuKind.UNICORN)
    rows = {check.name: check for check in checks.checks(plan_of(made, setup))}
    row = rows["logits: console, unicorn"]
    assert row.outcome is Outcome.FAILED
    assert "the first tensor that differs: l00.swiglu at position 0, index 2: " in row.detail
    assert [name for name, check in rows.items() if check.outcome is Outcome.FAILED] == [row.name]


def test_a_right_model_passes_every_check(made: Made) -> None:
    rows = list(checks.checks(plan_of(made, Setup(threads=2))))
    assert [check.name for check in rows] == [
        *("model: checksum", "model: both byte orders", "tokenizer: checksum", "tokenizer: both byte orders"),
        *("tokenizer: fits the model", "guest: instructions", "console: memory", "logits: host"),
        *("logits: console, unicorn", "logits: console, recompiler", "logits: console, gpu"),
    ]
    assert not [check for check in rows if check.outcome is Outcome.FAILED]


def test_without_the_compiler_the_host_is_skipped(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise XenonError("the C compiler ziglang is missing", "pip install 'xenon-llm[test]'")

    monkeypatch.setattr(checks, "ReferenceEvaluator", refuse)
    setup = Setup(threads=1, cpu=CpuKind.UNICORN)
    rows = {check.name: check for check in checks.checks(plan_of(made, setup))}
    assert rows["logits: host"].outcome is Outcome.SKIPPED and "ziglang" in rows["logits: host"].detail
    assert rows["logits: console, unicorn"].outcome is Outcome.PASSED
    assert "console, unicorn, vmx's logits" in rows["logits: console, gpu"].detail


def test_a_pulled_model_that_has_changed_fails(
    made: Made, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xenon.models.folder import About

    monkeypatch.setattr(build, "build_reference", lambda target: shutil.copy(library, target))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = ModelFolder()
    with folder.filling("tiny") as partial:
        (partial / "made").mkdir()
        loader.convert(made.model, partial / "made" / "tiny.be.bin", loader.ByteOrder.BIG)
        loader.convert(made.tokenizer, partial / "made" / "tokenizer.be.bin", loader.ByteOrder.BIG)
        digest, other = loader.sha256(loader.open(made.model).image(loader.ByteOrder.BIG)), "0" * 64
        about = About("tiny", "MIT", "here", other, digest, other, CONTEXT)
        pulled = folder.publish(partial / "made", about)
    plan = plan_of(Made(pulled.model, pulled.tokenizer), Setup(Engine.GPU))
    rows = {check.name: check for check in checks.checks(plan)}
    assert "as it was pulled" in rows["model: checksum"].detail
    assert rows["tokenizer: checksum"].outcome is Outcome.FAILED


def test_the_command_dumps_and_compares(made: Made, tmp_path: Path) -> None:
    common = ("verify", made.model, "--cpu", "unicorn", "--threads", "1")
    done = run_command_text(*common, "-n", "3", "--dump", tmp_path / "d")
    assert done.returncode == 0, done.stderr
    assert "the console has the host's bits" in done.stdout
    done = run_command_text(*common, "--against", tmp_path / "d" / "console")
    assert done.returncode == 0 and "the host's to the bit" in done.stdout
    array = np.load(tmp_path / "d" / "console" / "l01.v.npy")
    array[2, 3] += 1
    np.save(tmp_path / "d" / "console" / "l01.v.npy", array)
    (tmp_path / "d" / "console" / "logits.npy").unlink()
    done = run_command_text(*common, "--against", tmp_path / "d" / "console")
    assert done.returncode == 1
    assert "not there: logits" in done.stdout
    assert "first difference: l01.v at position 2, index 3: " in done.stdout
    done = run_command_text(*common, "--against", tmp_path / "d" / "console", "--json")
    facts = json.loads(done.stdout)["difference"]
    assert (facts["name"], facts["position"], facts["index"]) == ("l01.v", 2, [3])


def test_the_command_checks_in_json(made: Made) -> None:
    done = run_command_text("verify", made.model, "--engine", "gpu", "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == 0 and facts["passed"]
    assert [row["name"] for row in facts["checks"]][-2:] == ["logits: host", "logits: console, gpu"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("none.bin",), 1, "none.bin: no such file or directory"),
        (("--ulps", "3"), 2, "--ulps is for --against"),
        (("--dump", "a", "--against", "b"), 2, "--dump and --against exclude each other"),
        (("--engine", "gpu", "--dump", "a"), 2, "tensors are written by CPUs, not by the GPU"),
        (("--against", "none"), 1, "none/dump.json: no such file or directory"),
    ],
)
def test_wrong_input_is_a_line(tmp_path: Path, words: tuple[str, ...], code: int, message: str) -> None:
    done = run_command_text("verify", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (code, f"error: {message}")
