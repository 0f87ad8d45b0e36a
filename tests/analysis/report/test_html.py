"""report.html as a document: what stands in it, and that nothing hostile becomes markup. No browser here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from analysis_lab import BENCHMARK
from html_lab import HOSTILE, PNG, SVG, Document, check_harmless, data_of, result_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from agrae_lab.runs import list_experiments
from analysis.claims.verdicts import Part, Verdict
from analysis.io.study import load_study
from analysis.presentation.render import Rendered
from analysis.presentation.style import label
from analysis.presentation.table_layout import BEST, Block, Cell, Layout, Row
from analysis.report import html
from analysis.report.headline import headline
from analysis.report.html import completions, embed
from analysis.report.html.completions import Sample, sample_completions
from analysis.report.result import Result, claims_line
from analysis.statistics.intervals import Interval


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "passk.svg").write_bytes(SVG)
    (folder / "old.png").write_bytes(PNG)
    return folder


@pytest.fixture(scope="module")
def result(demo_root) -> Result:
    result = result_of(demo_root, "group_symmetry")
    cells = (Cell("12.3", "[10.1, 14.5]", BEST), Cell("1,234"))
    layout = Layout("Its caption.", ("arm", "1", "2"), (Block("A <b>", (Row("GRPO | x", cells),)),), ("Noted.",))
    result.figures = [
        Rendered("old", "An old one?", caption="PNG alone."),
        Rendered("passk", "How often?", caption="Unbiased.", paper="Figures 2, 4 and 7"),
        Rendered("gone", "Where?", reason="no data yet"),
    ]
    result.tables = [
        Rendered("table_main", "Which arm?", caption="Its caption.", paper="Table 3", layout=layout),
        Rendered("table_answer", "Which candidate?", caption="Differences.", layout=layout),
        Rendered("wanting", "Which one?", reason="no data yet"),
    ]
    return result


@pytest.fixture(scope="module")
def page(result: Result, folder: Path) -> str:
    return html.report_page(result, sample_completions(result.study), folder)


def test_the_page_is_whole_and_asks_nothing_of_any_network(page: str) -> None:
    document = Document(page)
    check_harmless(document)
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    policy = next(a["content"] for t, a in document.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    style, script = (re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S) for tag in ("style", "script"))
    assert [embed.csp_hash(text) in policy for text in (*style, *script)] == [True, True]


def test_the_question_its_answer_and_the_claims_head_the_page(page: str, result: Result) -> None:
    document = Document(page)
    assert document.text("h1") == result.study.question
    sections = [attrs["id"] for tag, attrs in document.elements if tag == "section"]
    told = headline(result)
    assert told
    assert all(sentence in document.text("header") for sentence in told)
    folded = next(attrs for tag, attrs in document.elements if tag == "details")
    assert folded["class"] == "claims"
    assert claims_line(result.verdicts) in document.text("summary")
    first, *others = sections
    assert first == "differences"
    assert others == ["verdicts", "figures", "tables", "completions", "arms", "runs", "provenance", "again"]
    text = document.text("article")
    for verdict in result.verdicts:
        if verdict.parts:
            deciding = verdict.deciding
            assert deciding is not None
            for words in (verdict.title, verdict.verdict, deciding.name, verdict.would_change, verdict.scope):
                assert words in text
        else:
            assert f"{verdict.claim} {verdict.title}: {verdict.text}" in document.text("details")


def test_figures_come_in_the_papers_order_with_captions_and_both_grounds(page: str) -> None:
    document = Document(page)
    ids = [attrs["id"] for tag, attrs in document.elements if tag == "figure"]
    assert ids == ["figure-passk", "figure-old"]
    assert "passk (the paper’s Figures 2, 4 and 7). Unbiased." in document.text("figcaption")
    images = [attrs for tag, attrs in document.elements if tag == "img"]
    assert [image.get("class") for image in images] == ["light", "dark", None, None]  # the last: the enlarged one
    assert [image.get("width") for image in images] == ["541", "541", None, None]
    assert images[2]["src"] == embed.data_uri("image/png", PNG)
    assert "Skipped: gone, wanting (no data yet)." in document.text("p")
    assert page.index('id="table-table_answer"') < page.index('id="verdicts"') < page.index('id="table-table_main"')


def test_a_drawing_of_too_many_points_is_shown_as_png(
    result: Result, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.report.html.page.MOST_SVG", 10)
    (folder / "passk.png").write_bytes(PNG)
    page = html.report_page(result, Sample(), folder)
    assert "image/svg" not in Document(page).text("body")
    assert page.count("data:image/png") == 2


def test_tables_keep_their_marks_intervals_and_blocks(page: str) -> None:
    document = Document(page)
    assert {"class": "best"} in [attrs for tag, attrs in document.elements if tag == "td"]
    text = document.text("table")
    for words in ("A <b>", "GRPO | x", "12.3", "[10.1, 14.5]", "1,234"):
        assert words in text


def test_the_same_runs_give_the_same_page(page: str, result: Result, folder: Path) -> None:
    assert html.report_page(result, sample_completions(result.study), folder) == page


def test_unfinished_failed_and_refused_are_named_at_the_top(new_root: Callable, folder: Path) -> None:
    from agrae_lab.runs import update_meta

    root = new_root(num_problems=6, num_samples=4, num_steps=4)
    failed = root.run("a_grae", status="failed", steps=3)
    update_meta(failed.path, error="CUDA <b>out of memory</b>\n\u202eolleh")
    root.experiment("x", [root.run("grpo"), failed, root.run("grpo", 1, status="diverged", steps=3)])
    result = result_of(root, "x")
    result.refused.append("Pass@k on <i>this</i>: differs")
    document = Document(html.report_page(result, sample_completions(result.study), folder))
    check_harmless(document)
    header = document.text("header")
    assert f"{failed.key}: failed: CUDA <b>out of memory</b> ⟨U+202E⟩olleh" in header
    assert "A diverged run is an outcome, too" in header
    assert "Pass@k on <i>this</i>: differs" in header


def test_the_data_hold_what_was_recorded_and_the_counts(page: str, result: Result) -> None:
    data = data_of(page)
    columns = [name for name, values in data.items() if name not in ("arms", "sources", "cells", "images")]
    assert len({len(data[name]) for name in columns}) == 1
    assert data["arms"] == ["Base model", "GRPO", "Positive-Dominant", "Negative-Dominant"]
    cells = {(data["arms"][arm], data["sources"][source]): (n, shown) for arm, _, source, n, shown in data["cells"]}
    assert cells["GRPO", "training"] == (3 * 16 * 8, 240)
    assert cells["GRPO", f"{BENCHMARK}, sampled"] == (40 * 64, 240)
    assert cells["Base model", f"{BENCHMARK}, greedy"] == (40, 40)
    shown = pd.Series(list(zip(data["arm"], data["source"], strict=True))).value_counts()
    assert sum(n for _, n in cells.values()) == sum(shown)
    assert f"of {sum(n for n, _ in cells.values()):,} recorded completions" in Document(page).text("section")


def hostile_result(text: str, root) -> tuple[Result, Sample]:
    """A study in which everything that can be text is this text."""
    study = load_study(root.path, next(iter(list_experiments(root.path))))
    first = study.runs[0]
    config = {**first.config, "arm": text, "world": text, "model": {"path": text}, "data_fingerprints": {text: text}}
    meta = {**first.meta, "status": "failed", "error": text, "model_fingerprint": text, "attempts": [
        {"git_revision": text, "python": text, "machine": text, "packages": {text: text}}
    ]}  # fmt: skip
    study = replace(
        study, name=text, question=text, not_started=(text,), runs=(replace(first, config=config, meta=meta),)
    )
    part = Part(text, Interval(0.1, 0.0, 0.2, text, text), text, "supported")
    verdicts = [Verdict("C1", text, "supported", (part,), (), (text,)), Verdict("C2", text, "no data", (), (text,))]
    layout = Layout(text, (text, text), (Block(text, (Row(text, (Cell(text, text, BEST),)),)),), (text,), ((text, 1),))
    result = Result(
        study,
        verdicts,
        figures=[Rendered("passk", text, caption=text, paper=text), Rendered("y", text, reason=text)],
        tables=[Rendered("z", text, caption=text, layout=layout), Rendered("w", text, reason=text)],
        refused=[text],
        notes=[text],
    )
    row = {"arm": text, "source": text, "prompt": text, "outcome": "right", "start": text, "end": text, "answer": text}
    frame = pd.DataFrame([row]).reindex(columns=list(Sample().rows.columns)).astype(object)
    return result, Sample(frame, [completions.Cell(text, None, text, 5, 1)])


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(text=st.text(min_size=1))
@example(text=HOSTILE[0])
@example(text=HOSTILE[1])
@example(text="".join(HOSTILE))
def test_whatever_the_text_the_page_stays_whole(demo_root, folder: Path, text: str) -> None:
    page = html.report_page(*hostile_result(text, demo_root), folder)
    document = Document(page)
    check_harmless(document)
    wanted = " ".join(embed.visible(text).split())
    assert document.text("h1") == wanted
    assert wanted in document.text("li")
    data = data_of(page)
    assert (data["start"], data["prompt"], data["arms"]) == ([text], [text], [label(text)])
    assert not embed.INVISIBLE.search(page)


@given(value=st.recursive(st.text() | st.none() | st.integers(), lambda inner: st.lists(inner, max_size=4)))
@example(value=list(HOSTILE))
@example(value="\ud800\U000e0041")
def test_json_in_a_script_element_is_what_it_was_and_ends_nothing(value: object) -> None:
    text = str(embed.json_for_script(value))
    assert not re.search(r"[<>&]", text)
    assert not embed.INVISIBLE.search(text)
    assert json.loads(text) == value
    document = Document(f'<script type="application/json">{text}</script><p>after</p>')
    assert "".join(document.texts["script"]) == text
    assert document.texts["p"] == ["after"]


@given(st.text())
@example("".join(HOSTILE))
def test_text_in_a_template_stays_text_and_can_be_seen(text: str) -> None:
    template = Environment(autoescape=True, finalize=embed.visible).from_string('<p title="{{ x }}">{{ x }}</p>')
    document = Document(template.render(x=text))
    assert [tag for tag, _ in document.elements] == ["p"]
    assert "".join(document.texts.get("p", [])) == embed.visible(text)
    assert document.elements[0][1]["title"] == embed.visible(text)
    assert not embed.INVISIBLE.search(embed.visible(text))


def test_script_and_page_know_the_same_invisible_characters() -> None:
    """report.js has the list a second time, since it makes completions visible where they are shown."""
    from analysis.report.html.page import _static

    pattern = re.search(r"const INVISIBLE =\s*/(.*)/gu;", _static("report.js"))
    assert pattern is not None
    as_python = re.sub(r"\\u\{([0-9a-f]+)\}", lambda m: f"\\U{int(m[1], 16):08x}", pattern[1])
    known = re.compile(as_python)
    everything = [chr(i) for i in range(0x110000)]
    assert [c for c in everything if known.match(c)] == [c for c in everything if embed.INVISIBLE.match(c)]
