"""What all Python tests share: every run says its seed, and one number repeats it.

`WEFT_TEST_SEED=7 make test` runs with another seed; tests take theirs from the `seed` fixture,
which differs from test to test, and Hypothesis is seeded by the same number.
"""

from __future__ import annotations

import os
import zlib

import pytest

# Which algorithm runs must not hang on how busy this machine is.
os.environ.setdefault("WEFT_COSTS", "default")
BASE_SEED = int(os.environ.get("WEFT_TEST_SEED", "1"))


def pytest_report_header() -> str:
    return f"weft: WEFT_TEST_SEED={BASE_SEED}"


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.has_plugin("hypothesispytest"):
        config.option.hypothesis_seed = str(BASE_SEED)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A 32-bit seed of this test's own, the same in every run with the same WEFT_TEST_SEED."""
    return zlib.crc32(f"{BASE_SEED}:{request.node.nodeid}".encode())
