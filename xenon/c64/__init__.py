"""A Commodore 64 in the console: programs with a RAM expansion, and what Llama2.c64 computes, to the bit."""
