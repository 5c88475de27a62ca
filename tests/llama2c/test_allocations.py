"""The guest's allocations: one table that no C source goes past, read here as the compiler reads it."""

from __future__ import annotations

import ast
import re
from dataclasses import fields, replace

import pytest

from llama2c import build
from llama2c.allocations import Extents, Users, allocations, array_bytes
from llama2c.allocations import _table as table
from xenon.hardware.gpu.limits import MOST_FETCH_WORDS
from xenon.hardware.gpu.programs import HEADER_WORDS, MOST_POSITIONS, PROGRAMS
from xenon.hardware.memory_map import CACHE_LINE_BYTES, HARDWARE_THREADS

SMALL = Extents(
    dim=16,
    hidden_dim=24,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    head_size=4,
    kv_dim=8,
    vocab_size=272,
    seq_len=32,
    kv_bytes=4,
    int8_activations=0,
    quantised_planes=0,
    weight_bytes=12_800,
    tokenizer_bytes=4_000,
    prompt_bytes=5,
    prompt_file_bytes=0,
    conversations=0,
    pieces=272,
    longest_piece=6,
    mapped=False,
    gpu=False,
    threads=2,
)


def test_a_run_on_two_threads_allocates_in_order() -> None:
    assert [(row.name, row.size) for row in allocations(SMALL)] == [
        ("weights", 12_800),
        ("tokenizer file", 4_000),
        ("tokenizer table", 272 * 16),
        ("prompt", (4 + 4 * 4 + 2 * 8) * 7 + 12),
        ("tokenizer order", 2 * 4 * 272),
        # x xb xb2 q, hb hb2, k v of eight positions; att, logits, rope with eight times 2 cosines and sines
        ("activations", 4 * 512 + 2 * 768 + 2 * 256 + 512 + 1152 + 3 * 128),
        ("key cache", 4 * 2 * 32 * 8),
        ("value cache", 4 * 2 * 32 * 8),
        ("sampler", 2 * 4 * 272),
        ("stack of thread 1", 64 * 1024),
    ]


def test_a_run_without_a_prompt_sorts_no_pieces_and_a_mapped_file_needs_no_weights() -> None:
    names = {row.name for row in allocations(replace(SMALL, prompt_bytes=0, mapped=True, threads=1))}
    assert names.isdisjoint({"weights", "tokenizer order", "stack of thread 1"})


def test_a_run_with_a_tokenizer_of_byte_pairs_makes_no_table_of_pieces() -> None:
    sizes = {row.name: row.size for row in allocations(replace(SMALL, pieces=0, longest_piece=0))}
    assert sizes["prompt"] == (4 + 4 * 4 + 2 * 8) * 7
    assert sizes.keys().isdisjoint({"tokenizer table", "tokenizer order"})


def test_the_gpu_shares_what_it_reads_and_has_its_own() -> None:
    rows = list(allocations(replace(SMALL, gpu=True, threads=1)))
    assert [row.name for row in rows if row.users is Users.SHARED] == [
        *("weights", "activations", "key cache", "value cache")
    ]
    # Words of a draw: 16 (norm, sum, swiglu, embed), 18 (matmul), 15 (rope, rows of caches), 21 (attention).
    layer = 5 * 16 + 7 * 18 + 4 * 15 + 21
    forward = 3 + 16 + 2 * layer
    classify = 3 + 15 + 16 + 18
    assert [(row.name, row.size) for row in rows if row.users is Users.GPU] == [
        ("gpu ring buffer", 2048 + 128),
        ("gpu vectors", 1152 + 128),
        ("gpu command buffers", array_bytes(forward) + array_bytes(classify) + 2 * 128 + 640),
    ]


def test_a_matrix_beyond_a_fetch_constant_takes_more_draws() -> None:
    words = table().call("MATMUL_WORDS", [SMALL, 4096, 4096])
    assert words == 2 * table().call("MATMUL_WORDS", [SMALL, 4096, 4095]) == 2 * 18


def test_each_plane_of_a_quantised_matrix_takes_two_words_and_a_shape() -> None:
    words = [table().call("MATMUL_WORDS", [replace(SMALL, quantised_planes=n), 64, 64]) for n in (0, 1, 2, 3)]
    assert words == [18, 18 + 2, 18 + 2 + 3, 18 + 2 + 6]


def test_the_numbers_are_those_of_the_machine() -> None:
    def constant(name: str) -> int:
        return table().call(name, [])

    assert constant("CACHE_LINE") == CACHE_LINE_BYTES
    assert constant("GPU_MOST_WORDS") == MOST_FETCH_WORDS
    assert constant("GPU_PROGRAM_WORDS") == HEADER_WORDS
    assert constant("BATCH") <= MOST_POSITIONS
    stacks = [row for row in allocations(replace(SMALL, threads=99)) if row.name.startswith("stack")]
    assert len(stacks) == HARDWARE_THREADS - 1


def test_the_gpu_has_room_for_every_program_of_a_run_and_every_program_is_the_gpus() -> None:
    forward = re.findall(r'"([a-z_]+)"', (build.SOURCES / "forward_gpu.c").read_text())
    types = re.findall(r"TENSOR_TYPE\((\w+)\)", (build.SOURCES / "tensor_types.def").read_text())
    names = ["" if name == "fp32" else f" {name}" for name in types]
    products = {f"matmul{name}" for name in names}
    # A run has one type of embedding.
    assert len({*forward, *products, "embedding"}) == table().call("GPU_PROGRAMS", [])
    assert {*forward, *products, *(f"embedding{name}" for name in names)} == set(PROGRAMS)


def test_no_source_allocates_past_the_table() -> None:
    asked: set[str] = set()
    for source in build.SOURCES.glob("*.c"):
        text = source.read_text()
        if not source.name.startswith(("platform_", "allocations")):
            assert "platform_allocate(" not in text, source.name
        asked |= set(re.findall(r"MEMORY_(\w+)", text))
    rows = {row[0].id for row in table().rows["ALLOCATION"] if isinstance(row[0], ast.Name)}
    stacks = {f"STACK_{thread}" for thread in range(1, HARDWARE_THREADS)}  # by their number
    assert asked - stacks == rows - stacks


def test_both_readers_know_the_same_extents() -> None:
    text = (build.SOURCES / "allocations.h").read_text()
    struct = re.sub(r"//.*", "", text[text.index("typedef struct {") : text.index("} Extents;")])
    names = re.findall(r"\w+(?=[,;])", struct)
    assert [*names, "mapped", "gpu", "threads"] == [field.name for field in fields(Extents)]


@pytest.mark.parametrize("formula", ["2 ** 3", "1 if p.gpu else 2", "p.dim < 3", "'x'", "-1"])
def test_a_formula_of_another_kind_is_refused(formula: str) -> None:
    node = ast.parse(formula, mode="eval").body
    with pytest.raises(ValueError, match="not understood"):
        table().value(node, {"p": SMALL})
