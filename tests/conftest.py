"""What every test shares: a few threads, repeatable property tests, and skips that say what is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Read by torch and numba when they are first imported, which is after this file; the same count for both.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "2")

settings.register_profile("graphrec", derandomize=True, deadline=None)
settings.load_profile("graphrec")


def pytest_configure(config: pytest.Config) -> None:
    """Run Triton's kernels in its interpreter, unless the tests that need a GPU are asked for.

    Triton reads the variable when it is imported, which is after this.
    """
    if "not gpu" in config.option.markexpr:
        os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with a line that says why, what this machine cannot run."""
    if item.get_closest_marker("realdata") and not os.environ.get("GRAPHREC_DATA"):
        pytest.skip("GRAPHREC_DATA names no folder of data sets")
    if item.get_closest_marker("gpu"):
        import torch  # only here: a test of the data stage needs no torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of the sample tables that come with the repository."""
    return Path(__file__).parent.parent / "datasets" / "sample"
