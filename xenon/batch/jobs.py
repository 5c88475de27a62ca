"""The jobs of a batch: stories of the lines of a file, and verifications of models."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from xenon.errors import ErrorCode, XenonError
from xenon.input_file import InputFile
from xenon.stories.settings import Sampling

MIB = 1 << 20
_MOST_BYTES = 1024 * MIB
_MOST_LINE_BYTES = 1 * MIB
_OPTIONS: dict[str, tuple[type, ...]] = {
    "temperature": (int, float),
    "top_p": (int, float),
    "seed": (int,),
    "steps": (int,),
    "ignore_eos": (bool,),
    "special": (bool,),
    "min_p": (int, float),
    "repeat_penalty": (int, float),
    "stop": (list,),
}
assert set(_OPTIONS) == {field.name for field in fields(Sampling)}
Result = dict[str, object]
"""The line of a result: `id`, and either what came of the job or `error` and `code`."""


@dataclass(frozen=True, slots=True)
class StoryJob:
    """A story to tell. `options` are fields of Sampling, not checked yet; they have a seed."""

    identity: str | int
    prompt: str
    options: tuple[tuple[str, Any], ...]

    def sampling(self) -> Sampling:
        """The options as one value. Raises XenonError for one that cannot be."""
        values = dict(self.options)
        for name, value in values.items():
            known = _OPTIONS.get(name)
            if known is None:
                raise XenonError(f"unknown option {name!r}", code=ErrorCode.BAD_VALUE)
            if not isinstance(value, known) or (isinstance(value, bool) and bool not in known):
                raise XenonError(f"{name}: {value!r} is no {known[-1].__name__}", code=ErrorCode.BAD_VALUE)
        stop = values.get("stop", [])
        if not all(isinstance(text, str) for text in stop):
            raise XenonError("stop: expected texts", code=ErrorCode.BAD_VALUE)
        return Sampling(**{**values, "stop": tuple(stop)})


@dataclass(frozen=True, slots=True)
class VerifyJob:
    """A model to verify: on so many hardware threads, with the tokens of a seed."""

    model: str | None
    tokenizer: str | None
    threads: int
    seed: int

    @property
    def identity(self) -> str:
        return f"{self.model or 'bundled'} threads={self.threads} seed={self.seed}"


BatchJob = StoryJob | VerifyJob


def read_stories(path: Path, defaults: Mapping[str, Any], seed: int) -> list[StoryJob]:
    """The jobs of a file: a JSON object a line, with `prompt`, options, and an `id` that is the line's number
    where there is none. `defaults` are options of lines that do not have them. A line without a seed gets one
    that follows from `seed` and its id.

    Raises XenonError, with the line, for a line that is no such object, and for an id that was there before.
    """
    with InputFile(path, "write the prompts to a file", pipes=True) as file:
        data = file.read(_MOST_BYTES, "a file of prompts")
    jobs = []
    seen: dict[str | int, int] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        row = _parsed(path, number, line)
        identity = row.pop("id", number)
        prompt = row.pop("prompt", "")
        if not isinstance(identity, str | int) or isinstance(identity, bool):
            raise _wrong(path, number, "id: expected a text or a whole number")
        if not isinstance(prompt, str):
            raise _wrong(path, number, "prompt: expected a text")
        if identity in seen:
            raise _wrong(path, number, f"id {identity!r} is that of line {seen[identity]}")
        seen[identity] = number
        options = {**defaults, "seed": _seed_of(seed, identity), **row}
        jobs.append(StoryJob(identity, prompt, tuple(sorted(options.items()))))
    if not jobs:
        raise XenonError(f"{path}: no prompts", 'a line is {"id": "a", "prompt": "One day"}')
    return jobs


def sweep_jobs(
    models: Sequence[str | None], tokenizer: str | None, threads: Sequence[int], seeds: Sequence[int]
) -> list[VerifyJob]:
    """Every model with every number of threads and every seed, each of them once."""
    product = itertools.product(dict.fromkeys(models), dict.fromkeys(threads), dict.fromkeys(seeds))
    return [VerifyJob(model, tokenizer, count, seed) for model, count, seed in product]


def fingerprint(work: object, jobs: Sequence[BatchJob]) -> str:
    """What tells two batches apart: a SHA-256 over what is done and all jobs."""
    digest = hashlib.sha256(repr(work).encode("utf-8", "backslashreplace"))
    for job in jobs:
        digest.update(repr(job).encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    if len(line) > _MOST_LINE_BYTES:
        raise _wrong(path, number, f"{len(line)} bytes, expected at most {_MOST_LINE_BYTES}")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        place = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise _wrong(path, number, f"no JSON{place}") from None
    if not isinstance(row, dict):
        raise _wrong(path, number, "expected a JSON object")
    return row


def _wrong(path: Path, number: int, what: str) -> XenonError:
    return XenonError(f"{path}: line {number}: {what}", 'a line is {"id": "a", "prompt": "One day"}')


def _seed_of(seed: int, identity: str | int) -> int:
    """1 to 2^31 - 1, the same for the same id everywhere."""
    digest = hashlib.sha256(f"{seed} {identity!r}".encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:8], "big") % (2**31 - 1) + 1
