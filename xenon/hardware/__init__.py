"""The console: RAM, the processor, the bus. Knows nothing of kernels or models."""
