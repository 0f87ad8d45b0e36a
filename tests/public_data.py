"""Rows of public problem sets: small copies in tests/data, or the whole sets in the folder that AGRAE_DATA names."""

import os
from pathlib import Path

import pytest

LOGS = Path(__file__).parent / "data" / "authors_logs"
PROBLEMS = Path(os.environ.get("AGRAE_DATA") or Path(__file__).parent / "data" / "problems")
needs_whole_sets = pytest.mark.skipif(not os.environ.get("AGRAE_DATA"), reason="AGRAE_DATA names no folder of sets")
