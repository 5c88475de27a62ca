"""Reads plain values of the command line without Typer's validation, whose import takes longer than a story
needs to begin. Whatever is not plain goes the usual way.
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_CHECKS = ("exists", "writable", "resolve_path", "path_type", "parser", "click_type")
_NOT_PLAIN = object()


class _PlainFirst:
    """In place of what Typer converts a parameter's values with, which it makes when it is first needed."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        plain = _plain(value, param.type_descriptor.annotation, param.type_descriptor.parameter_info)
        if plain is not _NOT_PLAIN:
            return plain
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _plain(value: Any, wanted: Any, info: Any) -> Any:
    """A value as the type wanted, _NOT_PLAIN where that takes more than a look."""
    if any(getattr(info, check, None) not in (None, False) for check in _CHECKS):
        return _NOT_PLAIN
    if get_origin(wanted) is list:
        if not isinstance(value, list | tuple):
            return _NOT_PLAIN
        of = get_args(wanted)[0]
        values = [_plain(item, of, info) for item in value]
        return _NOT_PLAIN if _NOT_PLAIN in values else values
    if get_origin(wanted) is Literal:
        return value if isinstance(value, str) and value in get_args(wanted) else _NOT_PLAIN
    if not isinstance(wanted, type):
        return _NOT_PLAIN
    if issubclass(wanted, Enum) and isinstance(value, str):
        return next((member for member in wanted if member.value == value), _NOT_PLAIN)
    if isinstance(value, str) and wanted is int and _WHOLE.fullmatch(value):
        value = int(value)
    elif isinstance(value, str) and wanted is float and _DECIMAL.fullmatch(value):
        value = float(value)
    elif isinstance(value, str | Path) and wanted is Path:
        return Path(value)
    return value if type(value) is wanted and _is_within(value, info) else _NOT_PLAIN


def _is_within(value: Any, info: Any) -> bool:
    """Whether a value is within the bounds that an option sets, if it sets some for such a value."""
    least, most = getattr(info, "min", None), getattr(info, "max", None)
    return (least is None or value >= least) and (most is None or value <= most)


def with_plain_values(parameters: list[Any]) -> list[Any]:
    """The parameters of a command, before any has a value."""
    for parameter in parameters:
        if getattr(parameter, "_runtime_param", parameter) is None:  # as Typer 0.29 has it
            parameter._runtime_param = _PlainFirst()
    return parameters
