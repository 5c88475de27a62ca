"""Trains the bundled story model: corpus, tokenizer, model, export. The same seed gives the same training."""

from __future__ import annotations

import json
import math
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from story_details import repeated_details
from story_grammar import stories

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor
    from story_model import StoryModel

HELP = """Train the bundled story model and export it.

Writes the little-endian llama2.c files OUT/joe260K.bin and OUT/tok512.bin, and the big-endian copies that the
console reads, OUT/joe260K.be.bin and OUT/tok512.be.bin (the same bytes that `xenon-llm convert` makes). A
training that was cut off goes on from its last checkpoint in OUT when the same command is given again.

\b
Examples:
  python scripts/training/train_story_model.py --out /tmp/story
  python scripts/training/train_story_model.py --out /tmp/small --stories 2000 --steps 100
  python scripts/training/train_story_model.py --out /tmp/story --sample "Sleepy Joe said" --count 5
"""
BOS, MIN_TOKENS, MAX_TOKENS = 1, 100, 230
SHORT_ROW, LONG_ROW = (
    232,
    512,
)  # a whole story; every 16th batch has long rows, so that all positions are trained
HELD_OUT_SEED_OFFSET = 1_000_003

app = typer.Typer(add_completion=False)


def say(message: str) -> None:
    """Progress goes to stderr."""
    print(message, file=sys.stderr, flush=True)


def fail(message: str, hint: str) -> typer.Exit:
    """An error and the next step."""
    print(f"error: {message}\nhint: {hint}", file=sys.stderr)
    return typer.Exit(1)


def train_tokenizer(texts: list[str], prefix: Path) -> SentencePieceProcessor:
    """A BPE tokenizer of 512 pieces with llama2.c's settings (tinystories.py, train_vocab)."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(prefix),
        model_type="bpe",
        vocab_size=512,
        character_coverage=1.0,
        num_threads=1,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        byte_fallback=True,
        unk_surface=r" \342\201\207 ",
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")


def encode(tokenizer: SentencePieceProcessor, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """All stories of fitting length, each BOS and its tokens, one after another; and where each starts."""
    kept = [ids for ids in tokenizer.encode(texts) if MIN_TOKENS <= len(ids) <= MAX_TOKENS]
    starts = np.cumsum([0] + [len(ids) + 1 for ids in kept])
    flat = np.empty(int(starts[-1]), dtype=np.int16)
    for start, ids in zip(starts, kept, strict=False):
        flat[start] = BOS
        flat[start + 1 : start + 1 + len(ids)] = ids
    return flat, starts[:-1]


def at(starts: np.ndarray, which: np.ndarray, length: int) -> np.ndarray:
    """(len(which), length + 1) positions, each row from the start of a story on."""
    positions: np.ndarray = starts[which][:, None] + np.arange(length + 1)
    return positions


def rows(flat: np.ndarray, starts: np.ndarray, which: np.ndarray, length: int) -> np.ndarray:
    """(len(which), length + 1) tokens, each row from the start of a story on."""
    tokens: np.ndarray = flat[at(starts, which, length)].astype(np.int64)
    return tokens


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warmup, then a cosine to 2% of the peak."""
    warmup = min(200, steps // 10 + 1)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.49 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def prepare(
    out: Path, seed: int, count: int, held_out: int, start: Path | None
) -> tuple[SentencePieceProcessor, dict[str, np.ndarray]]:
    """The tokenizer and the encoded corpus, made once and then read from OUT."""
    import sentencepiece

    model_file, corpus_file = out / "tok512.model", out / "corpus.npz"
    if corpus_file.exists():
        return sentencepiece.SentencePieceProcessor(model_file=str(model_file)), dict(np.load(corpus_file))
    say(f"generating {count} stories")
    texts = [story.text for story in islice(stories(seed), count)]
    known = set(texts)
    test = [
        story.text
        for story in islice(stories(seed + HELD_OUT_SEED_OFFSET), held_out)
        if story.text not in known
    ]
    if start is None:
        tokenizer = train_tokenizer(texts[:30000], out / "tok512")
    else:
        model_file.write_bytes((start / "tok512.model").read_bytes())
        tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    corpus: dict[str, np.ndarray] = {}
    for name, part in (("train", texts), ("test", test)):
        corpus[name], corpus[f"{name}_starts"] = encode(tokenizer, part)
        say(f"{name}: {len(part)} stories, {len(corpus[f'{name}_starts'])} kept, {len(corpus[name])} tokens")
    np.savez(corpus_file, allow_pickle=True, **corpus)
    return tokenizer, corpus


def held_out_loss(
    model: StoryModel, corpus: dict[str, np.ndarray], part: str = "test", count: int = 128
) -> float:
    """Loss of the first `count` stories of a part, rows of 232, in nats per token."""
    import torch

    starts = corpus[f"{part}_starts"]
    usable = np.flatnonzero(starts + SHORT_ROW < len(corpus[part]))[:count]
    with torch.no_grad():
        losses = [
            model.loss(torch.from_numpy(rows(corpus[part], starts, some, SHORT_ROW)))
            for some in np.array_split(usable, max(1, len(usable) // 8))
        ]
    return float(torch.stack(losses).mean())


def train(
    model: StoryModel,
    corpus: dict[str, np.ndarray],
    out: Path,
    seed: int,
    steps: int,
    batch: int,
    peak: float,
    detail: float = 1.0,
    repeated: np.ndarray | None = None,
) -> None:
    """Train in place; a checkpoint every 250 steps. Tokens marked in `repeated` count `detail` times."""
    import torch

    hidden = [p for name, p in model.named_parameters() if p.dim() == 2 and not name.startswith("tok")]
    rest = [p for name, p in model.named_parameters() if p.dim() != 2 or name.startswith("tok")]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(hidden, lr=peak, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=peak, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    checkpoint, first, spent = out / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        first, spent = saved["step"], saved["seconds"]
        say(f"resuming at step {first}")
    begun, recent = time.monotonic() - spent, []
    flat, starts = corpus["train"], corpus["train_starts"]
    usable = len(starts) - 1 - int(np.searchsorted(-starts[::-1], LONG_ROW - len(flat)))
    for step in range(first, steps):
        rate = learning_rate(step, steps, peak)
        for group in [group for optimizer in optimizers for group in optimizer.param_groups]:
            group["lr"] = rate
        length, size = (LONG_ROW, batch // 2) if step % 16 == 15 else (SHORT_ROW, batch)
        which = np.random.default_rng([seed, step]).integers(0, usable, size)
        weights = None
        if repeated is not None:
            weights = torch.from_numpy(1.0 + (detail - 1.0) * repeated[at(starts, which, length)[:, 1:]])
        loss = model.loss(torch.from_numpy(rows(flat, starts, which, length)), weights)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        recent.append(loss.item())
        done = step + 1
        if done % 100 == 0 or done == steps:
            say(
                f"step {done}/{steps} loss {np.mean(recent[-100:]):.4f} "
                f"rate {rate:.5f} {time.monotonic() - begun:.0f} s"
            )
        if done % 250 == 0 or done == steps:
            state = {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "step": done,
                "seconds": time.monotonic() - begun,
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            say(f"step {done}/{steps} held-out loss {held_out_loss(model, corpus):.4f}")
    report = {
        "steps": steps,
        "batch": batch,
        "peak": peak,
        "seed": seed,
        "seconds": round(time.monotonic() - begun),
        "train_loss": held_out_loss(model, corpus, "train", 1024),
        "held_out_loss": held_out_loss(model, corpus, "test", 1024),
    }
    say(json.dumps(report))


@app.command(help=HELP)
def main(
    out: Annotated[Path, typer.Option(help="Folder for the files and the checkpoint.")],
    seed: Annotated[int, typer.Option(help="Seed of the corpus, the first weights and the batches.")] = 360,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 8000,
    batch: Annotated[int, typer.Option(help="Rows of 232 tokens a step.")] = 8,
    peak: Annotated[float, typer.Option(help="Highest learning rate.")] = 0.003,
    story_count: Annotated[int, typer.Option("--stories", help="Stories in the corpus.")] = 80_000,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the tokenizer and weights of the training in this folder.")
    ] = None,
    detail: Annotated[
        float,
        typer.Option(
            help="How much a detail that the story had before (a colour, a place) counts in the loss."
        ),
    ] = 1.0,
    threads: Annotated[int, typer.Option(help="Torch threads.")] = 1,
    sample: Annotated[
        str | None, typer.Option(help="Do not train: continue this prompt with the model in OUT.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="For --sample; 0 takes the likeliest token.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="For --sample.")] = 0.9,
    count: Annotated[
        int, typer.Option(help="For --sample: how many, with the seeds SEED, SEED + 1, ...")
    ] = 1,
) -> None:
    try:
        import sentencepiece
        import torch
    except ImportError as error:
        raise fail(f"{error.name} is not installed", "pip install 'xenon-llm[train]'") from None
    from story_export import write_big_endian, write_model, write_tokenizer
    from story_model import Shape, StoryModel
    from story_model import sample as draw

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = StoryModel(Shape())
    if sample is not None:
        if not (out / "checkpoint.pt").exists():
            raise fail(f"{out / 'checkpoint.pt'}: not found", "train first: leave --sample out")
        model.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True)["model"])
        tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(out / "tok512.model"))
        prompt = [BOS, *tokenizer.encode(sample)]
        for number in range(seed, seed + count):
            story = draw(model, prompt, number, temperature, top_p)
            print(f"[seed {number}] {tokenizer.decode(prompt + story)}")
        return
    out.mkdir(parents=True, exist_ok=True)
    tokenizer, corpus = prepare(out, seed, story_count, min(4000, story_count), start)
    say(f"{sum(p.numel() for p in model.parameters())} parameters")
    if start is not None:
        model.load_state_dict(torch.load(start / "checkpoint.pt", weights_only=True)["model"])
    repeated = None if detail == 1 else repeated_details(corpus["train"], tokenizer)
    train(model, corpus, out, seed, steps, batch, peak, detail, repeated)
    for name, write, what in (("joe260K", write_model, model), ("tok512", write_tokenizer, tokenizer)):
        write(what, out / f"{name}.bin")
        write_big_endian(out / f"{name}.bin", out / f"{name}.be.bin")
        say(f"wrote {out / name}.bin and {out / name}.be.bin")


if __name__ == "__main__":
    app()
