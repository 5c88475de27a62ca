"""What a run of the guest allocates, computed from the table that the guest is compiled from.

src/allocations.def has a row for each allocation, in order; src/allocations.h has the formulas. Both are C.
Their formulas are valid Python as well, `/` being the division of integers.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

_SOURCES = Path(__file__).resolve().parent / "src"
_MACRO = re.compile(r"^#define (\w+)(?:\(([\w, ]*)\))?[ \t]+(\S.*)$", re.MULTILINE)
_ROW = re.compile(r"^\w+\(.*\)$", re.MULTILINE)
_COMMENT = re.compile(r"[ \t]*//.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """The numbers of a run that sizes depend on: the fields of Extents in src/allocations.h, and three more.

    `seq_len` is the context in effect. `mapped` says that the weights are used where the disc maps the
    model's file, `gpu` that the GPU computes. `threads` are the hardware threads.
    """

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    kv_dim: int
    vocab_size: int
    seq_len: int
    kv_bytes: int
    int8_activations: int
    quantised_planes: int
    weight_bytes: int
    tokenizer_bytes: int
    prompt_bytes: int
    prompt_file_bytes: int
    conversations: int
    pieces: int
    longest_piece: int
    mapped: bool
    gpu: bool
    threads: int


class Users(Enum):
    """Who works on an allocation: the CPU; the GPU too, if it computes; the GPU alone."""

    CPU = "CPU"
    SHARED = "SHARED"
    GPU = "GPU"


class Allocation(NamedTuple):
    """One allocation of a run: its name as the guest tells it to the machine, and its size in bytes."""

    name: str
    users: Users
    size: int


def allocations(extents: Extents) -> Iterator[Allocation]:
    """The allocations of a run, in the order in which the guest makes them."""
    table = _table()
    for row in table.rows["ALLOCATION"]:
        _, name, users, condition, size = row
        assert isinstance(name, ast.Constant) and isinstance(users, ast.Name)
        kind = Users(users.id)
        if (kind is not Users.GPU or extents.gpu) and table.value(condition, {"p": extents}):
            yield Allocation(str(name.value), kind, table.value(size, {"p": extents}))


def batch_positions() -> int:
    """Positions of a prompt that the guest takes through the layers in one pass over the weights."""
    return _table().call("BATCH", [])


def most_request_bytes() -> int:
    """Bytes of the longest request of a conversation."""
    return _table().call("MOST_REQUEST_BYTES", [])


def whole_lines(nbytes: int) -> int:
    """Bytes that the guest keeps for so many: whole cache lines."""
    return _table().call("LINES", [nbytes])


def array_bytes(words: int) -> int:
    """Bytes of an array of 32-bit words as the guest lays it out: whole cache lines."""
    return _table().call("ARRAY", [words])


@functools.cache
def _parsed(formula: str) -> ast.expr:
    return ast.parse(formula, mode="eval").body


class _Macro(NamedTuple):
    parameters: tuple[str, ...]
    body: str


class _Table(NamedTuple):
    """The macros of allocations.h by name, and the arguments of the rows of allocations.def by their kind."""

    macros: Mapping[str, _Macro]
    rows: Mapping[str, list[list[ast.expr]]]

    def call(self, name: str, arguments: list[int | Extents]) -> int:
        macro = self.macros[name]
        names = dict(zip(macro.parameters, arguments, strict=True))
        return self.value(_parsed(macro.body), names)

    def value(self, node: ast.expr, names: Mapping[str, int | Extents]) -> int:
        """The value of a formula, with the values of its names. Raises ValueError for any other syntax."""
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Attribute(value=ast.Name(id=variable), attr=field):
                return int(getattr(names[variable], field))
            case ast.Name(id=name):
                value = names[name] if name in names else self.call(name, [])
                assert isinstance(value, int)
                return value
            case ast.Call(func=ast.Name(id="SUM"), args=[ast.Name(id=kind)]):
                return sum(array_bytes(self.value(words, names)) for _, words in self.rows[kind])
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.call(name, [self._argument(argument, names) for argument in arguments])
            case ast.BinOp(left=left, op=operator, right=right):
                return _binary(operator, self.value(left, names), self.value(right, names))
            case ast.Compare(left=left, ops=[ast.Gt()], comparators=[right]):
                return self.value(left, names) > self.value(right, names)
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                return self.value(left, names) == self.value(right, names)
        raise ValueError(f"allocations: {ast.unparse(node)}: not understood")

    def _argument(self, node: ast.expr, names: Mapping[str, int | Extents]) -> int | Extents:
        """A macro's argument: a number, or all extents where it is `p` itself."""
        return names[node.id] if isinstance(node, ast.Name) and node.id in names else self.value(node, names)


def _binary(operator: ast.operator, left: int, right: int) -> int:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left // right
    raise ValueError(f"allocations: {type(operator).__name__}: not understood")


@functools.cache
def _table() -> _Table:
    header, rows = (
        _COMMENT.sub("", (_SOURCES / name).read_text("utf-8")).replace("\\\n", " ")
        for name in ("allocations.h", "allocations.def")
    )
    macros = {
        match[1]: _Macro(tuple((match[2] or "").replace(",", " ").split()), match[3].strip())
        for match in _MACRO.finditer(header)
    }
    kinds: dict[str, list[list[ast.expr]]] = {}
    for match in _ROW.finditer(rows):
        row = ast.parse(match[0], mode="eval").body
        assert isinstance(row, ast.Call) and isinstance(row.func, ast.Name)
        kinds.setdefault(row.func.id, []).append(row.args)
    return _Table(macros, kinds)
