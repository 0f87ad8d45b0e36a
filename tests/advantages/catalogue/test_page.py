"""Tests of the page that compares all estimators: it is up to date, and no estimator is missing."""

import re
from pathlib import Path

import pytest

from agrae_lab.advantages import SLOTS, field_names, links, preset_names
from agrae_lab.advantages.__main__ import main
from agrae_lab.advantages.catalogue import facts, page

ROOT = Path(__file__).resolve().parents[3]
MARKDOWN = page.markdown()
LINKS = [(slot, name) for slot in SLOTS for name in links(slot) if name != "none"]


def section(name):
    """Return the text of an estimator's first section."""
    return re.split(r"\n##+ ", MARKDOWN.split(f"\n### {name.replace('_', chr(92) + '_')}\n", 1)[1])[0]


def test_the_committed_page_is_what_the_command_writes():
    written = (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8")
    assert written == MARKDOWN, "run `python -m agrae_lab.advantages page`"


def test_the_committed_figure_is_there():
    assert (ROOT / "docs" / "figures" / "estimators.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_a_row_and_a_section(name):
    assert f"](#{name}) |" in MARKDOWN
    assert "| A+ |" in section(name)


@pytest.mark.parametrize(("slot", "name"), LINKS)
def test_every_link_is_described_with_all_its_settings(slot, name):
    cls = links(slot)[name]
    assert facts.describe(cls).formula in MARKDOWN
    for field in field_names(cls):
        assert f"`{slot}.{field} = " in MARKDOWN


@pytest.mark.parametrize(("slot", "name"), [link for link in LINKS if link[0] != "match"])
def test_every_docstring_has_purpose_formula_source_and_example(slot, name):
    description = facts.describe(links(slot)[name])
    assert description.purpose.endswith(".")
    assert len(description.purpose.split(". ")) == 1
    assert "make(" in description.example
    assert "=" in description.formula
    assert re.search(r"arXiv \d{4}\.\d{5}|Eq\. \d|Table \d|\w/[\w.-]+:|NeMo", description.source), description


def test_values_by_hand():
    # G = 8, k = 2, p = 1/4: MaxRL (r − p)/p = 3 and −1; GRPO √3 and −1/√3; Positive-Dominant ten times √3
    assert facts.Entry("max_rl", facts.make("max_rl")).advantages[0][2] == pytest.approx(3.0, abs=1e-4)
    rows = [line.split(" | ") for line in section("positive_dominant").splitlines() if line.startswith("| A")]
    assert [row[3] for row in rows] == ["17.321", "−0.577"]
    assert rows[0][1] == ""  # no correct completion at k = 0


def test_docstrings_are_read_as_written():
    class Link:
        """Serve a purpose.

        A = (a + b) / c,
        d else   (Eq. 1; arXiv 1234.56789 (v2)). β = 1: A.

        More words.

        >>> 1 + 1
        2
        """

    class Bare:
        """A = b."""

    assert facts.describe(Link) == facts.Description(
        purpose="Serve a purpose.",
        formula="A = (a + b) / c,\nd else",
        source="Eq. 1; arXiv 1234.56789 (v2)",
        remark="β = 1: A.",
        paragraphs=("More words.",),
        example=">>> 1 + 1\n2",
    )
    assert facts.describe(Bare) == facts.Description("", "A = b", "", "", (), "")


def test_show_prints_the_section_of_an_estimator(capsys):
    assert main(["show", "curve_rl", "l1"]) == 0
    output = capsys.readouterr().out
    assert output.index("### curve\\_rl") < output.index("### l1")
    assert "`base.window = 10`: a whole number from 1; t0, the number of batches kept" in output
    assert ">>> advantages, state = " in output


def test_the_command_writes_page_and_figure(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(page, "draw", lambda entries, path: [path.with_suffix(".png")])
    assert main(["page", f"out={tmp_path}"]) == 0
    names = ["estimators.md", "figures/estimators.png"]
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in names]
    assert (tmp_path / "estimators.md").read_text(encoding="utf-8") == MARKDOWN


def test_the_figure_is_drawn(tmp_path):
    entries = facts.presets()[:3] + facts.other_links("token")[:3]
    for path in page.draw(entries, tmp_path / "few"):
        assert path.stat().st_size > 10_000


def test_the_table_has_every_estimator(capsys):
    assert main([]) == 0
    starts = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:1].strip()]
    assert set(starts) >= {*preset_names(), *(name for _, name in LINKS)}
