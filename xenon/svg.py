"""SVG as text: a document, rectangles with tooltips, lines of text. Any string is made fit for XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

# What XML 1.0 does not allow in any form; names come from files that may hold anything.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Text for an element or an attribute."""
    return escape(_NO_XML.sub("\ufffd", text))


def document(width: int, height: int, body: Sequence[str], font: str = "sans-serif", style: str = "") -> str:
    """A picture on white."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{font}">'
    styles = [f"<style>{style}</style>"] if style else []
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, *styles, ground, *body, "</svg>"]) + "\n"


def rectangle(x: float, y: float, width: float, height: float, colour: str, tip: str = "") -> str:
    """A filled rectangle; `tip` is shown under the pointer."""
    shape = f'<rect x="{x:.2f}" y="{y:g}" width="{width:.2f}" height="{height:g}" fill="{colour}"'
    return f"{shape}><title>{clean(tip)}</title></rect>" if tip else f"{shape}/>"


def text(x: float, y: float, size: int, words: str) -> str:
    """One line that begins at x and stands on y."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}">{clean(words)}</text>'
