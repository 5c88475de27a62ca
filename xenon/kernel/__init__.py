"""What an operating system gives a guest program: ELF loading, system calls, the disc, the terminal."""
