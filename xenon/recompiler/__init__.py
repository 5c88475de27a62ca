"""Guest machine code to LLVM: the fast way to run what a `hardware.cpu.Cpu` runs (docs/recompiler.md)."""
