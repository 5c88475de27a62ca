"""Reads the plots of the bundled model's stories (story_plots.txt)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PLOTS_FILE = Path(__file__).with_name("story_plots.txt")


@dataclass
class Plot:
    """One plot: options from its header and its sentences, still with choices and slots in them."""

    name: str
    options: dict[str, str]
    setup: str = ""
    said: str = ""
    lead: str = ""
    body: list[str] = field(default_factory=list)


def load_plots(path: Path = PLOTS_FILE) -> list[Plot]:
    """Read `== name key=value`, then `setup:`, `said:`, `lead:` and `- sentence` lines; # is a comment."""
    plots: list[Plot] = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            name, *options = line[3:].split()
            plots.append(
                Plot(name, {key: value for key, _, value in (option.partition("=") for option in options)})
            )
        elif line.startswith("- "):
            plots[-1].body.append(line[2:])
        elif line.split(": ")[0] in ("setup", "said", "lead"):
            key, _, text = line.partition(": ")
            setattr(plots[-1], key, text)
        else:
            raise ValueError(f"{path.name}: line {number}: not a plot line: {line[:40]!r}")
    return plots
