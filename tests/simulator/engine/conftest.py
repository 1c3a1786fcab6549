"""What the tests of folding share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from simulator.collectives import rounds


@pytest.fixture(scope="module")
def few_slices() -> Iterator[None]:
    """What streams goes in two slices: full runs by messages stay small, and classes are the same."""
    few: dict[str, Any] = {"SLICES": 2, "MOST_SLICES": 2}
    with patch.multiple(rounds, **few):
        yield
