"""A broken figure or table costs itself alone, and its author reads one sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from analysis import figures, tables
from analysis.presentation import discovery
from analysis.presentation.render import Rendered

WHOLE = """
NAME, QUESTION = "whole", "?"
def table(study): return study.missing
def caption(table): return ""
def draw(table, ax): return ax
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = tmp_path / "analysis" / "figures_of_a_user"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "whole.py").write_text(WHOLE)
    (folder / "nameless.py").write_text(
        WHOLE.replace("def draw", "def paint").replace("NAME, QUESTION", "TITLE, QUESTION")
    )
    (folder / "unimportable.py").write_text("import nothing_of_this_name")
    (folder / "syntax.py").write_text("def")
    (folder / "_helper.py").write_text("raise ValueError")
    monkeypatch.syspath_prepend(str(tmp_path / "analysis"))
    return __import__("figures_of_a_user")


def test_a_file_that_lacks_a_name_is_broken_and_the_others_are_found(package: ModuleType) -> None:
    found = {one.NAME: one for one in discovery.discover(package, figures.REQUIRED, several="FIGURES")}
    assert set(found) == {"whole", "nameless", "unimportable", "syntax"}
    assert found["nameless"].reason == "figures_of_a_user/nameless.py has no NAME and no draw; add it"
    assert "unimportable.py cannot be imported: ModuleNotFoundError: No module named" in found["unimportable"].reason
    assert "syntax.py cannot be imported: SyntaxError: " in found["syntax"].reason
    outcome = discovery.make(found["nameless"], lambda _: Rendered("never", "?"))
    assert (outcome.name, outcome.reason, outcome.refused) == ("nameless", found["nameless"].reason, True)


def test_an_error_names_the_line_and_the_attribute(package: ModuleType) -> None:
    (whole,) = [one for one in discovery.discover(package, figures.REQUIRED) if one.NAME == "whole"]
    outcome = discovery.make(whole, lambda figure: figure.table(SimpleNamespace()))
    assert outcome.refused
    assert outcome.reason == (
        "analysis/figures_of_a_user/whole.py:3 raises AttributeError: 'types.SimpleNamespace' object has no attribute "
        "'missing'; correct that file"
    )


def test_all_shipped_ones_are_whole() -> None:
    for found in (figures.discover(), tables.discover()):
        assert not [one for one in found if isinstance(one, discovery.Broken)]
    assert {"gain", "passk"} <= {one.NAME for one in figures.discover()}
    assert figures.find("gain") is sys.modules["analysis.figures.gain"]
