"""Makes the table of character classes that the guest's pre-tokenizers use: llama2c/src/char_classes.def.

    pip install tokenizers==0.23.3
    python scripts/tables/char_classes.py > llama2c/src/char_classes.def

It asks the `tokenizers` package for every code point, since that package is what the guest has to agree with.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tokenizers import Regex, pre_tokenizers

CHUNK = 4096  # code points asked for in one text
EVERY_CODE_POINT = [*range(0xD800), *range(0xE000, 0x110000)]
HEADER = """\
// Ranges of code points that are no CLASS_OTHER, in their order, by the package tokenizers {version}.
// Made by scripts/tables/char_classes.py.
"""


def matching(splitter: pre_tokenizers.PreTokenizer) -> set[int]:
    """The code points that `splitter` removes from a text of all of them."""
    matches: set[int] = set()
    for start in range(0, len(EVERY_CODE_POINT), CHUNK):
        text = "".join(map(chr, EVERY_CODE_POINT[start : start + CHUNK]))
        pieces = [piece for piece, _ in splitter.pre_tokenize_str(text)]
        matches |= {ord(character) for character in text} - {ord(c) for piece in pieces for c in piece}
    return matches


def expression(pattern: str) -> set[int]:
    return matching(pre_tokenizers.Split(Regex(pattern), "removed"))


def digits() -> set[int]:
    """What Digits splits off: the code points that do not stay with a letter before them."""
    splitter = pre_tokenizers.Digits(individual_digits=True)
    return {code for code in EVERY_CODE_POINT if len(splitter.pre_tokenize_str("a" + chr(code))) == 2}


def rows() -> Iterator[str]:
    """The rows of the table."""
    numbers = expression(r"\p{N}")
    classes = {
        **dict.fromkeys(digits() - numbers, "DIGIT_ONLY"),
        **dict.fromkeys(numbers, "NUMBER"),
        **dict.fromkeys(expression(r"\p{L}"), "LETTER"),
        **dict.fromkeys(expression(r"\s"), "SPACE"),
    }
    # Neighbours of one class have one key: their code point less their place among all.
    for (name, _), group in groupby(
        enumerate(sorted(classes)), lambda item: (classes[item[1]], item[1] - item[0])
    ):
        codes = [code for _, code in group]
        yield f"RANGE(0x{codes[0]:04x}, 0x{codes[-1]:04x}, {name})"


def main() -> None:
    from importlib.metadata import version

    print(HEADER.format(version=version("tokenizers")), end="")
    line = ""
    for row in rows():
        if len(line) + 1 + len(row) > 120:
            print(line)
            line = row
        else:
            line = f"{line} {row}".strip()
    print(line)
    print("\n#undef RANGE")


if __name__ == "__main__":
    main()
