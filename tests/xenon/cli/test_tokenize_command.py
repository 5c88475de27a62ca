"""`xenon-llm tokenize`: three ways to print, three ways to give the text, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import run_command_text

VOCABULARY = Path(__file__).resolve().parents[2] / "data" / "byte_pairs" / "smollm.tokenizer.json"
LINE = next(
    row
    for row in json.loads(VOCABULARY.with_name("smollm.lines.json").read_text("utf-8"))
    if row["text"] == "<|begin|>user\nHi<|end|>\n"
)


def test_ids_are_those_of_the_judge_with_special_tokens_and_without(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text(LINE["text"] + "\n")  # whose last line end is an editor's
    for options, key in ((["--special"], "ids"), ([], "ids_no_special")):
        result = run_command_text("tokenize", "-z", str(VOCABULARY), "-f", str(file), "--ids", *options)
        assert (result.returncode, result.stderr) == (0, "")
        assert [int(word) for word in result.stdout.split()] == LINE[key]


def test_json_and_lines_show_the_text_of_each_token() -> None:
    words = ["tokenize", "-z", str(VOCABULARY), "--special", LINE["text"]]
    shown = json.loads(run_command_text(*words, "--json").stdout)
    assert shown["count"] == len(LINE["ids"]) == len(shown["tokens"])
    assert "".join(token["text"] for token in shown["tokens"]) == LINE["text"]
    lines = run_command_text(*words).stdout.splitlines()
    assert lines[0] == f'{LINE["ids"][0]:7}  "<|begin|>"'
    assert lines[-1].endswith('"\\n"')


def test_the_bundled_tokenizer_is_taken_where_none_is_named() -> None:
    assert run_command_text("tokenize", "--ids", "Sleepy Joe").stdout.startswith("1 ")


def test_a_command_line_without_a_text_or_with_two_is_refused(tmp_path: Path) -> None:
    for words in ([], ["a", "-f", str(tmp_path)], ["a", "--ids", "--json"]):
        result = run_command_text("tokenize", *words)
        assert result.returncode == 2
        assert result.stderr.startswith("error: ")


def test_a_file_that_is_no_tokenizer_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0", "model": {"type": "WordPiece", "vocab": {}}}')
    result = run_command_text("tokenize", "-z", str(path), "a")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"error: {path}: model.type: kind of tokenizer 'WordPiece', expected 'BPE'",
        "hint: expected a tokenizer.json with BPE over bytes, or of SentencePiece's kind with byte fallback",
    ]
