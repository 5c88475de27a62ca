"""Reads plain values of the command line without Typer's validation, whose import takes longer than a story
needs to begin. Whatever is not plain goes the usual way.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_BOUNDS = ("min", "max", "exists", "writable", "resolve_path", "path_type", "parser", "click_type")


class _PlainFirst:
    """In place of what Typer converts a parameter's values with, which it makes when it is first needed."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        wanted, info = param.type_descriptor.annotation, param.type_descriptor.parameter_info
        if get_origin(wanted) is Literal and isinstance(value, str) and value in get_args(wanted):
            return value
        bounds = (getattr(info, bound, None) for bound in _BOUNDS)
        if isinstance(wanted, type) and all(bound is None or bound is False for bound in bounds):
            if type(value) is wanted:
                return value
            if isinstance(value, str) and wanted is int and _WHOLE.fullmatch(value):
                return int(value)
            if isinstance(value, str) and wanted is Path:
                return Path(value)
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def with_plain_values(parameters: list[Any]) -> list[Any]:
    """The parameters of a command, before any has a value."""
    for parameter in parameters:
        if getattr(parameter, "_runtime_param", parameter) is None:  # as Typer 0.29 has it
            parameter._runtime_param = _PlainFirst()
    return parameters
