"""Settings for all rooms."""

import gc
import importlib
import os

import pytest

# The forkserver and tokenizers would otherwise warn about threads; tests use one core each.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Files that take half a minute or more: two processes that share the files in turn begin with these.
LONG = (
    *("test_command_line", "test_vision", "test_runs_end_to_end", "test_recipes", "test_html_browser", "test_search"),
    *("test_protocol", "test_protocol_nano", "test_documents"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; the rest keeps its order."""
    items.sort(key=lambda item: item.path.stem not in LONG)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the million objects of imported libraries."""
    importlib.import_module("hypothesis")  # else its plugin does so later, and looks for referrers among these objects
    gc.collect()
    gc.freeze()
