"""Many clients at one server: every text must be the right one, cut-off clients among them, memory flat.

    python scripts/measuring/load_server.py --requests 500 --clients 20 --cut-off 30

starts `xenon-llm serve` with the bundled model and asks for stories of different seeds, each of which it
knows from asking alone. Some clients go away in mid-stream. A request that the full queue refuses is
asked again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_SEEDS = 12
_TOKENS = 60
_AGAIN = 0.02  # seconds before a refused request is asked again
TOO_MANY = 429


@dataclass
class Load:
    """What came of the requests: `told` right, `wrong` texts, `lost` answers, `cut_off` clients, `refused`
    requests (asked again); seconds to the first text of the streamed ones."""

    requests: int = 0
    told: int = 0
    wrong: int = 0
    lost: int = 0
    cut_off: int = 0
    refused: int = 0
    seconds: float = 0.0
    most_waiting: int = 0
    bound: int = 0
    rss_before: int = 0
    rss_after: int = 0
    firsts: list[float] = field(default_factory=list, repr=False)

    def as_dict(self) -> dict[str, object]:
        facts = asdict(self) | {"median_first_seconds": statistics.median(self.firsts or [0.0])}
        del facts["firsts"]
        return facts


def drive(address: str, model: str, requests: int, clients: int, cut_off: int, tokens: int = _TOKENS) -> Load:
    """Ask a server so often, by so many clients at once."""
    asking = _Asking(address, model, tokens)
    expected = {seed: asking.text(seed, stream=False)[0] for seed in range(1, _SEEDS + 1)}
    load = Load(requests=requests)
    chance = random.Random(1)
    jobs = [
        (chance.randint(1, _SEEDS), chance.random() < 0.5, number < cut_off) for number in range(requests)
    ]
    chance.shuffle(jobs)
    lock = threading.Lock()

    def serve(job: tuple[int, bool, bool]) -> None:
        seed, stream, leaves = job
        refused = 0
        while True:
            try:
                text, first = asking.text(seed, stream or leaves, leaves)
                break
            except Refused:
                refused += 1
                time.sleep(_AGAIN)
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                text, first = None, 0.0
                break
        with lock:
            load.refused += refused
            if leaves:
                load.cut_off += 1
            else:
                load.told += text == expected[seed]
                load.lost += text is None
                load.wrong += text is not None and text != expected[seed]
            if first:
                load.firsts.append(first)

    start = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(serve, jobs))
    load.seconds = time.monotonic() - start
    state = asking.console()
    load.most_waiting, load.bound = state["most_waiting"], state["bound"]
    return load


class Refused(Exception):
    """The queue is full."""


class _Asking:
    """Asks one server for stories."""

    def __init__(self, address: str, model: str, tokens: int) -> None:
        split = urlsplit(address)
        self._host, self._port = split.hostname or "", split.port
        self._model, self._tokens = model, tokens

    def text(self, seed: int, stream: bool, leaves: bool = False) -> tuple[str, float]:
        """The story of a seed, and the seconds to its first text where it is streamed; the first bytes of it
        for a client that leaves. Raises Refused."""
        body = {"model": self._model, "prompt": "One day", "seed": seed, "stream": stream}
        opened = http.client.HTTPConnection(self._host, self._port, timeout=120)
        start = time.monotonic()
        try:
            data = json.dumps(body | {"max_tokens": self._tokens}).encode()
            opened.request("POST", "/v1/completions", data, {"Content-Type": "application/json"})
            answer = opened.getresponse()
            if answer.status == TOO_MANY:
                answer.read()
                raise Refused
            if not stream:
                return json.loads(answer.read())["choices"][0]["text"], 0.0
            return self._streamed(answer, start, leaves)
        finally:
            opened.close()

    def _streamed(self, answer: http.client.HTTPResponse, start: float, leaves: bool) -> tuple[str, float]:
        text, first = "", 0.0
        for line in answer:
            if line.startswith(b"data: [DONE]"):
                return text, first
            if line.startswith(b"data: "):
                first = first or time.monotonic() - start
                text += "".join(choice["text"] for choice in json.loads(line[6:])["choices"])
                if leaves:
                    return text, 0.0
        raise ValueError("the stream broke off")

    def console(self) -> dict[str, int]:
        opened = http.client.HTTPConnection(self._host, self._port, timeout=60)
        opened.request("GET", "/console")
        state: dict[str, int] = json.loads(opened.getresponse().read())
        opened.close()
        return state


def _rss(process: int) -> int:
    """Bytes of memory that a process has, by Linux."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text("utf-8"), re.M)
    return 1024 * int(found[1]) if found else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--cut-off", type=int, default=30)
    parser.add_argument("--queue", type=int, default=8)
    parser.add_argument("--consoles", type=int, default=1)
    chosen = parser.parse_args(arguments)
    command = [sys.executable, "-c", "from xenon.cli.app import main; main()", "serve", "--port", "0"]
    command += ["--queue", str(chosen.queue), "--consoles", str(chosen.consoles)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address, model = re.findall(r"^(\S+) serves (\S+);", server.stderr.readline())[0]
            drive(address, model, chosen.clients, chosen.clients, 0)  # everything is there once
            before = _rss(server.pid)
            load = drive(address, model, chosen.requests, chosen.clients, chosen.cut_off)
            load.rss_before, load.rss_after = before, _rss(server.pid)
        finally:
            server.terminate()
    print(json.dumps(load.as_dict(), indent=2))
    right = Counter(told=load.told, cut_off=load.cut_off).total() == load.requests
    return 0 if right and not load.wrong and not load.lost and load.most_waiting <= load.bound else 1


if __name__ == "__main__":
    sys.exit(main())
