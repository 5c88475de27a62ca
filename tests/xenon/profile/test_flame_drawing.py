"""A flame graph is valid XML with every name in it, as wide as its time."""

from __future__ import annotations

from xml.etree import ElementTree

from xenon.profile.flame_drawing import flame_graph

SVG = "{http://www.w3.org/2000/svg}"
Stacks = dict[tuple[tuple[str, ...], str], int]


def boxes(drawing: str) -> dict[str, float]:
    """Width by the name that a tooltip begins with."""
    root = ElementTree.fromstring(drawing)
    widths: dict[str, float] = {}
    for rectangle in root.iter(f"{SVG}rect"):
        tip = rectangle.find(f"{SVG}title")
        if tip is not None and tip.text:
            name = tip.text.rsplit(": ", 1)[0]
            widths[name] = widths.get(name, 0) + float(rectangle.get("width", "0"))
    return widths


def test_widths_are_in_proportion_to_samples() -> None:
    stacks: Stacks = {(("a", "b"), "compiled"): 30, (("a", "c"), "unicorn"): 10, (("a",), "system"): 60}
    widths = boxes(flame_graph(stacks, "title", 0.002))
    assert widths["a"] == widths["all"]
    assert abs(widths["b"] / widths["c"] - 3) < 0.02
    assert abs(widths["a"] / widths["b"] - 100 / 30) < 0.02


def test_any_name_makes_valid_xml() -> None:
    names = ["<script>alert(1)</script>", 'a"b&c', "\0\1\x1b[31m", "\ud800", "é" * 300, "]]>", "", "\ufffe"]
    stacks: Stacks = {((name, "leaf"), "unicorn"): 5 for name in names}
    drawing = flame_graph(stacks, "\0<title>", 0.002)
    drawing.encode("utf-8")
    assert "<script>alert(1)</script>" in boxes(drawing)
    assert "<script" not in drawing


def test_deep_stacks_are_cut_and_no_samples_are_said() -> None:
    deep: Stacks = {(tuple(f"f{level}" for level in range(500)), "unicorn"): 1}
    assert boxes(flame_graph(deep, "deep", 0.002))
    assert "no samples" in flame_graph({}, "nothing", 0.002)
