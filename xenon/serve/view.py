"""The console as the page shows it: memory, hardware threads, GPU and speeds. It holds no text of anybody."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from xenon.hardware.gpu.registers import RB_CNTL_SIZE_MASK, Register
from xenon.hardware.memory import Region
from xenon.hardware.memory_map import HARDWARE_THREADS, RAM_BYTES, WORD_BYTES
from xenon.serve.desk import ConsoleThread, Desk
from xenon.stories.budget_drawing import Part
from xenon.stories.estimate import estimate
from xenon.stories.runnable import RunnableModel
from xenon.stories.settings import Engine

_QUADWORD_BYTES = 8


class ConsoleView:
    """Looks at the consoles of a server, from any thread, without holding them up."""

    def __init__(self, model: str, runnable: RunnableModel, desk: Desk) -> None:
        self._runnable, self._desk = runnable, desk
        decision = runnable.decision
        self._constant: dict[str, object] = {
            "model": model,
            "engine": decision.engine.value,
            "matmul": decision.matmul.value,
            "threads": decision.machine.threads,
            "context": decision.context,
            "memory_bytes": decision.machine.memory_bytes,
            "ram_bytes": RAM_BYTES,
            "estimates": [
                {"variant": row.variant, "tokens_per_second": row.tokens_per_second, "limit": row.limit}
                for row in estimate(runnable.model.config, kv_bytes=decision.kv.nbytes)
            ],
        }

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; sizes and addresses are in bytes, speeds in tokens a second."""
        desk = self._desk
        return {
            **self._constant,
            "waiting": desk.waiting,
            "bound": desk.bound,
            "most_waiting": desk.most_waiting,
            "consoles": [self._console(console) for console in desk.consoles],
        }

    def _console(self, thread: ConsoleThread) -> dict[str, object]:
        console = thread.loaded.console
        progress, running = thread.progress, thread.job is not None
        positions = min(progress.prompt_tokens + progress.tokens, self._runnable.decision.context)
        return {
            "running": running,
            "positions": positions,
            "tokens_per_second": thread.speed,
            "used_bytes": console.memory.used,
            "regions": self._regions(console.memory.regions, positions),
            "threads": self._threads(running, console.threads_with_work),
            "gpu": self._gpu(console.machine.gpu.registers, console.memory.view),
        }

    def _regions(self, regions: Sequence[Region], positions: int) -> list[dict[str, object]]:
        """Regions in the order of addresses. Caches are as full as there are positions, all else is full."""
        filled = positions / self._runnable.decision.context
        rows: list[dict[str, object]] = []
        for region in regions:
            part = Part(region.purpose, region.size)
            is_cache = part.letter in "KV"
            rows.append(
                {
                    "owner": region.owner.value,
                    "purpose": region.purpose,
                    "address": region.address,
                    "size": region.size,
                    "letter": part.letter,
                    "filled": filled if is_cache else 1.0,
                }
            )
        return rows

    def _threads(self, running: bool, busy: Collection[int]) -> list[dict[str, object]]:
        """What each of the six hardware threads does."""
        gpu = self._runnable.decision.engine is Engine.GPU
        rows: list[dict[str, object]] = []
        for number in range(HARDWARE_THREADS):
            if number >= self._runnable.decision.machine.threads:
                state, what = "off", "not used"
            elif number == 0:
                state = "busy" if running else "idle"
                told = "records draws and samples" if gpu else "forward pass and sampler"
                what = told if running else "waits for a prompt"
            elif number not in busy:
                state, what = "idle", "has no work yet"
            else:
                state = "busy" if running else "idle"
                what = "rows of matrices" if running else "asleep at its lock"
            rows.append({"number": number, "core": number // 2, "state": state, "what": what})
        return rows

    def _gpu(self, registers: Sequence[int], memory: memoryview) -> dict[str, object]:
        """Ring and fence of the GPU. The guest's driver keeps its fence behind the ring."""
        base = registers[Register.CP_RB_BASE]
        if not base:
            return {"used": False}
        size = _QUADWORD_BYTES << (registers[Register.CP_RB_CNTL] & RB_CNTL_SIZE_MASK)
        fence = int.from_bytes(memory[base + size : base + size + WORD_BYTES], "big")
        return {
            "used": True,
            "ring_address": base,
            "ring_words": size // WORD_BYTES,
            "read": registers[Register.CP_RB_RPTR],
            "write": registers[Register.CP_RB_WPTR],
            "fence": fence,
        }
