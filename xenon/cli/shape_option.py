"""The option `--shape` of the commands that take a model's dimensions in place of a file."""

from __future__ import annotations

from typing import Annotated

import typer

from loader.synthetic import Shape

ShapeOption = Annotated[
    Shape | None,
    typer.Option(
        metavar="NAME",
        help=f"No file, but the shape of one of {', '.join(shape.value for shape in Shape)}.",
        show_default=False,
    ),
]
