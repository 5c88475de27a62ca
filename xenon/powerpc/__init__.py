"""The PowerPC architecture as Xenon has it: instructions, program files, the ABI, names of functions."""
