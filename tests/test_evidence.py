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
        cell = _points(row)
        assert re.search(rf"^\| {re.escape(label(row['arm']))} \|.*{re.escape(cell)}", PAGE, re.M), (row["arm"], cell)


def test_the_table_of_settings_is_the_record() -> None:
    rows = list(csv.DictReader((RECORDS / "phase_diagram" / "settings.csv").read_text(encoding="utf-8").splitlines()))
    held_out = [row for row in rows if row["benchmark"] == "countdown_tune"]
    assert len(held_out) == 4 * 3 * 2  # settings × candidates × k
    for row in held_out:
        cell = _points(row)
        assert re.search(rf"^\| k = {row['k']}, {row['setting']} \|.*{re.escape(cell)}", PAGE, re.M), (
            row["panel"],
            cell,
        )
    excluding = sum(float(row["lo"]) > 0 or float(row["hi"]) < 0 for row in rows)
    assert f"Of the {len(rows)} intervals, {('no', 'one', 'two', 'three')[excluding]}\nexclude 0" in PAGE


def _points(row: dict[str, str]) -> str:
    """Return a row's difference as the page writes it: `+0.4 [−1.3, +2.1]`."""
    points = [f"{100 * float(row[key]):+.1f}".replace("-", "−") for key in ("estimate", "lo", "hi")]
    return f"{points[0]} [{points[1]}, {points[2]}]"


def test_records_are_small() -> None:
    assert sum(path.stat().st_size for path in RECORDS.rglob("*") if path.is_file()) < 3_000_000
