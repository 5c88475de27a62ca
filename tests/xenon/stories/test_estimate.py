"""The roofline: its rows for the known models, recomputed by hand from the console's published numbers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import run_command_text
from support import Made

import loader
from loader import Config, Format
from loader.layout import file_size
from loader.synthetic import Shape
from xenon.stories import estimate as timing

# Per model: file in MiB, keys and values in MiB at full context, MB of weights a token; tokens a second at
# the limit of the front-side bus, with 8 misses in flight on one core, and naive.
TABLE = {
    "stories260K": (1.0, 0.63, 1.0, 10_400, 4_900, 410),
    "stories15M": (58.0, 3.4, 60.8, 178, 84, 7.0),
    "stories42M": (159.3, 32.0, 166.7, 65, 31, 2.6),
    "stories110M": (418.1, 72.0, 438, 25, 12, 1.0),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_the_known_models_is_recomputed(name: str) -> None:
    config = Shape(name).config
    file_mib, cache_mib, weights_mb, bus, prefetched, naive = TABLE[name]
    asked = timing.token_work(config)
    speeds = {row.variant: row.tokens_per_second for row in timing.estimate(config)}
    assert file_size(config, Format.V0) / 2**20 == pytest.approx(file_mib, abs=0.051)
    assert timing.token_work(config, config.seq_len).cache_bytes / 2**20 == pytest.approx(
        cache_mib, abs=0.026
    )
    assert asked.weight_bytes / 1e6 == pytest.approx(weights_mb, rel=0.05 if weights_mb < 2 else 0.002)
    assert speeds["naive scalar, one core"] == pytest.approx(naive, rel=0.035)
    assert speeds["VMX, prefetched, one core"] == pytest.approx(prefetched, rel=0.03)
    assert speeds["VMX, prefetched, three cores"] == pytest.approx(bus, rel=0.015)


def test_a_naive_core_takes_300_ns_for_each_line_of_32_weights() -> None:
    config = Shape.STORIES_15M.config
    lines = timing.token_work(config).multiply_adds / 32
    naive = timing.estimate(config)[0]
    assert 1 / naive.tokens_per_second == pytest.approx(lines * (32 * 10 / 3.2e9 + 200e-9), rel=0.001)
    assert naive.limit == "memory latency, one miss at a time"


def test_every_step_up_is_faster_and_names_what_limits_it() -> None:
    for shape in Shape:
        config = shape.config
        rows = timing.estimate(config)
        speeds = [row.tokens_per_second for row in rows]
        assert speeds == sorted(speeds)
        assert [row.limit for row in rows] == [
            "memory latency, one miss at a time",
            "memory latency, one miss at a time",
            "memory latency, 8 misses at a time",
            "front-side bus",
            "memory bandwidth",
        ]


def test_weights_a_token_are_the_parameters_of_a_shared_classifier() -> None:
    assert timing.token_work(Shape.STORIES_15M.config).weight_bytes == 4 * 15_191_712


def test_a_separate_classifier_adds_a_row_and_not_a_table() -> None:
    shared = Shape.STORIES_15M.config
    separate = replace(shared, shared_classifier=False)
    assert timing.token_work(separate).weight_bytes - timing.token_work(shared).weight_bytes == 4 * shared.dim


def test_later_tokens_read_more_keys_and_values() -> None:
    config = Config(8, 12, 2, 2, 1, 20, 4, shared_classifier=True)
    assert timing.token_work(config, 0).cache_bytes == 0
    assert timing.token_work(config, 3).cache_bytes == 4 * 2 * 2 * 3 * 4
    assert (
        timing.token_work(config, 3).multiply_adds - timing.token_work(config).multiply_adds == 2 * 2 * 3 * 8
    )
    late = timing.estimate(Shape.STORIES_110M.config, 1023)
    early = timing.estimate(Shape.STORIES_110M.config)
    assert all(e.tokens_per_second > x.tokens_per_second for e, x in zip(early, late, strict=True))


def test_a_prompt_takes_the_layers_once_for_eight_positions_and_no_classifier() -> None:
    config = Config(8, 12, 2, 2, 1, 20, 16, shared_classifier=True)
    layers = 2 * (2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 12)
    pass_ = timing.prompt_work(config)
    assert pass_.positions == 8
    assert pass_.weight_bytes == 4 * (layers + 5 * 8 + 8 * 8)  # norms, and a row of the embedding each
    assert pass_.multiply_adds == 8 * layers + 2 * 2 * 28 * 8  # 0 + 1 + ... + 7 past positions
    separate = replace(config, shared_classifier=False)
    assert timing.prompt_work(separate) == pass_
    assert timing.prompt_work(replace(config, seq_len=3)).positions == 3


def test_other_operations_of_a_position_are_those_of_the_vector_kernels() -> None:
    config = Config(8, 12, 2, 2, 1, 20, 16, shared_classifier=True)
    layer = 2 * (8 + 4) + 13 * 2 * 4 + 21 * 12 + 2 * 8 + 2 * 3 * 8  # RoPE, softmax, SwiGLU, sums, norms
    assert timing.token_work(config, 3).other_operations == 2 * layer + 3 * 8


def test_a_prompt_is_read_as_fast_as_its_pass_allows() -> None:
    config = Shape.STORIES_15M.config
    pass_, rows = timing.prompt_work(config), {row.variant: row for row in timing.estimate(config)}
    lines = pass_.weight_bytes / 128
    operations = pass_.multiply_adds + pass_.other_operations
    one_core = lines * 200e-9 + operations / (4 * 3.2e9)  # 16 chains: a vmaddfp each cycle
    assert rows["VMX, one core"].prompt_tokens_per_second == pytest.approx(8 / one_core)
    three_cores = rows["VMX, prefetched, three cores"]
    assert three_cores.prompt_tokens_per_second == pytest.approx(8 / (pass_.weight_bytes / 10.8e9))
    assert three_cores.prompt_limit == "front-side bus"
    naive = rows["naive scalar, one core"]
    assert naive.prompt_tokens_per_second == naive.tokens_per_second


def test_every_assumption_and_measurement_has_a_source() -> None:
    assert all(row.source for row in timing.ASSUMPTIONS)
    assert all(row.source for row in timing.PUBLISHED)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command_text("estimate", *arguments)


def test_the_command_prints_estimates_assumptions_and_measurements() -> None:
    result = command("--shape", "stories15M")
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert "naive scalar, one core 7.0 6.6 7.0 memory latency, one miss at a time".split() in lines
    assert any("2.70" in line for line in lines)
    assert "10.8 GB/s" in result.stdout
    assert "not published" in result.stdout


def test_the_command_reads_a_file_of_either_version(make_model: Callable[..., Made], tmp_path: Path) -> None:
    made = make_model()
    loader.convert(made.model, tmp_path / "v1.bin", loader.ByteOrder.BIG, Format.V1)
    first, second = command(str(made.model), "--json"), command(str(tmp_path / "v1.bin"), "--json")
    assert json.loads(first.stdout)["estimates"] == json.loads(second.stdout)["estimates"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--shape", "stories9M"], 2, "'stories9M' is not one of 'stories260K', 'stories15M'"),
        (["m.bin", "--shape", "stories15M"], 2, "a model and --shape"),
        (["no-such-model.bin"], 1, "no such file"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(arguments: list[str], code: int, message: str) -> None:
    result = command(*arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
