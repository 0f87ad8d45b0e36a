"""The README's own estimator: its text is what the commands beside it run."""

import re
from pathlib import Path

from agrae_lab.advantages import Link, link
from agrae_lab.advantages.properties.check import check

ROOT = Path(__file__).resolve().parents[1]
README, EXTEND = ((ROOT / name).read_text() for name in ("README.md", "docs/extend.md"))


def test_the_estimator_of_the_readme_keeps_its_laws(tmp_path, monkeypatch):
    (text,) = re.findall(r"```python\n(from dataclasses import dataclass\n.*?)```", README, re.S)
    (tmp_path / "my_readme_file.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    estimator, findings = check("my_readme_file.py:MyEstimator")
    assert estimator.name == "my_estimator"
    assert not [str(finding) for finding in findings if finding.is_fault]


def test_what_the_readme_imports_for_a_link_is_there():
    assert "`from agrae_lab.advantages import Link, link`" in EXTEND
    assert callable(link("base", "never_registered"))
    assert isinstance(Link, type)
