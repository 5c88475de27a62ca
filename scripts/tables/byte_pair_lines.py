"""Makes tests/data/byte_pairs: small vocabularies of every pre-tokenizer, and lines with their tokens.

    pip install tokenizers==0.23.3
    python scripts/tables/byte_pair_lines.py

The package `tokenizers` trains the vocabularies on the text below and is the judge of the lines.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from loader.byte_level import LETTERS
from loader.byte_pairs import PreTokenizer
from loader.tokenizer_json import EXPRESSIONS

TARGET = Path(__file__).resolve().parents[2] / "tests" / "data" / "byte_pairs"
MISSING_BYTES = (0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xC0, 0xC1, 0xF1, 0xF2, *range(0xF5, 0x100))
SPECIAL = ["<|end|>", "<|begin|>", "<|begin", "<|sep|>"]
USER_DEFINED = ["<tool>", "[[", "[[x"]
TEXT = """\
The console wakes when the smallest light turns green, and the fan draws one long breath.
It's cold in the workshop; we've soldered since nine, and I'm sure they'd say it won't hold.
"Don't hurry," she said. "They'll read the big end first, that's all you're asked to do."
In 2005 it had 512 MiB, three cores, 3.2 GHz and 48 shaders; 10,000 hours later it hasn't failed.
  two blanks, then    four, then\ta tab,\r\n\r\nand two line ends.
for (int i = 0; i < n; i++) { x[i] += w[i] * y; }  // sums in order
Die Größe ändert sich nicht, außer über Nacht; où est-ce qu'il a été, déjà là?
Процессор читает старший байт первым. Ο επεξεργαστής ξεκινά αργά.
処理装置は大きい方から読む。프로세서는 큰 쪽부터 읽는다. المعالج يقرأ البايت الأول
Yes!!! No??? Maybe... (perhaps) [never] {always} <soon> 🎈🎈 👩‍👩‍👧 ✨
"""
LINES = [
    *("", " ", "  ", "\t", "\n", "\r\n", "\n\n", "a", "1", ".", "'", "\0", "a\0b", "\x04"),
    *("!\x04!", "\x04\x06"),
    *TEXT.splitlines(),
    *("'s 't 're 've 'm 'll 'd", "'S 'T 'RE 'vE 'M 'lL 'D", "it's IT'S it'S"),
    *("'st 'll' 'l 'r 'v ''s", "x'ſ 'ſ ſ"),
    *("world 12", "a  1", "a  b", "a   1  2   b", "1234567", "12 345 6", "½²٣四Ⅷ", "x²y³"),
    *("3.14e-10", "\U00011de0\U00016ff4 1"),
    *("a\u00a0b", "a \u2003b", "\u3000x", "x\u0085y", "a \n b", "a \n\n  b", " \n", "\n "),
    *("x\n\n\ny", "end  "),
    *("e\u0301te\u0301", "\u0301x", "क्षि", "\u200dx", "\ufeffx", "\ufffd", "\ud7ff\ue000"),
    *("\U0010ffff", "\U00040000 x", "!!\U00040000!!"),
    *("a_b-c/d", "...\n", "...\r\n\r\nx", "?!\n x", "$x", "\tx", "#tag @name", "'x 'xs"),
    *("-1", " -1", "<<<>>>"),
    *("<|begin|>user\nHi<|end|>\n", "<|begin", "<|begin|", "<|beg<|end|>", "<|end|><|end|>"),
    *(" <|sep|> ", "a<|sep|>'s"),
    *("<tool>x", "[[", "[[x", "[[[x]]", "<|sep|><tool>[[x<|begin"),
    *("a" * 70, "ab" * 40, " " * 65, "e " * 33, "\n" * 40, "the" * 30),
]  # fmt: skip
RANDOM_LINES = 60


def pre_tokenizer(kind: PreTokenizer) -> pre_tokenizers.PreTokenizer:
    """As the tokenizer.json files of the models have it."""
    if kind is PreTokenizer.GPT_2:
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind is PreTokenizer.SMOLLM:
        first = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([first, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    expression = next(text for text, other in EXPRESSIONS.items() if other is kind)
    split = pre_tokenizers.Split(Regex(expression), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train(kind: PreTokenizer) -> Tokenizer:
    """A vocabulary of some hundred tokens. SmolLM's lacks bytes; Llama 3's has words that no merge makes."""
    missing = MISSING_BYTES if kind is PreTokenizer.SMOLLM else ()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(kind)
    alphabet = [letter for letter, byte in LETTERS.items() if byte not in missing]
    trainer = trainers.BpeTrainer(
        vocab_size=640, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    if kind is PreTokenizer.LLAMA_3:
        tokenizer = with_whole_words(tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(USER_DEFINED)
    return tokenizer


def with_whole_words(tokenizer: Tokenizer) -> Tokenizer:
    """The same with words in the vocabulary that no merge makes, and a token before every text."""
    root = json.loads(tokenizer.to_str())
    vocabulary = root["model"]["vocab"]
    words = {word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(TEXT)}
    for word in sorted(words - vocabulary.keys())[::8]:
        vocabulary[word] = len(vocabulary)
    root["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(root))
    begin = tokenizer.token_to_id("<|begin|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", begin)]
    )
    return tokenizer


def random_lines(rng: random.Random) -> list[str]:
    """Lines of pieces of the lines above, and of code points of every plane."""
    pieces = [*"'sSt1 ½\n\r\t.", "ll", "  ", "<|sep|>", "Ö", "é", "ſ", "四", "\u0301", "\u2028", "🎈"]
    lines = []
    for _ in range(RANDOM_LINES):
        count = rng.randrange(1, 16)
        code_points = [rng.choice((rng.randrange(0x3000), rng.randrange(0xE000, 0x110000))) for _ in range(4)]
        lines.append("".join(rng.choice([*pieces, *map(chr, code_points)]) for _ in range(count)))
    return lines


def encoded(tokenizer: Tokenizer, text: str) -> dict[str, Any]:
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text).ids
    tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(text).ids
    line: dict[str, Any] = {"text": text, "ids": ids}
    if plain != ids:
        line["ids_no_special"] = plain
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    if decoded != text:
        line["decode"] = decoded
    return line


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    lines = [*LINES, *random_lines(random.Random(1))]
    for kind in PreTokenizer:
        tokenizer = train(kind)
        root = json.dumps(json.loads(tokenizer.to_str()), separators=(",", ":"))
        (TARGET / f"{kind.label}.tokenizer.json").write_text(root + "\n")
        rows = ",\n".join(json.dumps(encoded(tokenizer, line), separators=(",", ":")) for line in lines)
        (TARGET / f"{kind.label}.lines.json").write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main()
