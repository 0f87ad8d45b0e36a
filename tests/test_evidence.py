"""docs/evidence.md quotes the records of its studies in docs/evidence/: every sentence and file is checked."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from agrae_lab.runs.protocols import read_frozen, read_looks
from analysis.presentation.style import label
from analysis.statistics.sequential import OPEN, decided, describe_look

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "evidence.md").read_text(encoding="utf-8")
RECORDS = DOCS / "evidence"
PROTOCOLS = sorted(path.parent for path in RECORDS.glob("*/looks.json"))


def test_there_are_records() -> None:
    assert {"evidence", "evidence_matched", "curve_confirm"} <= {folder.name for folder in PROTOCOLS}


@pytest.mark.parametrize("folder", PROTOCOLS, ids=lambda folder: folder.name)
def test_every_decision_is_quoted_as_recorded(folder: Path) -> None:
    frozen = read_frozen(folder)  # refuses a file that was changed since the freeze
    assert frozen is not None
    reference = frozen["declared"]["protocol.reference"]
    looks = read_looks(folder, frozen["digest"])
    sentences = [line for look in looks for line in describe_look(decided(look), reference, label=label)]
    candidates = set(frozen["arms"]) - {reference}
    assert len(sentences) == len(candidates) * len(frozen["declared"]["protocol.metrics"])
    assert all(one["decision"] != OPEN for one in looks[-1]["comparisons"])
    missing = [sentence for sentence in sentences if sentence not in PAGE]
    assert missing == []


def test_the_page_shows_files_that_are_there() -> None:
    shown = re.findall(r"\]\((evidence/[^)]+)\)", PAGE)
    assert shown
    assert [name for name in shown if not (DOCS / name).is_file()] == []


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*/table_answer.csv")), ids=lambda path: path.parent.name)
def test_the_tables_of_differences_are_the_records(path: Path) -> None:
    """Each row of the page's table of a study has the numbers of its CSV."""
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        points = [f"{100 * float(row[key]):+.1f}".replace("-", "−") for key in ("estimate", "lo", "hi")]
        cell = f"{points[0]} [{points[1]}, {points[2]}]"
        assert re.search(rf"^\| {re.escape(label(row['arm']))} \|.*{re.escape(cell)}", PAGE, re.M), (row["arm"], cell)


def test_records_are_small() -> None:
    assert sum(path.stat().st_size for path in RECORDS.rglob("*") if path.is_file()) < 3_000_000
