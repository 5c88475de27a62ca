"""A GGUF file or a folder given as the model: made in memory, the same stories as of the converted file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf_files
import huggingface_files
import pytest
from command_line import run_command
from gguf_files import GgufFile, llama
from support import Made

import loader
from loader import ByteOrder, Format, Recipe
from xenon.errors import XenonError
from xenon.notes import XenonWarning
from xenon.stories import made_model
from xenon.stories.session import Session
from xenon.stories.settings import Sampling, Setup

VOCAB = 272
GREEDY = Sampling(temperature=0, steps=12)


@pytest.fixture(scope="module")
def gguf(make_model: Callable[..., Made], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of q4_1 with a tokenizer of SentencePiece's kind."""
    pieces = loader.open_tokenizer(make_model().tokenizer).pieces
    texts = [piece.text.strip(b"\n").replace(b" ", "\u2581".encode()) for piece in pieces]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf_files, "VOCAB", VOCAB)
        file = llama()
    file.set("tokenizer.ggml.model", "text", b"llama")
    file.set("tokenizer.ggml.tokens", "[text]", texts)
    file.set("tokenizer.ggml.scores", "[f32]", [piece.score for piece in pieces])
    file.set("tokenizer.ggml.token_type", "[i32]", [1] * VOCAB)
    for name, token in (("bos", 1), ("eos", 2)):
        file.set(f"tokenizer.ggml.{name}_token_id", "u32", token)
    return written(file, tmp_path_factory.mktemp("gguf") / "m.gguf")


def written(file: GgufFile, path: Path) -> Path:
    path.write_bytes(file.data())
    return path


def story(session: Session) -> str:
    with session.tell("a bee", GREEDY) as telling:
        return "".join(telling)


def test_a_gguf_file_tells_the_story_of_the_converted_file(gguf: Path, tmp_path: Path) -> None:
    with pytest.warns(XenonWarning, match="m.gguf is made into the console's file in memory, with a context"):
        session = Session(gguf)
    assert session.model.path == gguf and len(session.tokenizer) == VOCAB
    opened = loader.open_any(gguf)
    recipe = Recipe(Format.CONSOLE)
    plan = loader.plan_checkpoint(loader.weights(opened), ByteOrder.BIG, recipe, tmp_path / "m.bin")
    loader.write([plan])
    converted = Session(tmp_path / "m.bin", gguf)
    assert loader.sha256(session.model.image(ByteOrder.BIG)) == loader.sha256(
        converted.model.image(ByteOrder.BIG)
    )
    assert story(session) == story(converted) != ""


@pytest.mark.filterwarnings("ignore::xenon.notes.XenonWarning")
def test_a_folder_is_made_too(tmp_path: Path, make_model: Callable[..., Made]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_files, "VOCAB", VOCAB)
        folder = huggingface_files.llama().write(tmp_path / "model")
    for path in (folder, folder / "model.safetensors"):
        session = Session(path, make_model().tokenizer)
        assert session.model.format is Format.CONSOLE and session.model.path == folder
        assert story(session)


@pytest.mark.filterwarnings("ignore::xenon.notes.XenonWarning")
def test_the_context_is_the_one_asked_for(gguf: Path) -> None:
    assert Session(gguf).decision.context == gguf_files.CONTEXT
    assert Session(gguf, setup=Setup(context=20)).model.config.seq_len == 20
    with pytest.raises(XenonError, match=f"context 500, expected 1 to {gguf_files.CONTEXT}"):
        Session(gguf, setup=Setup(context=500))


def test_a_model_that_no_memory_holds_is_refused(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_model, "RAM_BYTES", 1 << 16)
    with pytest.raises(XenonError, match=r"m\.gguf: takes .*, and the console has 64 KiB"):
        Session(gguf)


def test_commands_take_it_with_a_note(gguf: Path, tmp_path: Path) -> None:
    told = run_command("generate", "-m", gguf, "-t", "0", "-n", "12", "a bee")
    assert told.returncode == 0 and told.stdout.startswith(b"a bee")
    note = b"is made into the console's file in memory, with a context of 128"
    assert told.stderr.count(note) == 1
    checked = run_command("verify", gguf, "-n", "2", "--engine", "cpu")
    assert (checked.returncode, checked.stdout.splitlines()[-1][-11:]) == (0, b"none failed"), checked.stdout


def test_a_damaged_file_ends_in_a_line(gguf: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "d.gguf"
    damaged.write_bytes(gguf.read_bytes()[:-100])
    told = run_command("generate", "-m", damaged, "a bee")
    assert told.returncode == 1
    assert told.stderr.startswith(b"error: ") and b"Traceback" not in told.stderr
