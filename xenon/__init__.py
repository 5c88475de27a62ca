"""xenon-llm: a big-endian PowerPC console in software, and a language model running on it."""

__version__ = "0.1.0"
