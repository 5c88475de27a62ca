"""Batches: the same lines in any way, in order, none lost and none twice, whoever ends when."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMAND, run_command_text
from support import WHOLE
from systems import ON_WINDOWS

import xenon
from loader.errors import LoaderCode, LoaderError
from xenon.batch.jobs import BatchJob, Result, StoryJob, read_stories, sweep_jobs
from xenon.batch.journal import Journal
from xenon.batch.processes import Processes
from xenon.batch.run import BatchState, run_batch
from xenon.batch.work import VerifyWork, story_work, unload
from xenon.errors import XenonError
from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories.settings import Sampling, Setup

LINES: list[dict[str, Any]] = [
    *({"id": f"s{number}", "prompt": "One day", "steps": 12} for number in range(6)),
    {"id": "greedy", "prompt": "Sleepy Joe said", "temperature": 0, "steps": 20, "stop": ["."]},
    {"id": "seed", "prompt": "Sleepy Joe said", "temperature": 0.8, "seed": 2, "steps": 20},
    {"prompt": "no id", "steps": 10},
    {"id": "long", "prompt": "a b " * 800},
    {"id": "cold", "prompt": "x", "temperature": -1},
    {"id": "unknown", "prompt": "x", "frobnicate": 1},
    {"id": "flag", "prompt": "x", "steps": True},
    {"id": 7, "prompt": "The cat", "steps": 12},
]


class HereAndNow:
    """Does jobs in this process, the last one first; `most` of them before it gives up."""

    def __init__(self, work: Any, most: int | None = None) -> None:
        self._work, self._most = work, most

    def results(self, jobs: Sequence[tuple[int, BatchJob]]) -> Iterator[tuple[int, Result]]:
        for number, job in reversed(jobs) if self._most is None else list(jobs)[: self._most]:
            yield number, self._work.do(job)
        if self._most is not None:
            raise XenonError("given up")


@pytest.fixture(scope="module", autouse=True)
def nothing_stays_loaded() -> Iterator[None]:
    yield
    unload()


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batch") / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)) + "\n\n")
    return path


@pytest.fixture(scope="module")
def jobs(prompts: Path) -> list[StoryJob]:
    return read_stories(prompts, {}, 1)


@pytest.fixture(scope="module")
def work() -> Any:
    return story_work(None, None, Setup(), None)


@pytest.fixture(scope="module")
def expected(work: Any, jobs: list[StoryJob], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    target = tmp_path_factory.mktemp("batch") / "expected.jsonl"
    run_batch(work, jobs, lambda: HereAndNow(work), target)
    return target.read_bytes()


def test_results_are_in_order_with_failures_by_id(expected: bytes) -> None:
    rows = [json.loads(line) for line in expected.splitlines()]
    assert [row["id"] for row in rows] == [line.get("id", 9) for line in LINES]
    failed = {row["id"]: row["error"] for row in rows if "error" in row}
    assert set(failed) == {"long", "cold", "unknown", "flag"}
    assert "temperature -1" in failed["cold"]
    told = "".join(xenon.Session().tell("Sleepy Joe said", Sampling(0.8, seed=2, steps=20)))
    assert next(row for row in rows if row["id"] == "seed")["text"] == told.removesuffix("\n")
    assert len({row["seed"] for row in rows[:6]}) == 6  # they follow from ids


def test_processes_give_the_same(work: Any, jobs: list[StoryJob], expected: bytes, tmp_path: Path) -> None:
    states: list[BatchState] = []
    target = tmp_path / "stories.jsonl"

    def told(state: BatchState) -> None:
        states.append(replace(state))

    run_batch(work, jobs, lambda: Processes(work, 2), target, told=told)
    assert target.read_bytes() == expected
    assert [state.done for state in states] == list(range(len(LINES) + 1))
    assert states[-1].failed == 4
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("torn", ["", '{"id": "s3", "te', "\n"], ids=["whole", "torn", "empty line"])
def test_a_batch_goes_on_where_it_was(
    work: Any, jobs: list[StoryJob], expected: bytes, tmp_path: Path, torn: str
) -> None:
    target = tmp_path / "stories.jsonl"
    with pytest.raises(XenonError, match="given up"):
        run_batch(work, jobs, lambda: HereAndNow(work, most=3), target)
    assert target.read_bytes() == b"".join(expected.splitlines(keepends=True)[:3])
    with target.open("a") as file:
        file.write(torn)
    if torn == "\n":
        with pytest.raises(XenonError, match="line 4 is no result of this batch"):
            run_batch(work, jobs, lambda: HereAndNow(work), target)
        return
    state = run_batch(work, jobs, lambda: HereAndNow(work), target)
    assert (state.before, state.done) == (3, len(LINES))
    assert target.read_bytes() == expected


def test_another_batch_and_a_whole_file_are_left_alone(
    work: Any, jobs: list[StoryJob], expected: bytes, tmp_path: Path
) -> None:
    target = tmp_path / "stories.jsonl"
    with pytest.raises(XenonError, match="given up"):
        run_batch(work, jobs, lambda: HereAndNow(work, most=1), target)
    with pytest.raises(XenonError, match="was begun with other prompts"):
        run_batch(work, jobs[:-1], lambda: HereAndNow(work), target)
    run_batch(work, jobs, lambda: HereAndNow(work), target, again=True)
    assert target.read_bytes() == expected
    with pytest.raises(LoaderError) as caught:
        run_batch(work, jobs, lambda: HereAndNow(work), target)
    assert caught.value.code is LoaderCode.TARGET_EXISTS
    assert target.read_bytes() == expected
    journal = Journal(tmp_path / "other.jsonl", "batch", jobs)
    with pytest.raises(XenonError, match="another process writes it"):
        Journal(tmp_path / "other.jsonl", "batch", jobs)
    journal.close()


def test_a_process_that_is_killed_fails_its_job_alone(work: Any, jobs: list[StoryJob]) -> None:
    """The one that has the longest story."""
    from multiprocessing import active_children

    long = StoryJob("long", "One day", (("seed", 1), ("steps", 40)))
    told = []
    results = Processes(work, 1).results(list(enumerate([jobs[0], *[long] * 3, jobs[1]])))
    for number, result in results:
        told.append(result)
        if number == 0:
            for child in active_children():
                child.kill()
    assert [result["id"] for result in told] == ["s0", "long", "long", "long", "s1"]
    assert told[1]["error"] == f"its process ended by signal {'SIGTERM' if ON_WINDOWS else 'SIGKILL'}"
    assert all("text" in result for result in (told[0], *told[2:]))


def test_a_batch_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rows = [{"id": number, "prompt": "One day", "steps": 60} for number in range(8)]
    path, target = tmp_path / "many.jsonl", tmp_path / "stories.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["batch", str(path), "-o", str(target), "-j", "1"]
    with subprocess.Popen([*COMMAND, *words], start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (target.exists() and target.read_bytes().count(b"\n") >= 2):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
    assert Path(f"{target}.unfinished").exists()
    before = target.read_bytes()
    result = run_command_text(*words)
    assert result.returncode == 0, result.stderr
    assert " of them before, none failed" in result.stderr
    after = target.read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    assert [json.loads(line)["id"] for line in after.splitlines()] == list(range(8))
    assert not Path(f"{target}.unfinished").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no prompts"),
        ("{", "line 1: no JSON at character 2"),
        ('{"id": "a"}\n[1]', "line 2: expected a JSON object"),
        ('{"id": "a"}\n\n{"id": "a"}', "line 3: id 'a' is that of line 1"),
        ('{"id": 1.5}', "line 1: id: expected a text or a whole number"),
        ('{"prompt": 1}', "line 1: prompt: expected a text"),
        ("[" * 100_000, "line 1: no JSON"),
        ('{"prompt": "' + "a" * 1_100_000 + '"}', "expected at most 1048576"),
    ],
)
def test_files_that_are_no_prompts(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(text)
    with pytest.raises(XenonError) as caught:
        read_stories(path, {}, 1)
    assert message in caught.value.message


@pytest.mark.usefixtures("library")
def test_a_sweep_verifies_every_combination(tmp_path: Path) -> None:
    planned = sweep_jobs([None, None], None, (1, 2), (0, 1, 1))
    assert [job.identity for job in planned] == [
        f"bundled threads={threads} seed={seed}" for threads in (1, 2) for seed in (0, 1)
    ]
    target, work = tmp_path / "sweep.jsonl", VerifyWork(Setup(cpu=CpuKind.UNICORN), 2)
    planned = [planned[1], *sweep_jobs(["gone.bin"], None, (1,), (0,))]
    run_batch(work, planned, lambda: HereAndNow(work), target)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert rows[0]["passed"] is True
    assert {row["name"] for row in rows[0]["checks"]} >= {"model: checksum", "console: memory"}
    assert "gone.bin" in rows[1]["error"]


def test_the_command_line_of_a_sweep(tmp_path: Path) -> None:
    for words in (
        *(("--threads", "0"), ("--threads", "7"), ("--seeds", "3-1"), ("--seeds", "a")),
        ("-j", "1", "--dask", "x"),
    ):
        result = run_command_text("sweep", "-o", tmp_path / "sweep.jsonl", *words)
        assert (result.returncode, result.stdout) == (2, "")
    if WHOLE:
        target = tmp_path / "sweep.jsonl"
        result = run_command_text("sweep", "-o", target, "--threads", "1", "-n", "2", "-j", "1")
        assert (result.returncode, target.read_text().count("\n")) == (0, 1), result.stderr
