"""Reads a `tokenizer.json` that was made of a SentencePiece model, as Llama's, as pieces with scores.

Merges by rank become scores by piece. That is the same where every two pieces that make a third one merge,
and where the merges that make one piece stand together, as in all files that were made of SentencePiece's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loader.errors import LoaderError
from loader.pieces import PieceTokenizer
from loader.scored_pieces import BOS, NEVER, SPACE, check_bytes, check_plain, scored_tokenizer
from loader.source import Source
from loader.tokenizer_json import JsonReader, read_root
from loader.tokens import Tokenizer

_WHERE = {"tokens": "model.vocab", "scores": "model.merges"}


def json_tokenizer(source: Source) -> Tokenizer:
    """The tokenizer in a tokenizer.json. Raises LoaderError for anything that the guest does not have."""
    root = read_root(source)
    if is_scored(root):
        return _ScoredReader(root, source).scored()
    return JsonReader(root, source).byte_pairs()


def is_scored(root: Mapping[str, object]) -> bool:
    """Whether a tokenizer.json is of SentencePiece's kind: what it does not know falls back to bytes."""
    model = root.get("model")
    return isinstance(model, dict) and model.get("byte_fallback") is True


class _ScoredReader(JsonReader):
    def scored(self) -> PieceTokenizer:
        model = self._object(self._root, "model", "model")
        self._check_model(model, "byte_fallback")
        if model.get("ignore_merges"):
            raise self._refuse("model.ignore_merges", "true, expected false")
        tokens = self._tokens(model)
        special = self._special(tokens)
        for text, (number, _) in special.items():
            tokens[text] = number
        texts = self._in_order(tokens)
        self._check_spaces(texts)
        check_bytes(texts, self._of_pieces)
        check_plain(texts, self._of_pieces)
        self._check_special(special, texts)
        scores = self._scores(self._merges(model), tokens)
        return scored_tokenizer(
            self._source, texts, [scores.get(text, NEVER) for text in texts], self._of_pieces
        )

    def _of_pieces(self, key: str, what: str) -> LoaderError:
        return self._refuse(_WHERE[key], what)

    def _in_order(self, tokens: Mapping[str, int]) -> list[str]:
        """The tokens by number, none missing."""
        texts = sorted(tokens, key=tokens.__getitem__)
        for number, text in enumerate(texts):
            if tokens[text] != number:
                raise self._refuse("model.vocab", f"token {number} is missing")
        return texts

    def _check_special(self, special: Mapping[str, tuple[int, object]], texts: Sequence[str]) -> None:
        """Control tokens count nowhere in a text from a user; others would have to be cut out of it."""
        added = self._root.get("added_tokens")
        for entry in added if isinstance(added, list) else []:
            if entry.get("special") is not True and entry["content"] not in texts[: BOS + 2]:
                raise self._refuse(
                    "added_tokens",
                    f"{entry['content']!r} counts in every text, which pieces with scores have not",
                )
        beginning = self._beginning()
        if beginning is None or special.get(beginning, (None, None))[0] != BOS:
            raise self._refuse(
                "post_processor", f"a text begins with {beginning or 'no token'!r}, expected token {BOS}"
            )

    def _check_spaces(self, texts: Sequence[str]) -> None:
        """A space before each text, and spaces as SentencePiece has them."""
        steps = self._steps("normalizer", "normalizers")
        splits = self._steps("pre_tokenizer", "pretokenizers")
        if steps:
            prepend = {"type": "Prepend", "prepend": SPACE}
            replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
            if [dict(step) for step in steps] != [prepend, replace] or splits:
                kinds = ", ".join(str(step.get("type")) for step in (*steps, *splits))
                raise self._refuse(
                    "normalizer", f"{kinds}: expected a space put before a text, then {SPACE!r} for spaces"
                )
            return
        split = splits[0] if len(splits) == 1 else {}
        before = split.get("prepend_scheme", "always" if split.get("add_prefix_space", True) else "never")
        if split.get("type") != "Metaspace" or split.get("replacement") != SPACE:
            kinds = ", ".join(str(step.get("type")) for step in splits) or "none"
            raise self._refuse("pre_tokenizer", f"{kinds}: expected Metaspace, as byte fallback goes with it")
        if before not in ("always", "first"):
            raise self._refuse("pre_tokenizer", f"prepend_scheme {before!r}, expected 'always' or 'first'")
        within = next((text for text in texts if SPACE in text[1:]), None)
        if split.get("split", True) and within is not None:
            raise self._refuse("pre_tokenizer", f"splits at spaces, which token {within!r} has inside")

    def _scores(self, merges: Sequence[tuple[str, str]], tokens: Mapping[str, int]) -> dict[str, float]:
        """The less the later a piece's merges stand; none for pieces that nothing merges to."""
        scores: dict[str, float] = {}
        last = ""
        for rank, pair in enumerate(merges):
            made = "".join(pair)
            for text in (*pair, made):
                if text not in tokens:
                    raise self._refuse("model.merges", f"merge {rank}, {pair!r}: {text!r} is no token")
            if made != last and made in scores:
                raise self._refuse(
                    "model.merges",
                    f"merge {rank} makes {made!r} again, after other pieces: no score says that",
                )
            scores.setdefault(made, -float(len(scores)))
            last = made
        known = set(merges)
        for made in scores:
            for place in range(1, len(made)):
                pair = made[:place], made[place:]
                if pair not in known and pair[0] in tokens and pair[1] in tokens:
                    raise self._refuse(
                        "model.merges",
                        f"{pair[0]!r} and {pair[1]!r} make {made!r} and do not merge: no score says that",
                    )
        return scores
