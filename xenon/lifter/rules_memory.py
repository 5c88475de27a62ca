"""Loads and stores: big-endian by byte swap, every address checked first (see guards.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenon.lifter.rule import Rules
from xenon.powerpc.decode import Instruction

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter

RULES = Rules()


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
    for mnemonic, size, signed in (
        ("lbz", 1, False), ("lbzu", 1, False), ("lbzx", 1, False), ("lbzux", 1, False),
        ("lhz", 2, False), ("lhzu", 2, False), ("lhzx", 2, False), ("lhzux", 2, False),
        ("lha", 2, True), ("lhau", 2, True), ("lhax", 2, True), ("lhaux", 2, True),
        ("lwz", 4, False), ("lwzu", 4, False), ("lwzx", 4, False), ("lwzux", 4, False),
        ("lwa", 4, True), ("lwax", 4, True), ("lwaux", 4, True),
        ("ld", 8, False), ("ldu", 8, False), ("ldx", 8, False), ("ldux", 8, False),
    ):  # fmt: skip

        def lift(lifter: Lifter, one: Instruction, size: int = size, signed: bool = signed) -> None:
            address = lifter.checked(effective_address(lifter, one))
            value = lifter.load(address, size)
            if size < 8:
                value = lifter.op(f"{'sext' if signed else 'zext'} i{8 * size} {value} to i64")
            lifter.update(one, address)
            lifter.set_gpr(one.rt, value)

        RULES.add(mnemonic)(lift)
    for mnemonic, size in (("lhbrx", 2), ("lwbrx", 4), ("ldbrx", 8)):

        def reversed_load(lifter: Lifter, one: Instruction, size: int = size) -> None:
            value = lifter.load(lifter.checked(effective_address(lifter, one)), size, swap=False)
            lifter.set_gpr(one.rt, value if size == 8 else lifter.op(f"zext i{8 * size} {value} to i64"))

        RULES.add(mnemonic)(reversed_load)


def _integer_stores() -> None:
    for mnemonic, size in (
        ("stb", 1), ("stbu", 1), ("stbx", 1), ("stbux", 1),
        ("sth", 2), ("sthu", 2), ("sthx", 2), ("sthux", 2),
        ("stw", 4), ("stwu", 4), ("stwx", 4), ("stwux", 4),
        ("std", 8), ("stdu", 8), ("stdx", 8), ("stdux", 8),
        ("sthbrx", 2), ("stwbrx", 4), ("stdbrx", 8),
    ):  # fmt: skip

        def lift(lifter: Lifter, one: Instruction, size: int = size) -> None:
            value = lifter.gpr(one.rt)
            if size < 8:
                value = lifter.op(f"trunc i64 {value} to i{8 * size}")
            address = lifter.checked(effective_address(lifter, one))
            lifter.store(address, value, size, swap=not one.mnemonic.endswith("brx"))
            lifter.update(one, address)

        RULES.add(mnemonic)(lift)


def _float_loads_and_stores() -> None:
    for suffix in ("", "u", "x", "ux"):

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

        RULES.add("lfs" + suffix)(lfs)
        RULES.add("lfd" + suffix)(lfd)
        RULES.add("stfs" + suffix)(stfs)
        RULES.add("stfd" + suffix)(stfd)

    def stfiwx(lifter: Lifter, one: Instruction) -> None:
        address = lifter.checked(effective_address(lifter, one))
        bits = lifter.op(f"bitcast double {lifter.double(one.rt, exact=True)} to i64")
        lifter.store(address, lifter.op(f"trunc i64 {bits} to i32"), 4)

    RULES.add("stfiwx")(stfiwx)


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
        RULES.add(name)(lvx)
    for name in ("stvx", "stvxl"):
        RULES.add(name)(stvx)

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

    RULES.add("lvsl lvsr")(shift_control)

    def store_word(lifter: Lifter, one: Instruction) -> None:
        address = lifter.op(f"and i64 {lifter.checked(effective_address(lifter, one))}, -4")
        words = lifter.vector(one.rt, "<4 x i32>")
        lane = lifter.op(f"lshr i64 {address}, 2")
        lane = lifter.op(f"xor i64 {lifter.op(f'and i64 {lane}, 3')}, 3")
        lifter.store(address, lifter.op(f"extractelement <4 x i32> {words}, i64 {lane}"), 4)

    RULES.add("stvewx")(store_word)


_integer_loads()
_integer_stores()
_float_loads_and_stores()
_vector_loads_and_stores()


@RULES.add("dcbt dcbtst")
def _prefetch(lifter: Lifter, one: Instruction) -> None:
    """For the host too; like here, it never faults, whatever the address."""
    base = "0" if one.ra == 0 else lifter.gpr(one.ra)
    place = lifter.pointer(lifter.op(f"add i64 {base}, {lifter.gpr(one.rb)}"))
    write = 1 if one.mnemonic == "dcbtst" else 0
    lifter.emit(f"call void @llvm.prefetch.p0(ptr {place}, i32 {write}, i32 3, i32 1)")


@RULES.add("dcbst dcbf isync eieio sync lwsync")
def _barrier(lifter: Lifter, one: Instruction) -> None:
    """Accesses are made in order, and the caches are the host's."""
    if one.mnemonic in ("sync", "lwsync", "eieio"):
        lifter.emit("fence seq_cst")
