"""A bare engine for the tests of Unicorn itself."""

from __future__ import annotations

import pytest
from bare_engine import Engine


@pytest.fixture
def engine() -> Engine:
    return Engine()
