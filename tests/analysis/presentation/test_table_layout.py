"""Layouts → Markdown and LaTeX: nothing in them can become markup, and LaTeX, where there is one, sets them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from analysis_lab import HOSTILE
from latex_lab import set_in_latex

from analysis.presentation.style import PERCENT
from analysis.presentation.table_layout import (
    BEST,
    SECOND,
    Block,
    Cell,
    Layout,
    Row,
    latex,
    latex_text,
    markdown,
    percent,
    share_cell,
)

HEAD = ("k", "1", "256")
ROWS = (
    Row("GRPO", (Cell("12.3", "[1.0, 20.0]", BEST), Cell())),
    Row("published", (Cell("60.2", "± 0.4"), Cell("92.5")), published=True, beneath=True),
    Row("A-GRAE", (Cell("11.9", "[0.9, 19.0]", SECOND), Cell("x", math=r"2G\sqrt{p(1-p)}"))),
)
LAYOUT = Layout("Pass@k in %", HEAD, (Block("math_test", ROWS), Block("other", ROWS)), ("A note.",))


def test_markdown_has_a_table_for_each_block() -> None:
    assert markdown(LAYOUT) == (
        "**Pass@k in %**\n\n"
        "math\\_test\n\n| k | 1 | 256 |\n| --- | --- | --- |\n"
        "| GRPO | **12.3** [1.0, 20.0] | – |\n"
        "| published | 60.2 ± 0.4 | 92.5 |\n"
        "| A-GRAE | *11.9* [0.9, 19.0] | x |\n\n"
        "other\n\n| k | 1 | 256 |\n| --- | --- | --- |\n"
        "| GRPO | **12.3** [1.0, 20.0] | – |\n"
        "| published | 60.2 ± 0.4 | 92.5 |\n"
        "| A-GRAE | *11.9* [0.9, 19.0] | x |\n\n"
        "Details: A note.\n"
    )


def test_latex_is_booktabs_with_intervals_beneath() -> None:
    text = latex(LAYOUT, "t")
    body = text.splitlines()
    assert [line for line in body if "rule" in line] == [r"\toprule", r"\midrule", r"\midrule", r"\bottomrule"]
    assert r"GRPO & \textbf{12.3} & -- \\" in body
    assert r"{} & {\fontsize{6}{7}\selectfont [1.0, 20.0]} & {} \\[2pt]" in body
    assert r"\quad \textit{published} & 60.2 & 92.5 \\" in body
    assert r"A-GRAE & \underline{11.9} & $2G\sqrt{p(1-p)}$ \\" in body
    assert r"\multicolumn{3}{l}{\textit{math\_test}} \\" in body
    assert r"\caption{Pass@k in \%}" in body
    assert r"\par\vspace{4pt}\raggedright A note." in body
    assert all(line.count(" & ") == 2 for line in body if line.endswith(r"\\") and "multicolumn" not in line)


def test_spans_stand_above_their_columns() -> None:
    layout = Layout(
        "", ("", "a", "b", "c"), (Block("", (Row("x", (Cell(), Cell(), Cell())),)),), (), (("in", 1), ("out", 2))
    )
    assert "|  | in: a | out: b | out: c |" in markdown(layout)
    text = latex(layout, "t")
    assert r"{} & \multicolumn{1}{c}{in} & \multicolumn{2}{c}{out} \\" in text
    assert r"\cmidrule(lr){2-2} \cmidrule(lr){3-4}" in text


def test_numbers() -> None:
    assert (percent(0.12345), percent(float("nan")), percent(-0.005)) == ("12.3", "–", "−0.5")
    assert share_cell(0.5, 0.4, 0.6, BEST) == Cell("50.0", "[40.0, 60.0]", BEST)
    assert share_cell(0.5, float("nan"), float("nan")).interval == ""


def test_numbers_that_round_to_zero_have_no_minus() -> None:
    assert (percent(-0.0001), percent(-0.0), percent(-0.0006)) == ("0.0", "0.0", "−0.1")
    assert share_cell(-0.0001, -0.0002, 0.0) == Cell("0.0", "[0.0, 0.0]", "")
    assert PERCENT(-0.0, None) == "0"


@pytest.mark.parametrize("text", [*HOSTILE, "|*_`<b>[x](y)#", "a\\b{c}d&e%f$g#h_i~j^k"])
def test_hostile_names_stay_text(text: str) -> None:
    layout = Layout(text, ("", text), (Block(text, (Row(text, (Cell(text),)),)),), (text,))
    lines = markdown(layout).splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")] == [3, 3, 3]
    assert not re.search(r"(?<!\\)[<`]", markdown(layout))
    plain = re.sub(r"\\ensuremath\{.*?\}|\\text\w+\{\}|\\dots\{\}|\\[&%$#_{}]", "", latex_text(text))
    assert not set(plain) & set("\\{}&%$#_~^")
    assert plain.isascii()


def test_what_latex_may_not_know_is_named() -> None:
    assert latex_text("Müller – Σ|A| ≤ 2 𝔘") == (
        r"Müller -- \ensuremath{\Sigma}\ensuremath{|}A\ensuremath{|} \ensuremath{\le} 2 U+1D518"
    )
    assert latex_text("łø\x00") == "U+0142U+00F8U+0000"  # not letters with an accent in LaTeX's default encoding


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_sets_it(tmp_path: Path) -> None:
    hostile = [
        Row(text, tuple(Cell(text, text, mark) for mark in (BEST, SECOND))) for text in (*HOSTILE, "Müller~^\\{}")
    ]
    wild = Layout("".join(HOSTILE), HEAD, (Block("[x] $", tuple(hostile)),), ("–−×·±≤≥√…’ΣΔαβγπω<>|",))
    set_in_latex(tmp_path, latex(LAYOUT, "t"), latex(wild, "wild_name"))
