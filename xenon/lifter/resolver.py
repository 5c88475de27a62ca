"""The resolver: a function of the state that executes the instructions which last_status.py has noted, by
their exact functions (exact_forms.py), so that FPSCR is up to date."""

from __future__ import annotations

from xenon.lifter import layout
from xenon.lifter.emitter import Emitter
from xenon.lifter.ir_types import FLOAT, I32, I64
from xenon.lifter.last_status import FORMS, OPERANDS, SINGLE, LastKind, kind_noted
from xenon.lifter.module import module_head, module_text
from xenon.lifter.target import Target
from xenon.lifter.values import Value
from xenon.powerpc.operands import operands_of


def resolver_text(name: str, target: Target) -> str:
    """The text of a module with the resolver, a function of the state: it executes what is noted, so that
    FPSCR is up to date, and notes nothing any more."""
    emitter = Emitter()
    forms = emitter.read(I32, emitter.field(layout.LAST_FORMS))
    emitter.write(emitter.constant(I32, 0), emitter.field(layout.LAST_FORMS))
    for kind in LastKind:
        byte = forms.lshr(8 * kind.value) & 0xFF
        _execute(emitter, kind, byte)
    emitter.emit("ret void")
    lines = [
        *module_head(target),
        f"define void @{name}(ptr %state) nounwind {{",
        "entry:",
        *emitter.lines,
        "}\n",
    ]
    return module_text(lines, target)


def _execute(emitter: Emitter, kind: LastKind, byte: Value) -> None:
    """Execute the instruction of one kind that is noted, if there is one."""
    zero = emitter.constant(I64, 0)
    is_single = (byte & SINGLE).icmp("ne", 0)

    def operand(name: str) -> Value:
        bits = emitter.read(I64, emitter.field(kind.operand(name)))
        wide = bits.trunc(32).bitcast(FLOAT).fpext().bitcast(I64)
        return is_single.select(wide, bits)

    forms = {name: emitter.label() for name in FORMS if kind_noted(name) is kind}
    join = emitter.label()
    cases = " ".join(f"i32 {FORMS.index(name) + 1}, label %{label}" for name, label in forms.items())
    emitter.emit(f"switch {(byte & ~SINGLE & 0xFF).typed}, label %{join} [ {cases} ]")
    for name, label in forms.items():
        operands = operands_of(name)
        emitter.start(label)
        bits = [operand(field) if operands and field in operands.reads else zero for field in OPERANDS]
        zero.call(f"exact_{name}", [emitter.named("state"), *bits, zero])
        emitter.branch(join)
    emitter.start(join)
