"""What Linux gives a program: loading, system calls, files, threads, and the report of a fault."""
