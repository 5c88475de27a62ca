"""What comes from outside, made at random: files, system calls, GPU rings, accesses to registers.

Each module has `trial(rng, folder)`: it makes one or more cases, writes to `folder` alone, and returns how
many cases it made. A case ends well or in the error of the room that reads it. Any other exception leaves
`trial`. MEMORY_BYTES is what a trial may take at most.
"""
