"""Files of a confirmatory study: written once, read-only, and refused after any change."""

import json
import re
from pathlib import Path

import pytest

from agrae_lab import runs

CONTENT = {"arms": {"grpo": {"settings": {"train.learning_rate": 1e-4}}}, "alpha": 0.05, "text": "Größe"}


def test_a_frozen_file_is_dated_read_only_and_written_once(tmp_path: Path) -> None:
    folder = runs.protocol_dir(tmp_path, "night")
    assert runs.read_frozen(folder) is None
    path = runs.write_frozen(folder, CONTENT, date="2026-01-31")
    assert path == tmp_path / "protocols" / "night" / "frozen-2026-01-31.json"
    assert path.stat().st_mode & 0o777 == 0o444
    frozen = runs.read_frozen(folder)
    assert frozen is not None
    assert {key: frozen[key] for key in CONTENT} == CONTENT
    assert frozen["frozen"] == "2026-01-31"
    with pytest.raises(runs.RunError, match="a protocol is frozen once"):
        runs.write_frozen(folder, CONTENT, date="2026-02-01")


@pytest.mark.parametrize(("old", "new"), [("0.05", "0.06"), ("2026-01-31", "2026-01-30"), ("0.0001", "0.001")])
def test_a_changed_frozen_file_is_refused(old: str, new: str, tmp_path: Path) -> None:
    path = runs.write_frozen(tmp_path, CONTENT, date="2026-01-31")
    path.chmod(0o644)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(runs.RunError, match="has been changed since it was written"):
        runs.read_frozen(tmp_path)


def test_two_frozen_files_are_refused(tmp_path: Path) -> None:
    path = runs.write_frozen(tmp_path, CONTENT, date="2026-01-31")
    path.with_name("frozen-2026-02-01.json").write_text(path.read_text())
    with pytest.raises(runs.RunError, match="has 2 frozen files"):
        runs.read_frozen(tmp_path)


def test_looks_belong_to_one_design(tmp_path: Path) -> None:
    assert runs.read_looks(tmp_path, "a") == []
    looks = [{"num_seeds": 3, "comparisons": [{"estimate": 0.1}]}]
    runs.write_looks(tmp_path, "a", looks)
    assert runs.read_looks(tmp_path, "a") == looks
    with pytest.raises(runs.RunError, match=re.escape(f"{tmp_path / 'looks.json'} has looks of another design")):
        runs.read_looks(tmp_path, "b")
    changed = (tmp_path / "looks.json").read_text().replace("0.1", "0.2")
    (tmp_path / "looks.json").write_text(changed)
    with pytest.raises(runs.RunError, match=r"looks\.json has been changed since it was written"):
        runs.read_looks(tmp_path, "a")
    (tmp_path / "looks.json").write_text(json.dumps({"schema_version": runs.SCHEMA_VERSION, "design": "a"}))
    with pytest.raises(runs.RunError, match=r"looks\.json has been changed since it was written"):
        runs.read_looks(tmp_path, "a")
    (tmp_path / "looks.json").write_text(json.dumps({"schema_version": 99, "design": "a", "looks": []}))
    with pytest.raises(runs.RunError):
        runs.read_looks(tmp_path, "a")
