"""Settings for all rooms."""

import gc
import importlib
import os

import pytest

# The forkserver and tokenizers would otherwise warn about threads; tests use one core each.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # processes that tests start would compile all our modules again

# Files that take half a minute or more: processes that share the files in turn begin with these.
LONG = (
    *("test_compare", "test_executor", "test_command_line", "test_distributed", "test_protocol", "test_recipes"),
    *("test_losses", "test_study_launch", "test_estimators_in_training", "test_config", "test_paper_experiments"),
    *("test_vision", "test_dynamic_sampling", "test_trl_adapter", "test_documents", "test_gaps", "test_search"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, the longest before the others; the rest keeps its order."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the million objects of imported libraries."""
    importlib.import_module("hypothesis")  # else its plugin does so later, and looks for referrers among these objects
    _freeze()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Spare it, after each file of tests, what that file has imported: every training collects garbage once."""
    if nextitem is None or nextitem.path != item.path:
        _freeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()
