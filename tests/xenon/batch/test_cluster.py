"""A batch on a Dask cluster of this computer gives the results that processes give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xenon.batch.cluster import Cluster
from xenon.batch.jobs import StoryJob
from xenon.batch.run import run_batch
from xenon.batch.work import story_work
from xenon.errors import XenonError
from xenon.stories.settings import Setup

JOBS = [StoryJob(f"s{number}", "One day", (("seed", number + 1), ("steps", 16))) for number in range(9)] + [
    StoryJob("long", "a b " * 800, ())
]


@pytest.fixture(scope="module")
def distributed() -> Any:
    """The package, which takes half a second to import."""
    return pytest.importorskip("distributed", reason="needs distributed: pip install distributed")


@pytest.fixture(scope="module")
def address(distributed: Any) -> Iterator[str]:
    """A scheduler with one worker of two threads, in this process: the quickest to start."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        yield cluster.scheduler_address


def test_the_results_are_those_of_this_process(address: str, tmp_path: Path) -> None:
    work = story_work(None, None, Setup(), None)
    target = tmp_path / "stories.jsonl"
    state = run_batch(work, JOBS, lambda: Cluster(work, address), target)
    assert (state.done, state.failed) == (10, 1)
    rows = [json.loads(row) for row in target.read_text().splitlines()]
    assert rows == [work.do(job) for job in JOBS]


def test_another_model_on_the_cluster_ends_the_batch(address: str, tmp_path: Path) -> None:
    work = replace(story_work(None, None, Setup(), None), sha256="another")
    with pytest.raises(XenonError, match="where the batch began"):
        run_batch(work, JOBS[:1], lambda: Cluster(work, address), tmp_path / "stories.jsonl")


@pytest.mark.usefixtures("distributed")
def test_no_cluster_is_an_error() -> None:
    work = story_work(None, None, Setup(), None)
    with pytest.raises(XenonError, match="no Dask cluster answers here"):
        Cluster(work, "no address")
