"""The Unicorn engine as a CPU of the console; its oddities are held by tests."""
