"""How a PowerPC function becomes LLVM. The room knows the architecture, and of a machine only a `Target`.

Input is a way to fetch instruction words; output is the text of an LLVM module with one function,
`void name(state)`, where `state` is a structure of registers (layout.py). `unit.lift_unit` is the way in.

1. flow.py follows the control flow from the entries, decodes the instructions that can be reached, and cuts
   them into blocks. A word that operands.tsv does not list ends it: the function is not compiled.
2. facts.py solves data flow over the blocks: which registers are live, which may have changed, which FPRs are
   proven to hold single precision, which VRs are proven free of denormals, which GPRs have a known value.
3. guards.py follows the address registers of each block, so that one look into the page table covers several
   accesses. Where a page forbids an access, the function returns with the PC at that instruction, and the
   interpreter raises the fault.
4. The rules (rules_*.py) emit the LLVM of each instruction. They compute with typed values (values.py), and
   lift.py gives them registers, memory, and the repair of results that PowerPC defines differently from the
   host: `unless(good, usual, repair)` puts it on an unlikely branch. Registers live in stack slots (slots.py,
   registers.py); LLVM makes them values.
5. loops.py gives a loop of one block two forms (loop_rounds.py). The fast form runs as many rounds as
   streams.py finds to stay on good pages, without a check. While it is emitted, a Speculation (speculate.py)
   collects what must hold for results to need no repair, in place of the branches; the rounds test that at
   their end, and go back to the slow form where it fails. side_by_side.py merges four running vector sums
   into one operation, unpacked.py and half_sums.py those whose weights are bytes and halves.
6. unit.py puts it together: the entries (entry.py), the blocks in order, and at each end of a block
   (block_ends.py) a branch, a switch (switches.py), a call of other compiled code through the dispatch table,
   or an exit that writes the registers back (exits.py). module.py has what a module holds besides.

counting.py adds counters for a run that is measured. prelude.ll holds the repairs themselves, written once as
LLVM functions. A rule for another instruction is a function in a rules file and a row in operands.tsv; the
test laboratory then compares it with Unicorn, bit for bit.
"""
