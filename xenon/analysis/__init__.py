"""Read-only views on programs and runs: the instruction set, disassembly."""
