"""Runs llama.cpp for compare_llama_cpp.py, on a Python that has xllamacpp; it needs nothing else.

    python llama_cpp_worker.py MODEL.gguf THREADS WORD CONTEXT

Each line of input has the words of a prompt and the tokens to generate behind it; each line of output the
tokens computed, and the CPU seconds that they took, all threads together.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any

HINT = "error: xllamacpp is not installed here\nhint: pip install xllamacpp, or --python with one that has it"


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def main() -> None:
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")
    except ImportError:
        raise SystemExit(HINT) from None
    model, threads, word, context = sys.argv[1:]
    options = xllamacpp.CommonParams()
    options.model.path = model
    options.n_ctx, options.n_gpu_layers, options.n_parallel, options.verbosity = int(context), 0, 1, 0
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = int(threads)
    server = xllamacpp.Server(options)
    for line in sys.stdin:
        words, generated = map(int, line.split())
        # The first token comes of the prompt's last position: no position of its own is computed for it.
        request = {"prompt": word * words, "max_tokens": generated + 1, "temperature": 0, "ignore_eos": True}
        start = cpu_seconds()
        usage = server.handle_completions(request | {"cache_prompt": False})["usage"]
        seconds = cpu_seconds() - start
        print(usage["prompt_tokens"] + usage["completion_tokens"] - 1, seconds, flush=True)


if __name__ == "__main__":
    main()
