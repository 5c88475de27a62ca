"""Models as bytes: llama2.c's checkpoints and tokenizers in either byte order. Knows nothing of consoles.

import loader

model = loader.open("stories15M.bin")
model.config.dim, model.byte_order, model.array("wq").shape
loader.convert("stories15M.bin", "stories15M.be.bin", loader.ByteOrder.BIG)
"""

from loader.byte_pairs import BytePairTokenizer
from loader.c64 import plan_c64
from loader.c64_weights import C64Model
from loader.checkpoints import Recipe
from loader.checksum import sha256
from loader.conversion import Conversion, FileKind, convert, default_target, plan, plan_checkpoint, write
from loader.conversion import check as check_outputs
from loader.errors import LoaderCode, LoaderError
from loader.exporting import plan_folder, plan_gguf
from loader.facts import Facts, c64_config_facts, facts, legible, piece_facts, tensor_facts
from loader.gguf.file import Gguf
from loader.held import HeldModel, own_tokenizer
from loader.image import Image
from loader.kinds import ByteOrder, Format
from loader.layout import Config, Tensor
from loader.model import Model
from loader.safetensors.folder import HuggingFaceFolder
from loader.search import check_vocabulary, find_tokenizer, open_any, weights
from loader.search import open_model as open
from loader.tensor_types import TensorType
from loader.tokenizer import open_tokenizer
from loader.tokenizer_gguf import gguf_tokenizer, tokenizer_of_gguf
from loader.tokens import Piece, Tokenizer, TokenizerKind
from loader.weights import Weights

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
