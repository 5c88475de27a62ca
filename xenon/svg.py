"""SVG as text: a document, rectangles with tooltips, lines of text. Every string is escaped for XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

# Characters that XML 1.0 does not allow, even escaped; names come from files that may hold anything.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Text made fit for an XML element or attribute."""
    return escape(_NOT_XML.sub("\ufffd", text))


def document(width: int, height: int, body: Sequence[str], font: str = "sans-serif", style: str = "") -> str:
    """A picture on white ground, from the elements of `body`."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{font}">'
    styles = [f"<style>{style}</style>"] if style else []
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, *styles, ground, *body, "</svg>"]) + "\n"


def rectangle(x: float, y: float, width: float, height: float, colour: str, tip: str = "") -> str:
    """A filled rectangle; `tip` is its tooltip."""
    shape = f'<rect x="{x:.2f}" y="{y:g}" width="{width:.2f}" height="{height:g}" fill="{colour}"'
    return f"{shape}><title>{clean(tip)}</title></rect>" if tip else f"{shape}/>"


def text(x: float, y: float, size: int, words: str) -> str:
    """One line of text whose baseline starts at (x, y)."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}">{clean(words)}</text>'
