"""The commands convert and inspect, as a user types them."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import loader
from loader import ByteOrder, LoaderError
from xenon.cli import convert, inspect
from xenon.cli.errors import UsageError, exit_code_of

Maker = Callable[..., Any]


@pytest.fixture
def here(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a little-endian model and its tokenizer, and we are in it."""
    (tmp_path / "model.bin").write_bytes(maker("v0").data)
    (tmp_path / "tokenizer.bin").write_bytes(maker("tokenizer").data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(*arguments: str) -> str:
    """What a command prints; raises the LoaderError that it ends with."""
    app = typer.Typer()
    app.command("convert")(convert.convert)
    app.command("inspect")(inspect.inspect)
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, LoaderError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> LoaderError:
    with pytest.raises(LoaderError) as caught:
        run(*arguments)
    return caught.value


def test_convert_writes_model_and_tokenizer_beside_the_inputs(here: Path, maker: Maker) -> None:
    lines = run("convert", "model.bin", "-z", "tokenizer.bin").splitlines()
    size = len(maker("v0").data)
    assert lines[0] == (
        f"wrote model.be.bin: v0 model, big-endian, {size:,} bytes, not all tensors 128-byte aligned"
    )
    assert lines[1].startswith("wrote tokenizer.be.bin: tokenizer, big-endian, ")
    assert names(here) == ["model.be.bin", "model.bin", "tokenizer.be.bin", "tokenizer.bin"]
    assert (here / "model.be.bin").read_bytes() == maker("v0", "big").data
    assert (here / "tokenizer.be.bin").read_bytes() == maker("tokenizer", "big").data


def test_convert_back_gives_the_same_bytes(here: Path, maker: Maker) -> None:
    run("convert", "model.bin")
    assert "wrote model.le.bin" in run("convert", "model.be.bin", "--to", "little")
    assert (here / "model.le.bin").read_bytes() == maker("v0").data


def test_convert_takes_a_tokenizer_alone(here: Path) -> None:
    assert "wrote tokenizer.be.bin" in run("convert", "tokenizer.bin")
    assert "wrote again.bin" in run("convert", "-z", "tokenizer.bin", "-o", "again.bin")
    assert (here / "again.bin").read_bytes() == (here / "tokenizer.be.bin").read_bytes()


def test_convert_lifts_to_v1(here: Path, maker: Maker) -> None:
    assert "v1 model, big-endian" in run("convert", "model.bin", "--format", "v1")
    assert (here / "model.be.bin").read_bytes() == maker("v1", "big").data


def test_convert_lifts_without_changing_the_byte_order(here: Path, maker: Maker) -> None:
    run("convert", "model.bin", "--format", "v1", "--to", "little")
    assert (here / "model.le.bin").read_bytes() == maker("v1").data


def test_convert_into_a_folder_takes_the_tokenizer_along(here: Path) -> None:
    (here / "disc").mkdir()
    run("convert", "model.bin", "-z", "tokenizer.bin", "-o", "disc")
    assert names(here / "disc") == ["model.be.bin", "tokenizer.be.bin"]


def test_dry_run_says_what_would_be_written_and_writes_nothing(here: Path) -> None:
    assert run("convert", "model.bin", "--dry-run").startswith(
        "would write model.be.bin: v0 model, big-endian"
    )
    assert names(here) == ["model.bin", "tokenizer.bin"]


def test_dry_run_fails_where_the_run_would(here: Path) -> None:
    (here / "model.be.bin").write_text("precious")
    assert "exists already" in refused("convert", "model.bin", "--dry-run").message
    run("convert", "model.bin", "--dry-run", "--force")
    assert (here / "model.be.bin").read_text() == "precious"


def test_convert_prints_json(here: Path) -> None:
    found = json.loads(run("convert", "model.bin", "-z", "tokenizer.bin", "--json"))
    assert found["written"] is True
    assert [output["target"] for output in found["outputs"]] == ["model.be.bin", "tokenizer.be.bin"]
    assert found["outputs"][0]["format"] == "v0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.be.bin"], "model.be.bin: already big-endian"),
        (["model.bin", "--to", "little"], "model.bin: already little-endian"),
        (["tokenizer.bin", "-z", "model.bin"], "tokenizer.bin: is a tokenizer, not a model"),
        (["model.bin", "-z", "model.bin"], "model.bin: is a model, not a tokenizer"),
        (["model.bin", "-z", "short.bin"], "short.bin: 19 pieces, expected 20"),
        (["model.bin", "-z", "missing.bin"], "missing.bin: no such file"),
        (["tokenizer.bin", "--format", "v1"], "tokenizer.bin: is a tokenizer, which has no version"),
        (["model.bin", "--format", "v2"], "model.bin: a v0 file cannot become v2"),
        (["model.bin", "-o", "model.bin", "--force"], "model.bin: is the input itself"),
        (["."], ".: is a directory"),
    ],
)
def test_convert_refuses_and_writes_nothing(
    arguments: list[str], message: str, here: Path, maker: Maker
) -> None:
    (here / "model.be.bin").write_bytes(maker("v0", "big").data)
    (here / "short.bin").write_bytes(maker("tokenizer", pieces=[b"x"] * 19).data)
    before = {path: path.read_bytes() for path in here.iterdir()}
    error = refused("convert", *arguments)
    assert error.message.startswith(message)
    assert {path: path.read_bytes() for path in here.iterdir()} == before


@pytest.mark.parametrize("arguments", [["convert"], ["inspect", "model.bin", "--json", "--diffable"]])
def test_a_mistake_on_the_command_line_has_the_code_of_a_usage_error(
    arguments: list[str], here: Path
) -> None:
    app = typer.Typer()
    app.command("convert")(convert.convert)
    app.command("inspect")(inspect.inspect)
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, UsageError) and exit_code_of(error) == 2 and error.hint


def test_a_bad_tokenizer_keeps_the_model_from_being_written(here: Path, maker: Maker) -> None:
    (here / "tokenizer.bin").write_bytes(maker("tokenizer").data[:-1])
    assert "the file ends" in refused("convert", "model.bin", "-z", "tokenizer.bin").message
    assert names(here) == ["model.bin", "tokenizer.bin"]


def test_inspect_shows_the_header_and_the_checksums(here: Path) -> None:
    text = run("inspect", "model.bin", "--tensors")
    shown = dict(
        line.split(maxsplit=1) for line in text.splitlines() if line.startswith(("dim", "format", "size"))
    )
    assert shown["format"] == "v0" and shown["dim"] == "8"
    assert "token_embedding_table  f32   20 x 8" in text


def test_inspect_prints_json(here: Path) -> None:
    found = json.loads(run("inspect", "model.bin", "--tensors", "--json"))
    assert (
        found["byte_order"] == "little" and found["vocab_size"] == 20 and found["shared_classifier"] is True
    )
    assert found["tensors"][0]["offset"] == 28 and found["tensors"][0]["aligned_128"] is False
    tokenizer = json.loads(run("inspect", "tokenizer.bin", "--json"))
    assert tokenizer["pieces"] == 20 and tokenizer["bos"] == "\n<s>\n" and tokenizer["eos"] == "\n</s>\n"
    assert tokenizer["duplicate_pieces"] == 1 and tokenizer["byte_fallback_complete"] is False


def test_inspect_diffable_is_the_same_for_both_byte_orders(little: Any, big: Any, tmp_path: Path) -> None:
    outputs = []
    for sample in (little, big):
        (tmp_path / sample.order).write_bytes(sample.data)
        outputs.append(run("inspect", "--diffable", str(tmp_path / sample.order)))
    assert outputs[0] == outputs[1]
    lines = outputs[0].splitlines()
    assert lines == sorted(lines) and all(": " in line for line in lines)


def test_inspect_diffable_shows_which_tensor_differs(here: Path) -> None:
    run("convert", "model.bin")
    data = bytearray((here / "model.be.bin").read_bytes())
    wq = loader.open(here / "model.be.bin").tensor("wq")
    data[wq.offset] ^= 1
    (here / "changed.bin").write_bytes(data)
    before = set(run("inspect", "--diffable", "model.bin").splitlines())
    after = set(run("inspect", "--diffable", "changed.bin").splitlines())
    changed = {line.split(":")[0] for line in before ^ after}
    assert changed == {"sha256_big_endian", "tensors.wq.sha256_big_endian"}


def test_inspect_lists_the_pieces_of_a_tokenizer_on_one_line_each(here: Path) -> None:
    lines = run("inspect", "tokenizer.bin", "--tensors").splitlines()
    assert lines[-20].split() == ["0", "-0.0", "<unk>"]
    assert lines[-19].split() == ["1", "-1.0", '"\\n<s>\\n"']


def test_inspect_of_a_file_with_a_strange_name(here: Path) -> None:
    name = os.fsdecode(b"\xff.bin")
    (here / "model.bin").rename(here / name)
    assert "\ufffd.bin" in run("inspect", name)


def test_help_shows_examples() -> None:
    assert "xenon-llm convert stories15M.bin -z tokenizer.bin" in run("convert", "--help")
    assert "xenon-llm inspect stories15M.bin --tensors" in run("inspect", "--help")


def test_commands_import_neither_numpy_nor_rich_before_they_run() -> None:
    script = (
        "import sys, loader, xenon.cli.convert, xenon.cli.inspect\n"
        "assert not {'numpy', 'rich.progress'} & set(sys.modules), sorted(sys.modules)"
    )
    root = str(Path(loader.__file__).parents[1])
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"PYTHONPATH": root})


@pytest.mark.skipif(
    not all(importlib.util.find_spec(f"xenon.cli.{name}") for name in ("generate", "run")),
    reason="the command line is not complete",
)
def test_the_whole_program_ends_with_one_line_a_hint_and_code_1(here: Path) -> None:
    (here / "cut.bin").write_bytes((here / "model.bin").read_bytes()[:100])
    command = [sys.executable, "-c", "from xenon.cli.app import main; main()", "convert", "cut.bin"]
    environment = os.environ | {"PYTHONPATH": str(Path(loader.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1 and done.stdout == ""
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: cut.bin: truncated in token_embedding_table: found 100 bytes, expected ")
    assert hint.startswith("hint: ")


def test_a_converted_model_is_found_by_its_tokenizer(here: Path) -> None:
    run("convert", "model.bin", "-z", "tokenizer.bin")
    tokenizer = loader.find_tokenizer(loader.open(here / "model.be.bin"))
    assert tokenizer.byte_order is ByteOrder.BIG


def test_inspect_names_weights_that_are_no_numbers(here: Path, make_model: Callable[..., Any]) -> None:
    data = bytearray(make_model(dim=16, hidden_dim=24).model.read_bytes())
    (here / "good.bin").write_bytes(data)
    model = loader.open(here / "good.bin")
    assert "not_finite" not in json.loads(run("inspect", "good.bin", "--json"))
    start = next(tensor.offset for tensor in model.tensors if tensor.name == "w1") + 4 * 24 * 16  # layer 1
    struct.pack_into("<2f", data, start + 4 * (16 * 3 + 5), float("nan"), float("-inf"))
    (here / "bad.bin").write_bytes(data)
    assert json.loads(run("inspect", "bad.bin", "--json"))["not_finite"] == {
        "w1.1": {"nan": 1, "infinite": 1, "first_row": 3, "first_column": 5}
    }
    assert "w1.1  1 nan, 1 infinite, 3 first_row, 5 first_column" in run("inspect", "bad.bin")


def test_groups_that_runq_multiplies_by_wrong_scales_are_named(here: Path, maker: Maker) -> None:
    data = bytearray(maker("v2").data)
    (here / "even.bin").write_bytes(data)
    assert "warning" not in json.loads(run("inspect", "even.bin", "--json"))
    struct.pack_into("<i", data, 37, 8)  # half as many scales; hidden_dim is 12
    halves = [tensor for tensor in loader.open(here / "even.bin").tensors if tensor.name.endswith(".scales")]
    for tensor in reversed(halves):
        del data[tensor.offset + tensor.nbytes // 2 : tensor.offset + tensor.nbytes]
    (here / "uneven.bin").write_bytes(data)
    warning = "group_size 8 does not divide hidden_dim 12: llama2.c's runq multiplies by wrong scales in w2"
    assert json.loads(run("inspect", "uneven.bin", "--json"))["warning"] == warning
    assert f"note: uneven.bin: {warning}" in run("convert", "uneven.bin")
