"""convert, inspect and export with GGUF files and Hugging Face folders, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import gguf_files
import huggingface_files
import pytest
import typer
from support import whole
from typer.testing import CliRunner

import loader
from loader import ByteOrder, LoaderError
from xenon.cli import convert, export, inspect
from xenon.cli.errors import UsageError
from xenon.errors import ErrorCode, XenonError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a GGUF file and a folder from the hub, and we are in it."""
    file = gguf_files.llama()
    file.remove("tokenizer.ggml.model")
    (tmp_path / "m.gguf").write_bytes(file.data())
    huggingface_files.llama().write(tmp_path / "hub")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> str:
    """What a command prints; raises the error that it ends with."""
    app = typer.Typer()
    app.command("convert")(convert.convert)
    app.command("inspect")(inspect.inspect)
    app.command("export")(export.export)
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, (LoaderError, XenonError)):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_gguf_file_stays_gguf_without_a_word(here: Path) -> None:
    assert "wrote m.be.gguf: gguf, big-endian" in run("convert", "m.gguf")
    file = gguf_files.llama()
    file.remove("tokenizer.ggml.model")
    assert (here / "m.be.gguf").read_bytes() == file.data("big")
    run("convert", "m.be.gguf", "--to", "little", "-o", "again.gguf")
    assert (here / "again.gguf").read_bytes() == (here / "m.gguf").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "format"),
    [
        (["-o", "x.bin"], "console"),
        (["--context", "64", "-o", "x.bin"], "console"),
        (["--format", "console", "-o", "x.bin"], "console"),
        (["--quantize", "q8_0", "-o", "x.bin"], "console"),
        (["--quantize", "int8", "--group", "32", "-o", "x.bin"], "v2"),
        (["--format", "v2", "--group", "16", "-o", "x.bin"], "v2"),
        (["--format", "v1", "-o", "x.bin"], "v1"),
    ],
)
@pytest.mark.parametrize("source", ["m.gguf", "hub"])
def test_a_checkpoint_is_made(source: str, arguments: list[str], format: str, here: Path) -> None:
    assert f"wrote x.bin: {format} model, big-endian" in run("convert", source, *arguments)
    model = loader.open(here / "x.bin")
    assert str(model.format) == format and model.byte_order is ByteOrder.BIG
    assert model.config.seq_len == (64 if "--context" in arguments else 128)


def test_what_was_rounded_is_reported(here: Path) -> None:
    text = run("convert", "m.gguf", "--quantize", "int8", "--group", "32", "-o", "x.bin")
    assert text.count("error: max ") == 1 + 7 * gguf_files.LAYERS
    outputs = json.loads(run("convert", "m.gguf", "--quantize", "q8_0", "-o", "y.bin", "--json"))["outputs"]
    assert set(outputs[0]["rounding"]["blk.0.attn_q.weight"]) == {"max_relative", "rms_relative"}
    assert "error" not in run("convert", "m.gguf", "-o", "z.bin")


def test_a_long_context_is_cut_with_a_note(here: Path) -> None:
    file = gguf_files.llama()
    file.remove("tokenizer.ggml.model")
    file.set("llama.context_length", "u32", 1 << 20)
    (here / "long.gguf").write_bytes(file.data())
    assert "a context of 2048, not the model's 1048576" in run("convert", "long.gguf", "-o", "x.bin")
    assert loader.open(here / "x.bin").config.seq_len == 2048
    with pytest.raises(XenonError) as caught:
        run("convert", "long.gguf", "-o", "y.bin", "--context", str(1 << 20))
    fits = caught.value.fields["longest_context"]
    assert caught.value.code is ErrorCode.CONTEXT_TOO_LONG and isinstance(fits, int)
    run("convert", "long.gguf", "-o", "y.bin", "--context", str(fits))
    with pytest.raises(XenonError):
        run("convert", "long.gguf", "-o", "z.bin", "--context", str(fits + 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["m.gguf", "--quantize", "int8", "--format", "console"],
            "--quantize int8 does not go with --format",
        ),
        (["m.gguf", "--quantize", "q8_0", "--format", "v2"], "--quantize q8_0 does not go with --format v2"),
        (["m.gguf", "--format", "v0"], "--format v0 cannot be made of m.gguf"),
        (["m.gguf", "--group", "32", "-o", "x.bin"], "--group is for --quantize int8"),
        ([], "missing MODEL"),
    ],
)
def test_options_that_do_not_go_together_are_named(arguments: list[str], message: str, here: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run("convert", *arguments)
    assert message in caught.value.message


def test_inspect_shows_a_gguf_file(here: Path) -> None:
    shown = json.loads(run("inspect", "m.gguf", "--json", "--tensors"))
    assert (shown["kind"], shown["version"], shown["metadata"]["general.architecture"]) == (
        "gguf",
        3,
        "llama",
    )
    assert shown["storage"]["q4_1"]["tensors"] == 7 * gguf_files.LAYERS
    assert shown["types"]["wq"] == "q4_1" and shown["rope_theta"] == 100000.0
    assert len(shown["tensors"]) == shown["tensor_count"]
    run("convert", "m.gguf")
    assert run("inspect", "--diffable", "m.gguf") == run("inspect", "--diffable", "m.be.gguf")
    assert "  q4_1  14 tensors, " in run("inspect", "m.gguf")


def test_inspect_says_why_no_checkpoint_can_be_made(here: Path) -> None:
    file = gguf_files.llama()
    file.set("general.architecture", "text", b"gemma3")
    (here / "g.gguf").write_bytes(file.data())
    shown = json.loads(run("inspect", "g.gguf", "--json"))
    assert "architecture gemma3, expected llama" in shown["no_checkpoint"]


def test_inspect_shows_a_folder(here: Path) -> None:
    shown = json.loads(run("inspect", "hub", "--json"))
    assert (shown["kind"], shown["dim"], shown["types"]["wq"]) == ("safetensors", 64, "bf16")
    assert "kind" in run("inspect", "hub", "--tensors")


def test_export_there_and_back(here: Path) -> None:
    run("convert", "m.gguf", "-o", "x.bin")
    assert "wrote y.gguf: gguf, little-endian" in run("export", "x.bin", "-o", "y.gguf")
    before, after = loader.weights(loader.open_any("m.gguf")), loader.weights(loader.open_any("y.gguf"))
    assert (before.config, before.extension.rope_theta) == (after.config, after.extension.rope_theta)
    for key, origin in before.origins.items():
        assert origin.read().tobytes() == after.origins[key].read().tobytes()
    run("export", "hub", "-o", "hub2")
    assert (here / "hub2" / "config.json").is_file()
    first, second = (loader.weights(loader.open_any(path)) for path in ("hub", "hub2"))
    for key, origin in first.origins.items():
        assert origin.read().tobytes() == second.origins[key].read().tobytes()


def test_export_of_a_gguf_file_keeps_its_metadata(here: Path) -> None:
    run("export", "m.gguf", "-o", "q8.gguf", "--type", "q8_0", "--to", "big")
    exported, source = loader.open_any("q8.gguf"), loader.open_any("m.gguf")
    assert isinstance(exported, loader.Gguf) and isinstance(source, loader.Gguf)
    assert exported.byte_order is ByteOrder.BIG
    assert list(exported.metadata)[: len(source.metadata.entries)] == list(source.metadata)
    assert exported.metadata.integer("general.file_type") == 7
    same = loader.plan_gguf(source, Path("same.gguf"), ByteOrder.LITTLE)
    assert whole(same.image) == Path("m.gguf").read_bytes()


def test_export_refuses_what_cannot_be(here: Path) -> None:
    with pytest.raises(LoaderError, match="safetensors have no q8_0"):
        run("export", "m.gguf", "-o", "folder", "--type", "q8_0")
    assert not (here / "folder").exists()
    with pytest.raises(UsageError, match=r"neither X\.gguf nor a folder"):
        run("export", "m.gguf", "-o", "x.bin")


def test_export_can_be_tried_without_a_folder(here: Path) -> None:
    assert "would write dry/model.safetensors" in run("export", "m.gguf", "-o", "dry", "--dry-run")
    assert not (here / "dry").exists()
    with pytest.raises(LoaderError, match="the folder no does not exist"):
        run("export", "m.gguf", "-o", "no/dry", "--dry-run")
