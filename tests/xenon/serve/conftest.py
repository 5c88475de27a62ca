"""What the tests of the server share: a server before the bundled model, and one that takes its time."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from api_server import SLOW, api_server

if TYPE_CHECKING:
    from xenon.serve.server import ApiServer


@pytest.fixture(scope="session", autouse=True)
def packages_of_serve() -> None:
    """Skips all tests of this folder where a package is missing."""
    for package in ("starlette", "uvicorn", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"serve needs {package}: pip install 'xenon-llm[serve]'")


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """On the fastest engine."""
    with api_server(waiting=64, head_seconds=1.0, body_seconds=0.5) as running:
        yield running


@pytest.fixture(scope="module")
def slow_server() -> Iterator[ApiServer]:
    """A token takes some milliseconds; two requests may wait."""
    with api_server(SLOW, waiting=2) as running:
        yield running
