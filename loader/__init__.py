"""Models as bytes: llama2.c's checkpoints and tokenizers in either byte order. Knows nothing of consoles.

import loader

model = loader.open("stories15M.bin")
model.config.dim, model.byte_order, model.array("wq").shape
loader.convert("stories15M.bin", "stories15M.be.bin", loader.ByteOrder.BIG)
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, whose import takes longer than all of this
if TYPE_CHECKING:
    from loader.byte_pairs import BytePairTokenizer
    from loader.c64 import plan_c64
    from loader.c64_weights import C64Model
    from loader.checkpoints import Recipe
    from loader.checksum import sha256
    from loader.conversion import Conversion, FileKind, convert, default_target, plan, plan_checkpoint, write
    from loader.conversion import check as check_outputs
    from loader.errors import LoaderCode, LoaderError
    from loader.exporting import plan_folder, plan_gguf
    from loader.file_facts import Facts, c64_config_facts, facts, legible, piece_facts, tensor_facts
    from loader.gguf.file import Gguf
    from loader.held import HeldModel, own_tokenizer
    from loader.image import Image
    from loader.kinds import ByteOrder, Format
    from loader.layout import Config, Tensor
    from loader.model import Model
    from loader.named_weights import Weights
    from loader.safetensors.folder import HuggingFaceFolder
    from loader.search import check_vocabulary, find_tokenizer, open_any, weights
    from loader.search import open_model as open
    from loader.tensor_types import TensorType
    from loader.tokenizer import open_tokenizer
    from loader.tokenizer_gguf import gguf_tokenizer, tokenizer_of_gguf
    from loader.tokens import Piece, Tokenizer, TokenizerKind

__all__ = [
    "ByteOrder",
    "BytePairTokenizer",
    "C64Model",
    "Config",
    "Conversion",
    "Facts",
    "FileKind",
    "Format",
    "Gguf",
    "HeldModel",
    "HuggingFaceFolder",
    "Image",
    "LoaderCode",
    "LoaderError",
    "Model",
    "Piece",
    "Recipe",
    "Tensor",
    "TensorType",
    "Tokenizer",
    "TokenizerKind",
    "Weights",
    "c64_config_facts",
    "check_outputs",
    "check_vocabulary",
    "convert",
    "default_target",
    "facts",
    "find_tokenizer",
    "gguf_tokenizer",
    "legible",
    "open",
    "open_any",
    "open_tokenizer",
    "own_tokenizer",
    "piece_facts",
    "plan",
    "plan_c64",
    "plan_checkpoint",
    "plan_folder",
    "plan_gguf",
    "sha256",
    "tensor_facts",
    "tokenizer_of_gguf",
    "weights",
    "write",
]

_HOMES = {
    "ByteOrder": "loader.kinds",
    "BytePairTokenizer": "loader.byte_pairs",
    "C64Model": "loader.c64_weights",
    "Config": "loader.layout",
    "Conversion": "loader.conversion",
    "Facts": "loader.file_facts",
    "FileKind": "loader.conversion",
    "Format": "loader.kinds",
    "Gguf": "loader.gguf.file",
    "HeldModel": "loader.held",
    "HuggingFaceFolder": "loader.safetensors.folder",
    "Image": "loader.image",
    "LoaderCode": "loader.errors",
    "LoaderError": "loader.errors",
    "Model": "loader.model",
    "Piece": "loader.tokens",
    "Recipe": "loader.checkpoints",
    "Tensor": "loader.layout",
    "TensorType": "loader.tensor_types",
    "Tokenizer": "loader.tokens",
    "TokenizerKind": "loader.tokens",
    "Weights": "loader.named_weights",
    "c64_config_facts": "loader.file_facts",
    "check_outputs": "loader.conversion",
    "check_vocabulary": "loader.search",
    "convert": "loader.conversion",
    "default_target": "loader.conversion",
    "facts": "loader.file_facts",
    "find_tokenizer": "loader.search",
    "gguf_tokenizer": "loader.tokenizer_gguf",
    "legible": "loader.file_facts",
    "open": "loader.search",
    "open_any": "loader.search",
    "open_tokenizer": "loader.tokenizer",
    "own_tokenizer": "loader.held",
    "piece_facts": "loader.file_facts",
    "plan": "loader.conversion",
    "plan_c64": "loader.c64",
    "plan_checkpoint": "loader.conversion",
    "plan_folder": "loader.exporting",
    "plan_gguf": "loader.exporting",
    "sha256": "loader.checksum",
    "tensor_facts": "loader.file_facts",
    "tokenizer_of_gguf": "loader.tokenizer_gguf",
    "weights": "loader.search",
    "write": "loader.conversion",
}
_OWN_NAMES = {"check_outputs": "check", "open": "open_model"}  # in their modules


def __getattr__(name: str) -> object:
    """Imports what is first asked for: a command starts without the formats that it does not read."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), _OWN_NAMES.get(name, name))
    globals()[name] = value
    return value
