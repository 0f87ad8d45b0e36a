"""Fixtures for all rooms."""

import os
from pathlib import Path

import pytest

# The forkserver and tokenizers would otherwise warn about threads; tests use one core each.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Golden values and benchmark data that lie beside the project in some places."""
    if not SHARED.is_dir():
        pytest.skip("the golden values beside the project (../shared) are not here")
    return SHARED
