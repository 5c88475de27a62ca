"""`convert` against `cp`: time, and the memory it takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench_figures import PYTHON, Figure, at_most, command, in_turns, run, timed

import loader
from loader import synthetic

MOST_CONVERT, MOST_CONVERT_GGUF = 1.5, 5.0  # times cp
CONTEXT = 1024  # positions of the console's file
CONVERT_SHAPES = (synthetic.Shape.STORIES_15M, synthetic.Shape.STORIES_42M)  # 61 and 167 MB
# VmHWM and not getrusage: that one also remembers the process that started this one.
PEAK = """
import atexit, re, resource, sys
def print_peak():
    try:
        peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak, file=sys.stderr)
atexit.register(print_peak)
from xenon.cli.start import main
main()
"""


def conversion_figures(folder: Path, turns: int) -> list[Figure]:
    """`convert` of a 61 MB model against `cp`, in this process and as a command, and the memory it takes."""
    models = [synthetic.write_shape(name, folder)[0] for name in CONVERT_SHAPES]
    source, copied, made = models[0], folder / "copied.bin", folder / "converted.bin"

    def copy() -> float:
        copied.unlink(missing_ok=True)
        return timed(lambda: run(["cp", str(source), str(copied)]))

    def convert() -> float:
        made.unlink(missing_ok=True)
        return timed(lambda: loader.convert(source, made, loader.ByteOrder.LITTLE))

    def convert_command() -> float:
        made.unlink(missing_ok=True)
        return timed(lambda: run([*command(), "convert", str(source), "--to", "little", "-o", str(made)]))

    cp, inside, whole = in_turns([copy, convert, convert_command], turns)
    size = f"{source.stat().st_size / 1e6:.0f} MB"
    peaks = [_peak(model, made) for model in models]
    sizes = [f"{model.stat().st_size / 1e6:.0f} MB" for model in models]
    grown = peaks[1] - peaks[0]
    return [
        Figure(f"cp of {size}", cp * 1000, "ms"),
        Figure(f"convert of {size}", inside * 1000, "ms"),
        at_most("convert / cp", inside / cp, MOST_CONVERT),
        Figure(f"xenon-llm convert of {size}, the whole command", whole * 1000, "ms"),
        Figure("whole command / cp", whole / cp, ""),
        *(
            Figure(f"peak memory of xenon-llm convert, {size}", peak, "MiB")
            for size, peak in zip(sizes, peaks, strict=True)
        ),
        Figure("more memory for the larger file", grown, "MiB", "at most 2", grown <= 2),
    ]


def gguf_figures(gguf: Path, folder: Path, turns: int) -> list[Figure]:
    """The console's file of a GGUF file, its blocks kept, against `cp` of it, in this process."""
    copied, made = folder / "copied.gguf", folder / "converted.be.bin"
    recipe = loader.Recipe(loader.Format.CONSOLE, context=CONTEXT)

    def copy() -> float:
        copied.unlink(missing_ok=True)
        return timed(lambda: run(["cp", str(gguf), str(copied)]))

    def convert() -> None:
        opened = loader.open_any(gguf)
        if not isinstance(opened, loader.Gguf):
            raise loader.LoaderError(f"{gguf}: expected a GGUF file")
        loader.write([loader.plan_checkpoint(loader.weights(opened), loader.ByteOrder.BIG, recipe, made)])

    def convert_anew() -> float:
        made.unlink(missing_ok=True)
        return timed(convert)

    cp, inside = in_turns([copy, convert_anew], turns)
    size = f"{gguf.stat().st_size / 1e6:.0f} MB"
    return [
        Figure(f"cp of a GGUF file of {size}", cp * 1000, "ms"),
        Figure(f"console's file of a GGUF file of {size}", inside * 1000, "ms"),
        at_most("console's file of a GGUF file / cp", inside / cp, MOST_CONVERT_GGUF),
    ]


def _peak(model: Path, target: Path) -> float:
    """The most memory that the command `convert` ever held, in MiB."""
    target.unlink(missing_ok=True)
    words = [*PYTHON, PEAK, "convert", str(model), "--to", "little", "-o", str(target)]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(result.stderr.split()[-1]) / 1024
