"""Reads a `tokenizer.json` of Hugging Face's `tokenizers`: byte-level BPE, and what either kind consists of.

The file is plain JSON. Everything in it that changes how a text is encoded is either understood or refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from loader.byte_level import LETTERS, describe
from loader.byte_pairs import BytePairTokenizer, PreTokenizer, SpecialKind, byte_pair_tokenizer
from loader.errors import LoaderError
from loader.source import Source
from loader.tokens import MAX_FILE, MAX_PIECES

Json = Mapping[str, object]
_HINT = "expected a tokenizer.json with BPE over bytes, or of SentencePiece's kind with byte fallback"
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
EXPRESSIONS = {
    _CONTRACTIONS + _WORDS + r"|\p{N}{1,3}" + _REST: PreTokenizer.LLAMA_3,
    _CONTRACTIONS + _WORDS + r"|\p{N}" + _REST: PreTokenizer.QWEN_2,
}


def read_root(source: Source) -> Json:
    """The object that a tokenizer.json consists of. Raises LoaderError."""
    if source.size > MAX_FILE:
        raise LoaderError(f"{source.path}: {source.size} bytes, expected a tokenizer of at most {MAX_FILE}")
    try:
        root = json.loads(source.read(0, source.size), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number or a nesting without end
        raise LoaderError(f"{source.path}: no JSON: {error}", _HINT) from None
    source.check_unchanged()
    if not isinstance(root, dict):
        raise LoaderError(f"{source.path}: JSON, but no object", _HINT)
    return root


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise ValueError(f"the name {name!r} twice in an object")
            names.add(name)
    return values


class JsonReader:
    """The root of a tokenizer.json and what is made of it."""

    def __init__(self, root: Json, source: Source) -> None:
        self._root = root
        self._source = source

    def byte_pairs(self) -> BytePairTokenizer:
        """The tokenizer of byte-level BPE. Raises LoaderError for anything that the guest does not have."""
        self._check_normalizer()
        model = self._object(self._root, "model", "model")
        tokens = self._tokens(model)
        self._check_model(model)
        self._check_unknown(model, tokens)
        special = self._special(tokens)
        beginning = self._beginning()
        if beginning is not None and beginning not in special:
            raise self._refuse("post_processor", f"{beginning!r} is no added token")
        described = describe(
            tokens,
            self._merges(model),
            special,
            self._pre_tokenizer(),
            lambda what: self._refuse("model", what),
            begin=None if beginning is None else special[beginning][0],
            add_begin=beginning is not None,
            whole_pieces=model.get("ignore_merges") is True,
        )
        return byte_pair_tokenizer(self._source, described)

    def _refuse(self, where: str, what: str) -> LoaderError:
        return LoaderError(f"{self._source.path}: {where}: {what}", _HINT)

    def _object(self, parent: Json, key: str, where: str) -> Json:
        value = parent.get(key)
        if not isinstance(value, dict):
            raise self._refuse(where, "is missing" if value is None else "is no object")
        return cast(Json, value)

    def _list(self, parent: Json, key: str, where: str) -> list[object]:
        value = parent.get(key)
        if not isinstance(value, list):
            raise self._refuse(where, "is missing" if value is None else "is no array")
        return value

    def _check_normalizer(self) -> None:
        """Composing normalisation is left to whoever writes the text; any other changes what it says."""
        normalizer = self._root.get("normalizer")
        kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
        if kind not in (None, "NFC"):
            raise self._refuse("normalizer", f"{kind!r}, expected none or 'NFC'")

    def _check_model(self, model: Json, *allowed: str) -> None:
        """Raises LoaderError for an option that changes how a text is encoded and is not `allowed`."""
        if model.get("type", "BPE") != "BPE":
            raise self._refuse("model.type", f"kind of tokenizer {model['type']!r}, expected 'BPE'")
        for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
            if key not in allowed and model.get(key) not in (None, "", False, 0):
                raise self._refuse(f"model.{key}", f"{model[key]!r}, expected none")

    def _check_unknown(self, model: Json, tokens: Mapping[str, int]) -> None:
        if model.get("unk_token") and not all(letter in tokens for letter in LETTERS):
            raise self._refuse(
                "model.unk_token", f"{model['unk_token']!r}, and bytes without a token, which it stands for"
            )

    def _tokens(self, model: Json) -> dict[str, int]:
        vocabulary = self._object(model, "vocab", "model.vocab")
        tokens: dict[str, int] = {}
        numbers: dict[int, str] = {}
        for token, number in vocabulary.items():
            tokens[token] = self._number(number, "model.vocab", token)
            if numbers.setdefault(tokens[token], token) != token:
                raise self._refuse("model.vocab", f"{token!r}: {number} is {numbers[tokens[token]]!r}")
        return tokens

    def _number(self, value: object, where: str, token: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_PIECES:
            raise self._refuse(where, f"{token!r}: {value!r}, expected 0 to {MAX_PIECES - 1}")
        return value

    def _merges(self, model: Json) -> list[tuple[str, str]]:
        merges = []
        for rank, merge in enumerate(self._list(model, "merges", "model.merges")):
            pair = merge.split(" ") if isinstance(merge, str) else merge
            if (
                not isinstance(pair, list)
                or len(pair) != 2
                or not all(isinstance(p, str) and p for p in pair)
            ):
                raise self._refuse("model.merges", f"merge {rank}, {merge!r}: expected two tokens")
            merges.append((pair[0], pair[1]))
        return merges

    def _special(self, tokens: Mapping[str, int]) -> dict[str, tuple[int, SpecialKind]]:
        special: dict[str, tuple[int, SpecialKind]] = {}
        names = {number: token for token, number in tokens.items()}
        added = self._root.get("added_tokens") or []
        if not isinstance(added, list):
            raise self._refuse("added_tokens", "is no array")
        for place, entry in enumerate(added):
            where = f"added_tokens[{place}]"
            if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
                raise self._refuse(where, "has no content")
            text = str(entry["content"])
            number = self._number(entry.get("id"), where, text)
            if not text or text in special or names.setdefault(number, text) != text:
                raise self._refuse(where, f"{text!r}, token {number}: is empty, or there already")
            if tokens.get(text, number) != number:
                raise self._refuse(where, f"{text!r}, token {number}: is token {tokens[text]} of the model")
            for option in ("lstrip", "rstrip", "single_word"):
                if entry.get(option):
                    raise self._refuse(where, f"{text!r}: {option}, expected none")
            kind = SpecialKind.CONTROL if entry.get("special") is True else SpecialKind.USER_DEFINED
            special[text] = (number, kind)
        return special

    def _pre_tokenizer(self) -> PreTokenizer:
        steps = self._steps("pre_tokenizer", "pretokenizers")
        *before, last = steps or [{}]
        byte_level = last.get("type") == "ByteLevel" and not last.get("add_prefix_space")
        expression = last.get("use_regex", True) is True
        if byte_level and expression and not before:
            return PreTokenizer.GPT_2
        if byte_level and len(before) == 1:
            first = before[0]
            if expression and first.get("type") == "Digits" and first.get("individual_digits") is True:
                return PreTokenizer.SMOLLM
            pattern = first.get("pattern")
            regex = pattern.get("Regex") if isinstance(pattern, dict) else None
            isolates = first.get("behavior") == "Isolated" and not first.get("invert")
            if not expression and first.get("type") == "Split" and isolates and regex in EXPRESSIONS:
                return EXPRESSIONS[str(regex)]
        known = ", ".join(kind.label for kind in PreTokenizer)
        found = ", ".join(str(step.get("type")) for step in steps) or "none"
        raise self._refuse("pre_tokenizer", f"{found}: not known; known are those of {known}")

    def _beginning(self) -> str | None:
        """The token that the post-processor puts before a text."""
        beginning: str | None = None
        for step in self._steps("post_processor", "processors"):
            if step.get("type") == "ByteLevel":
                continue
            single = step.get("single")
            if step.get("type") != "TemplateProcessing" or not isinstance(single, list):
                raise self._refuse("post_processor", f"{step.get('type')!r}: not known")
            match single:
                case [{"Sequence": {"id": "A"}}]:
                    pass
                case [{"SpecialToken": {"id": str(token)}}, {"Sequence": {"id": "A"}}]:
                    beginning = token
                case _:
                    raise self._refuse("post_processor", "a template that does more than begin a text")
        return beginning

    def _steps(self, key: str, plural: str) -> list[Json]:
        """The steps of a sequence, or the only one; none for null."""
        value = self._root.get(key)
        if value is None:
            return []
        steps = [value]
        if isinstance(value, dict) and value.get("type") == "Sequence":
            steps = self._list(value, plural, f"{key}.{plural}")
        for step in steps:
            if not isinstance(step, dict):
                raise self._refuse(key, "is no object")
        return cast(list[Json], steps)
