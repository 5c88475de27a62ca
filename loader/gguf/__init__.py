"""GGUF, ggml's file format: read, swapped and written. Source: ggml, `docs/gguf.md`."""
