"""The port as a library of this machine: what goes in and comes out. The bit comparisons stand elsewhere."""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sharing import built_reference
from systems import RIGHTS

from llama2c import build
from llama2c.build import BuildError
from llama2c.reference import Reference, ReferenceFailedError

DIM, HIDDEN, LAYERS, HEADS, VOCAB, SEQ = 8, 12, 2, 2, 300, 16
MARK = "<" if sys.byteorder == "little" else ">"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return built_reference(tmp_path_factory, "small reference", memory_bytes=16 << 20)


@pytest.fixture(scope="module")
def model() -> bytes:
    floats = VOCAB * DIM + LAYERS * (2 * DIM + 4 * DIM * DIM + 3 * DIM * HIDDEN) + DIM + SEQ * (DIM // HEADS)
    weights = np.random.default_rng(1).normal(0, 0.5, floats).astype(f"{MARK}f4")
    return struct.pack(f"{MARK}7i", DIM, HIDDEN, LAYERS, HEADS, HEADS, VOCAB, SEQ) + weights.tobytes()


@pytest.fixture(scope="module")
def tokenizer() -> bytes:
    pieces = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256))]
    pieces += [bytes([32 + i]) for i in range(VOCAB - len(pieces))]
    return struct.pack(f"{MARK}i", 6) + b"".join(
        struct.pack(f"{MARK}fi", 0, len(piece)) + piece for piece in pieces
    )


def test_a_run_streams_what_it_returns(reference: Reference, model: bytes, tokenizer: bytes) -> None:
    seen: list[tuple[int, bytes]] = []
    status, story, messages = reference.run(
        {"m": model, "t": memoryview(tokenizer)},
        ["m", "-z", "t", "-i", b"!", "-n", "9", "-t", "0", "-e"],
        lambda stream, data: seen.append((stream, data)),
    )
    assert status == 0
    assert story.endswith(b"\n")
    assert b"(3 tokens in" in messages and b"(6 tokens in" in messages
    assert b"".join(data for stream, data in seen if stream == 1) == story
    assert len([stream for stream, _ in seen if stream == 1]) > 2


def test_a_missing_file_is_the_programs_own_error(reference: Reference) -> None:
    assert reference.run({}, ["m"]) == (1, b"", b"error: m: cannot be opened\n")


def test_what_the_writer_raises_is_raised_behind_the_program(reference: Reference) -> None:
    def refuse(_stream: int, _data: bytes) -> None:
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        reference.run({}, [], refuse)


def test_forward_gives_one_logit_a_piece_of_the_vocabulary(reference: Reference, model: bytes) -> None:
    reference.load(model)
    first, second = reference.forward([1], 0), reference.forward([5], 1)
    assert first.shape == second.shape == (1, VOCAB)
    assert np.isfinite(first).all()
    assert (first != second).any()
    reference.load(bytearray(model), vmx=True)
    assert np.allclose(reference.forward([1], 0), first, rtol=1e-4, atol=1e-5)


def test_forward_equals_the_logits_that_a_run_writes(
    reference: Reference, model: bytes, tokenizer: bytes
) -> None:
    _, logits, _ = reference.run(
        {"m": model, "t": tokenizer}, ["m", "-z", "t", "-n", "1", "-l", "-k", "scalar"]
    )
    reference.load(model)
    assert logits == reference.forward([1], 0).tobytes()


def test_a_refused_model_says_why(reference: Reference, model: bytes) -> None:
    with pytest.raises(ReferenceFailedError, match="too short"):
        reference.load(b"abc")
    with pytest.raises(ReferenceFailedError, match="call load"):
        reference.forward([1], 0)
    small = Reference(reference.path, memory_bytes=4096)
    with pytest.raises(ReferenceFailedError, match="not free"):
        small.load(model)


@pytest.mark.parametrize("vmx", [False, True])
@pytest.mark.parametrize(("d", "n"), [(1, 1), (5, 7), (3, 16), (9, 288)])
def test_matmul_is_numpys_within_rounding(reference: Reference, d: int, n: int, vmx: bool) -> None:
    rng = np.random.default_rng(d * n)
    w, x = rng.normal(size=(d, n)).astype(np.float32), rng.normal(size=n).astype(np.float32)
    assert np.allclose(reference.matmul(w, x, vmx), w.astype(float) @ x, rtol=1e-4, atol=1e-4)


def test_matmul_refuses_arrays_of_another_kind(reference: Reference) -> None:
    x = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="shapes"):
        reference.matmul(np.zeros((2, 3), np.float32), x)
    with pytest.raises(ValueError, match="float32"):
        reference.matmul(np.zeros((2, 4)), x)  # type: ignore[arg-type]  # which is what it refuses


MATHS: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = [
    ("expf", np.exp),
    ("sinf", np.sin),
    ("cosf", np.cos),
    ("sqrtf", np.sqrt),
]


@pytest.mark.parametrize(("name", "function"), MATHS, ids=[name for name, _ in MATHS])
def test_maths_calls_the_function_of_that_name(
    reference: Reference, name: str, function: Callable[[np.ndarray], np.ndarray]
) -> None:
    x = np.linspace(0.1, 3, 50, dtype=np.float32).reshape(5, 10)
    assert np.allclose(reference.maths(name, x), function(x.astype(float)), rtol=1e-6, atol=1e-7)


def test_maths_takes_a_second_array_for_powf_alone(reference: Reference) -> None:
    x = np.array([2, 3], np.float32)
    assert reference.maths("powf", x, x).tolist() == [4, 27]
    with pytest.raises(ValueError, match="powf"):
        reference.maths("expf", x, x)
    with pytest.raises(KeyError):
        reference.maths("tanf", x)


def test_the_library_is_compiled_once_for_the_same_sources(reference: Reference) -> None:
    before = reference.path.stat().st_mtime_ns
    assert Reference.build(reference.path.parent.parent).path == reference.path
    assert reference.path.stat().st_mtime_ns == before


def test_without_the_compiler_the_next_step_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BuildError, match=r"pip install 'xenon-llm\[test\]'"):
        Reference.build(tmp_path)


@RIGHTS
def test_a_cache_that_others_may_write_to_is_not_loaded_from(
    reference: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[Path] = []

    def copy(target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(reference.path, target)
        built.append(target)

    monkeypatch.setattr(build, "build_reference", copy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    umask = os.umask(0)
    try:
        kept = Reference.build().path
        assert Reference.build().path == kept
    finally:
        os.umask(umask)
    assert built == [kept]
    assert kept.is_relative_to(tmp_path)
    for path in (kept, kept.parent, kept.parent.parent):
        mode = path.stat().st_mode
        path.chmod(0o777)
        assert not Reference.build().path.is_relative_to(tmp_path)
        path.chmod(mode & 0o777)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert not Reference.build().path.is_relative_to(tmp_path)
