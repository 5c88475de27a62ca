"""Models by name: what can be fetched, what was, and where it lies."""
