"""The report of a benchmark: the machine it ran on, and its rows as Markdown, CSV or values for JSON."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import loader
from xenon.errors import ErrorCode, XenonError
from xenon.hardware.memory_map import in_units
from xenon.host.processes import usable_processors
from xenon.stories.benchmark import Row, Workload
from xenon.stories.settings import RunnerKind

Value = str | int | float | list[float] | None


def row_facts(name: str, model: loader.Model, row: Row, yardstick: Row | None = None) -> dict[str, Value]:
    """One row as plain values: sizes in bytes, speeds in tokens a second, the ratio to the yardstick's row of
    the same test if there is one."""
    ratio: dict[str, Value] = {}
    if yardstick is not None:
        ratio = {"relative_to": yardstick.label, "ratio": ratio_of(row, yardstick)}
    return {
        "model": name,
        "size_bytes": model.size,
        "parameters": model.parameter_count,
        "engine": row.runner.name,
        "matmul": row.runner.matmul.value if row.runner.matmul else "-",
        "threads": row.runner.threads,
        "test": str(row.workload),
        "depth": row.workload.depth,
        "tokens_per_second": row.mean,
        "spread": row.spread,
        "median": row.median,
        **ratio,
        "samples": row.samples,
    }


def ratio_of(row: Row, other: Row) -> float | None:
    """The median speed over the other's, in one report; None where a clock was too coarse for either."""
    return row.median / other.median if row.median and other.median else None


def ratios(rows: Sequence[Row]) -> list[dict[str, Value]]:
    """Of each two rows of the same test, both ways: the ratio of their median speeds."""
    return [
        {"test": str(row.workload), "runner": row.label, "to": other.label, "ratio": ratio_of(row, other)}
        for row in rows
        for other in rows
        if other is not row and other.workload == row.workload
    ]


def yardsticks(rows: Sequence[Row], name: str | None) -> dict[Workload, Row]:
    """By test, the row that the others are compared with: the first whose label is `name` or begins with it
    (`native`, `recompiler/vmx/2`). None stands for llama2c where it was run, else native.

    Raises XenonError for a name that no row has.
    """
    for wanted in (name,) if name is not None else (RunnerKind.LLAMA2C.value, RunnerKind.NATIVE.value):
        matching = [row for row in rows if f"{row.label}/".startswith(f"{wanted}/")]
        if matching:
            return {row.workload: row for row in reversed(matching)}
    if name is not None:
        labels = ", ".join(dict.fromkeys(row.label for row in rows))
        raise XenonError(f"no runner {name!r} to compare with", f"there are {labels}", ErrorCode.BAD_VALUE)
    return {}


def markdown(facts: Sequence[Mapping[str, Value]]) -> str:
    """The rows as one Markdown table, in the columns of llama-bench, and the ratio if they have one."""
    compared = sorted({str(row["relative_to"]) for row in facts if "relative_to" in row})
    heading = f"/ {compared[0]}" if len(compared) == 1 else "ratio"
    rows = [
        [
            str(row["model"]),
            in_units(_whole(row["size_bytes"])),
            f"{_whole(row['parameters']) / 1e6:.2f} M",
            *(str(row[key]) for key in ("engine", "matmul", "threads", "test")),
            f"{row['tokens_per_second']:.2f} ± {row['spread']:.2f}",
            *([_shown_ratio(row.get("ratio"))] if compared else []),
        ]
        for row in facts
    ]
    heads = ["model", "size", "params", "engine", "matmul", "threads", "test", "tokens/s"]
    heads += [heading] if compared else []
    return markdown_table(heads, rows, right=("size", "params", "threads", "tokens/s", heading))


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """A Markdown table whose source lines up too; the columns named in `right` are set to the right."""
    widths = [max(3, len(head), *(len(row[i]) for row in rows)) for i, head in enumerate(heads)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if head in right else cell.ljust(width)
            for cell, width, head in zip(cells, widths, heads, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if head in right else "-" * width
        for head, width in zip(heads, widths, strict=True)
    ]
    return "\n".join([line(heads), f"| {' | '.join(rule)} |", *map(line, rows)])


def as_csv(facts: Sequence[Mapping[str, Value]]) -> str:
    """The rows with a line of names; the samples of a row are in one cell, parted by spaces."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if facts:
        writer.writerow(facts[0])
    for row in facts:
        writer.writerow(
            " ".join(map(str, value)) if isinstance(value, list) else value for value in row.values()
        )
    return text.getvalue()


def machine_line(facts: Mapping[str, str | int]) -> str:
    """The machine in one line."""
    names = {"cpu": "", "system": "", "cores": " cores"}
    return ", ".join(
        f"{value}{names[key]}" if key in names else f"{key} {value}" for key, value in facts.items()
    )


def machine() -> dict[str, str | int]:
    """What was measured on: processor, cores this process may use, versions."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    facts: dict[str, str | int] = {
        "cpu": _processor() or platform.processor() or platform.machine(),
        "cores": usable_processors(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in ("xenon-llm", "unicorn", "numpy", "ziglang"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    if program := shutil.which("qemu-ppc64"):
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        if match := re.search(r"version (\S+)", output):
            facts["qemu-ppc64"] = match[1]
    return facts


def _processor() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def _shown_ratio(ratio: Value) -> str:
    return "-" if ratio is None else f"{ratio:.3f}"


def _whole(value: Value) -> int:
    assert isinstance(value, int)
    return value
