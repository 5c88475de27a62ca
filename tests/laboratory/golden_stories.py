"""Writes tests/data/golden/joe260K.json: stories of the bundled model by llama2.c's own run.c.

    cd tests && python -m laboratory.golden_stories path/to/run.c "where this run.c comes from"

run.c is not part of this project: https://github.com/karpathy/llama2.c (MIT licence).
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import llama2c
import loader

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden" / "joe260K.json"
COMPILER = ("gcc", "-O2", "-ffp-contract=off")  # no option that changes the order or rounding of sums
JOE = "Sleepy Joe said"


@dataclass(frozen=True)
class Request:
    """The options of one story; steps: positions, the prompt included."""

    prompt: str
    temperature: float
    topp: float
    seed: int
    steps: int


REQUESTS = (
    Request(JOE, 0.0, 0.9, 1, 64),
    Request("", 0.0, 0.9, 1, 32),
    Request("Once upon a time", 0.0, 0.9, 1, 48),
    Request("Grüße, 小さな Joe 🐻", 0.0, 0.9, 1, 64),
    Request(JOE, 0.8, 0.9, 2, 256),
    Request(JOE, 1.0, 0.9, 42, 48),
    Request(JOE, 0.8, 1.0, 1234, 48),
    Request(JOE, 0.5, 0.5, 7, 32),
    Request("", 1.0, 0.9, 42, 48),
    Request("", 1.0, 1.0, 2025, 96),
    Request("Lily saw a", 1.5, 0.95, 9, 64),
    Request("a", 0.7, 0.0, 3, 16),
    Request("Wake up", 0.9, 0.9, 360, 2),
)


def stories(run_c: Path, folder: Path) -> list[str]:
    """What the program writes to standard output for each request, the final newline included."""
    files = folder / "model.bin", folder / "tokenizer.bin"
    little = loader.ByteOrder.LITTLE  # run.c reads the byte order of the computer it runs on
    loader.convert(llama2c.bundled_model(), files[0], little)
    loader.convert(llama2c.bundled_tokenizer(), files[1], little)
    program = folder / "run"
    subprocess.run([*COMPILER, "-o", program, run_c, "-lm"], check=True)
    texts = []
    for request in REQUESTS:
        numbers = {"-t": request.temperature, "-p": request.topp, "-s": request.seed, "-n": request.steps}
        words = [str(word) for pair in numbers.items() for word in pair]
        command = [str(program), str(files[0]), "-z", str(files[1]), "-i", request.prompt, *words]
        texts.append(subprocess.run(command, capture_output=True, check=True).stdout.decode())
    return texts


def main() -> None:
    """Tell all stories by the run.c that is named on the command line and write them."""
    run_c, origin = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        texts = stories(run_c, Path(folder))
    version = subprocess.run([COMPILER[0], "--version"], capture_output=True, check=True).stdout.decode()
    record = {
        "model": llama2c.bundled_model().name,
        "tokenizer": llama2c.bundled_tokenizer().name,
        "source": f"stdout of llama2.c's run.c on {platform.machine()} {platform.system()}",
        "run.c": f"{origin}; sha256 {hashlib.sha256(run_c.read_bytes()).hexdigest()}",
        "compiler": " ".join(COMPILER) + f" ({version.splitlines()[0]})",
        "note": "made by tests/laboratory/golden_stories.py from little-endian copies of both files; "
        "text is the whole standard output, the final newline included",
        "cases": [asdict(request) | {"text": text} for request, text in zip(REQUESTS, texts, strict=True)],
    }
    GOLDEN.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
