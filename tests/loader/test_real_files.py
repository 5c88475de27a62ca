"""llama2.c's own files, where they are at hand: they parse, convert, and return byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import loader
from loader import ByteOrder, Format

MODELS = Path(__file__).parents[3] / "shared" / "models"

pytestmark = pytest.mark.skipif(
    not MODELS.is_dir(), reason="no folder ../shared/models with stories260K.bin and its tokenizers"
)

SHA256 = {
    "stories260K.bin": "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
    "tok512.bin": "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
    "tokenizer32000.bin": "50a52ef822ee9e83de5ce9d0be0a025a773d019437f58b5ff9dcafb063ece361",
}


@pytest.mark.parametrize("name", SHA256)
def test_it_converts_and_returns(name: str, tmp_path: Path) -> None:
    there, back = tmp_path / "be.bin", tmp_path / "le.bin"
    loader.convert(MODELS / name, there, ByteOrder.BIG)
    loader.convert(there, back, ByteOrder.LITTLE)
    assert hashlib.sha256(back.read_bytes()).hexdigest() == SHA256[name]
    assert loader.open_any(there).byte_order is ByteOrder.BIG


def test_stories260k_is_read() -> None:
    model = loader.open(MODELS / "stories260K.bin")
    assert model.format is Format.V0 and model.byte_order is ByteOrder.LITTLE
    assert model.config == loader.Config(64, 172, 5, 8, 4, 512, 512, shared_classifier=True)
    assert model.parameter_count == 260_032
    # RoPE at position 0: cos 0 and sin 0
    assert (model.array("freq_cis_real")[0] == 1).all() and (model.array("freq_cis_imag")[0] == 0).all()


@pytest.mark.parametrize(
    ("name", "pieces", "longest"), [("tok512.bin", 512, 7), ("tokenizer32000.bin", 32000, 27)]
)
def test_tokenizers_are_read(name: str, pieces: int, longest: int) -> None:
    tokenizer = loader.open_tokenizer(MODELS / name)
    assert len(tokenizer) == pieces and tokenizer.max_token_length == longest
    assert [piece.text for piece in tokenizer.pieces[:4]] == [b"<unk>", b"\n<s>\n", b"\n</s>\n", b"<0x00>"]
    assert loader.facts(tokenizer)["byte_fallback_complete"] is True


def test_stories260k_finds_its_tokenizer() -> None:
    assert loader.find_tokenizer(loader.open(MODELS / "stories260K.bin")).path.name == "tok512.bin"


def test_stories260k_lifted_is_aligned(tmp_path: Path) -> None:
    conversion = loader.convert(MODELS / "stories260K.bin", tmp_path / "v1.bin", ByteOrder.BIG, Format.V1)
    assert conversion.aligned
    lifted = loader.open(tmp_path / "v1.bin")
    original = loader.open(MODELS / "stories260K.bin")
    for tensor in lifted.tensors:
        assert (lifted.array(tensor.name) == original.array(tensor.name)).all()
