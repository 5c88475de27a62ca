"""A flame graph as SVG: callers below, callees above, each function as wide as its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from xenon.svg import clean, document, rectangle, text

COLOURS = {"optimised": "#5a9bc4", "compiled": "#7fb77e", "unicorn": "#f0a35e", "system": "#b8b8c8"}
"""The fill for each activity of a CPU; a function has that of its most frequent one."""
_OTHER = "#d8d8d8"
_WIDTH, _MARGIN, _ROW, _TOP = 1200, 10, 18, 64
_LETTER = 6.7  # the width of a letter of _FONT in 11 px
_FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_STYLE = "g:hover>rect{stroke:#000;stroke-width:1}text{pointer-events:none}"
_NARROWEST = 0.3  # pixels that are drawn
_MOST_LEVELS = 100


@dataclass(slots=True)
class _Frame:
    """A function in one chain of callers. `samples` includes its callees', by what the CPU did."""

    name: str
    samples: Counter[str] = field(default_factory=Counter)
    own: int = 0
    called: dict[str, _Frame] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.samples.values())


def flame_graph(stacks: Mapping[tuple[tuple[str, ...], str], int], title: str, unit_seconds: float) -> str:
    """The picture of samples, counted by (function names, the outermost first; what the CPU did). Each sample
    stands for `unit_seconds`."""
    root = _tree(stacks)
    levels = _levels(root)
    bottom = _TOP + levels * _ROW
    scale = (_WIDTH - 2 * _MARGIN) / max(root.total, 1)
    body = [text(_MARGIN, 24, 16, title), *_legend(root)]
    if not root.total:
        body.append(text(_MARGIN, bottom - 5, 11, "no samples: the program ended too soon"))
    for frame, start, level in _placed(root, 0, 0):
        width = frame.total * scale
        if width >= _NARROWEST and level < levels:
            x, y = _MARGIN + start * scale, bottom - (level + 1) * _ROW
            body.append(_box(frame, x, y, width, root.total, unit_seconds))
    return document(_WIDTH, bottom + _MARGIN, body, clean(_FONT), _STYLE)


def _tree(stacks: Mapping[tuple[tuple[str, ...], str], int]) -> _Frame:
    root = _Frame("all")
    for (names, activity), count in sorted(stacks.items()):
        frame = root
        frame.samples[activity] += count
        for name in names[: _MOST_LEVELS - 1]:
            frame = frame.called.setdefault(name, _Frame(name))
            frame.samples[activity] += count
        frame.own += count
    return root


def _levels(frame: _Frame) -> int:
    return 1 + max((_levels(callee) for callee in frame.called.values()), default=0)


def _placed(frame: _Frame, start: int, level: int) -> Iterator[tuple[_Frame, int, int]]:
    """Each frame with the number of samples to the left of it, and its level from the bottom."""
    yield frame, start, level
    for _, callee in sorted(frame.called.items()):
        yield from _placed(callee, start, level + 1)
        start += callee.total


def _box(frame: _Frame, x: float, y: float, width: float, samples: int, unit_seconds: float) -> str:
    most = max(frame.samples, key=lambda activity: (frame.samples[activity], activity), default="")
    tip = f"{frame.name}: {_share(frame.total, samples)}, {frame.total * unit_seconds:.3f} s"
    tip += f" ({frame.own * unit_seconds:.3f} s of it its own)"
    tip += "".join(f", {activity} {_share(n, frame.total)}" for activity, n in sorted(frame.samples.items()))
    letters = int((width - 6) / _LETTER)
    shown = frame.name if len(frame.name) <= letters else f"{frame.name[: letters - 2]}.."
    label = text(x + 3, y + _ROW - 5, 11, shown) if letters >= 3 else ""
    colour = COLOURS.get(most, _OTHER)
    return f"<g>{rectangle(x, y, max(width - 0.5, _NARROWEST), _ROW - 1, colour, tip)}{label}</g>"


def _legend(root: _Frame) -> Iterator[str]:
    x = float(_MARGIN)
    for activity, colour in COLOURS.items():
        words = f"{activity} {_share(root.samples[activity], root.total)}"
        yield rectangle(x, 36, 12, 12, colour)
        yield text(x + 18, 46, 12, words)
        x += 40 + 7.5 * len(words)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "0.0%"
