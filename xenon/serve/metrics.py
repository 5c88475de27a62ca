"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from xenon.serve.desk import Desk
from xenon.serve.work import JobEnd

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Metrics:
    """The counters of one server."""

    def __init__(self, desk: Desk) -> None:
        self._registry = registry = CollectorRegistry()
        self.answers = Counter(
            "xenon_llm_answers", "Answers by path and status.", ["path", "status"], registry=registry
        )
        self._tokens = Counter(
            "xenon_llm_tokens", "Tokens that were read or told.", ["kind"], registry=registry
        )
        self.cut_off = Counter("xenon_llm_cut_off", "Requests whose client went away.", registry=registry)
        self.first_byte = Histogram(
            "xenon_llm_first_text_seconds",
            "From a request to its first text.",
            buckets=_SECONDS,
            registry=registry,
        )
        gauges = {
            "requests_waiting": ("Requests that wait for a console.", lambda: desk.waiting),
            "requests_running": (
                "Requests that a console works on.",
                lambda: sum(console.job is not None for console in desk.consoles),
            ),
            "console_memory_bytes": (
                "Memory of the consoles in use.",
                lambda: sum(console.loaded.memory_used for console in desk.consoles),
            ),
        }
        for name, (what, value) in gauges.items():
            Gauge(f"xenon_llm_{name}", what, registry=registry).set_function(value)

    def count(self, end: JobEnd) -> None:
        """An answer has ended."""
        self._tokens.labels("prompt").inc(end.prompt_tokens)
        self._tokens.labels("completion").inc(end.tokens)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
