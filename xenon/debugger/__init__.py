"""A debugger's server: gdb's remote protocol, around any personality of the machine."""
