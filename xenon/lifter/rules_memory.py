"""Loads and stores: big-endian by byte swap, every address checked first (see guards.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.lifter.instruction import Access, Instruction, rule

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

_OPERANDS = {"D": "RA0", "DS": "RA0", "X": "RA0 RB"}


def _rule(mnemonic: str, size: int, form: str, data: str, write: bool = False, aligned: bool = False):  # type: ignore[no-untyped-def]
    """Register a load or a store of the register field `data`, with its update form if the name has one."""
    update = mnemonic.rstrip("x").endswith("u") and mnemonic not in ("stvebx",)
    access = Access(size, form, write, update, aligned)
    reads = _OPERANDS[form] + (f" {data}" if write else "")
    writes = ("" if write else data) + (" RA" if update else "")
    return rule(mnemonic, reads, writes, access)


def effective_address(lifter: Lifter, one: Instruction) -> str:
    """The effective address, which an update form also leaves in RA."""
    access = one.access
    assert access is not None
    if access.form == "X":
        if one.ra == 0 and not access.update:
            return lifter.gpr(one.rb)
        return lifter.op(f"add i64 {lifter.gpr(one.ra)}, {lifter.gpr(one.rb)}")
    base = "0" if one.ra == 0 and not access.update else lifter.gpr(one.ra)
    return lifter.op(f"add i64 {base}, {one.displacement}") if one.displacement or base == "0" else base


def _integer_loads() -> None:
    for mnemonic, size, form, signed in (
        ("lbz", 1, "D", False), ("lbzu", 1, "D", False), ("lbzx", 1, "X", False), ("lbzux", 1, "X", False),
        ("lhz", 2, "D", False), ("lhzu", 2, "D", False), ("lhzx", 2, "X", False), ("lhzux", 2, "X", False),
        ("lha", 2, "D", True), ("lhau", 2, "D", True), ("lhax", 2, "X", True), ("lhaux", 2, "X", True),
        ("lwz", 4, "D", False), ("lwzu", 4, "D", False), ("lwzx", 4, "X", False), ("lwzux", 4, "X", False),
        ("lwa", 4, "DS", True), ("lwax", 4, "X", True), ("lwaux", 4, "X", True),
        ("ld", 8, "DS", False), ("ldu", 8, "DS", False), ("ldx", 8, "X", False), ("ldux", 8, "X", False),
    ):  # fmt: skip

        def lift(lifter: Lifter, one: Instruction, size: int = size, signed: bool = signed) -> None:
            address = lifter.checked(effective_address(lifter, one))
            value = lifter.load(address, size)
            if size < 8:
                value = lifter.op(f"{'sext' if signed else 'zext'} i{8 * size} {value} to i64")
            lifter.update(one, address)
            lifter.set_gpr(one.rt, value)

        _rule(mnemonic, size, form, "RT")(lift)
    for mnemonic, size in (("lhbrx", 2), ("lwbrx", 4), ("ldbrx", 8)):

        def reversed_load(lifter: Lifter, one: Instruction, size: int = size) -> None:
            value = lifter.load(lifter.checked(effective_address(lifter, one)), size, swap=False)
            lifter.set_gpr(one.rt, value if size == 8 else lifter.op(f"zext i{8 * size} {value} to i64"))

        _rule(mnemonic, size, "X", "RT")(reversed_load)


def _integer_stores() -> None:
    for mnemonic, size, form in (
        ("stb", 1, "D"), ("stbu", 1, "D"), ("stbx", 1, "X"), ("stbux", 1, "X"),
        ("sth", 2, "D"), ("sthu", 2, "D"), ("sthx", 2, "X"), ("sthux", 2, "X"),
        ("stw", 4, "D"), ("stwu", 4, "D"), ("stwx", 4, "X"), ("stwux", 4, "X"),
        ("std", 8, "DS"), ("stdu", 8, "DS"), ("stdx", 8, "X"), ("stdux", 8, "X"),
        ("sthbrx", 2, "X"), ("stwbrx", 4, "X"), ("stdbrx", 8, "X"),
    ):  # fmt: skip

        def lift(lifter: Lifter, one: Instruction, size: int = size) -> None:
            value = lifter.gpr(one.rt)
            if size < 8:
                value = lifter.op(f"trunc i64 {value} to i{8 * size}")
            address = lifter.checked(effective_address(lifter, one))
            lifter.store(address, value, size, swap=not one.mnemonic.endswith("brx"))
            lifter.update(one, address)

        _rule(mnemonic, size, form, "RS", write=True)(lift)


def _float_loads_and_stores() -> None:
    for suffix, form in (("", "D"), ("u", "D"), ("x", "X"), ("ux", "X")):

        def lfs(lifter: Lifter, one: Instruction) -> None:
            address = lifter.checked(effective_address(lifter, one))
            lifter.set_single(one.rt, lifter.op(f"bitcast i32 {lifter.load(address, 4)} to float"))
            lifter.update(one, address)

        def lfd(lifter: Lifter, one: Instruction) -> None:
            address = lifter.checked(effective_address(lifter, one))
            lifter.set_double(one.rt, lifter.op(f"bitcast i64 {lifter.load(address, 8)} to double"))
            lifter.update(one, address)

        def stfs(lifter: Lifter, one: Instruction) -> None:
            address = lifter.checked(effective_address(lifter, one))
            lifter.store(address, lifter.single_bits(one.rt), 4)
            lifter.update(one, address)

        def stfd(lifter: Lifter, one: Instruction) -> None:
            address = lifter.checked(effective_address(lifter, one))
            bits = lifter.op(f"bitcast double {lifter.double(one.rt, exact=True)} to i64")
            lifter.store(address, bits, 8)
            lifter.update(one, address)

        _rule("lfs" + suffix, 4, form, "FT")(lfs)
        _rule("lfd" + suffix, 8, form, "FT")(lfd)
        _rule("stfs" + suffix, 4, form, "FT", write=True)(stfs)
        _rule("stfd" + suffix, 8, form, "FT", write=True)(stfd)

    def stfiwx(lifter: Lifter, one: Instruction) -> None:
        address = lifter.checked(effective_address(lifter, one))
        bits = lifter.op(f"bitcast double {lifter.double(one.rt, exact=True)} to i64")
        lifter.store(address, lifter.op(f"trunc i64 {bits} to i32"), 4)

    _rule("stfiwx", 4, "X", "FT", write=True)(stfiwx)


def _vector_loads_and_stores() -> None:
    def lvx(lifter: Lifter, one: Instruction) -> None:
        address = lifter.op(f"and i64 {lifter.checked(effective_address(lifter, one))}, -16")
        data = lifter.op(f"load <16 x i8>, ptr {lifter.pointer(address)}, align 16")
        lifter.set_vector(one.rt, "<16 x i8>", lifter.reverse_bytes(data))

    def stvx(lifter: Lifter, one: Instruction) -> None:
        address = lifter.op(f"and i64 {lifter.checked(effective_address(lifter, one))}, -16")
        data = lifter.reverse_bytes(lifter.vector(one.rt, "<16 x i8>"))
        lifter.emit(f"store <16 x i8> {data}, ptr {lifter.pointer(address)}, align 16")

    for name in ("lvx", "lvxl"):
        _rule(name, 16, "X", "VT", aligned=True)(lvx)
    for name in ("stvx", "stvxl"):
        _rule(name, 16, "X", "VT", write=True, aligned=True)(stvx)

    def shift_control(lifter: Lifter, one: Instruction) -> None:
        """Bytes sh, sh + 1, … for lvsl, 16 - sh, … for lvsr: what vperm takes to shift by sh."""
        a = "0" if one.ra == 0 else lifter.gpr(one.ra)
        low = lifter.op(f"add i64 {a}, {lifter.gpr(one.rb)}")
        shift = lifter.op(f"trunc i64 {lifter.op(f'and i64 {low}, 15')} to i8")
        if one.mnemonic == "lvsr":
            shift = lifter.op(f"sub i8 16, {shift}")
        steps = ", ".join(f"i8 {15 - lane}" for lane in range(16))
        lifter.set_vector(
            one.rt, "<16 x i8>", lifter.op(f"add <16 x i8> <{steps}>, {lifter.splat(shift, 'i8', 16)}")
        )

    rule("lvsl lvsr", "RA0 RB", "VT")(shift_control)

    def store_word(lifter: Lifter, one: Instruction) -> None:
        address = lifter.op(f"and i64 {lifter.checked(effective_address(lifter, one))}, -4")
        words = lifter.vector(one.rt, "<4 x i32>")
        lane = lifter.op(f"lshr i64 {address}, 2")
        lane = lifter.op(f"xor i64 {lifter.op(f'and i64 {lane}, 3')}, 3")
        lifter.store(address, lifter.op(f"extractelement <4 x i32> {words}, i64 {lane}"), 4)

    _rule("stvewx", 4, "X", "VT", write=True)(store_word)


_integer_loads()
_integer_stores()
_float_loads_and_stores()
_vector_loads_and_stores()


@rule("dcbt dcbtst", "RA0 RB")
def _prefetch(lifter: Lifter, one: Instruction) -> None:
    """For the host too; like here, it never faults, whatever the address."""
    base = "0" if one.ra == 0 else lifter.gpr(one.ra)
    place = lifter.pointer(lifter.op(f"add i64 {base}, {lifter.gpr(one.rb)}"))
    write = 1 if one.mnemonic == "dcbtst" else 0
    lifter.emit(f"call void @llvm.prefetch.p0(ptr {place}, i32 {write}, i32 3, i32 1)")


@rule("dcbst dcbf isync eieio sync lwsync")
def _barrier(lifter: Lifter, one: Instruction) -> None:
    """Accesses are made in order, and the caches are the host's."""
    if one.mnemonic in ("sync", "lwsync", "eieio"):
        lifter.emit("fence seq_cst")
