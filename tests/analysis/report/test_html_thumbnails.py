"""Images of problems in the report: found by the problems' fingerprint, bounded, and untrusted."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from analysis_lab import BENCHMARK
from html_lab import FINGERPRINTS, Document, check_harmless, data_of, pictured, png, result_of

from agrae_lab.runs import SCHEMA_VERSION
from analysis.io.parquet import FrameError
from analysis.report import html
from analysis.report.html import completions
from analysis.report.html.completions import TRAINING, sample_completions
from analysis.report.html.thumbnails import embed_images, read_index


def decoded(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(body)


def test_each_completion_has_its_problem_s_images_and_each_image_is_embedded_once(new_root: Callable) -> None:
    root = new_root(num_problems=12, num_samples=8)
    root.experiment("x", [pictured(root, "grpo"), pictured(root, "a_grae")])
    result = result_of(root, "x")
    sample = sample_completions(result.study)
    problems = {(row.source == TRAINING, row.prompt) for row in sample.rows.itertuples()}
    assert len(problems) > 20
    assert len(sample.images) == len(set(sample.images)) == len(problems) + 1
    for row in sample.rows.itertuples():
        number = int(row.prompt.rpartition("-")[2])
        expected = [png(grey=number)] if row.source == TRAINING else [png(grey=100 + number)]
        expected += [png(5, 5)] if row.prompt == "problem-011" else []
        assert [decoded(sample.images[at]) for at in row.pictures] == expected
    assert "Images of problems are at most 256 pixels wide and high." in completions.describe(sample)
    page = html.report_page(result, sample, root.path)
    check_harmless(Document(page))
    data = data_of(page)
    assert data["images"] == sample.images
    assert data["pictures"] == list(sample.rows["pictures"])


def test_without_images_no_sentence_names_them(new_root: Callable) -> None:
    root = new_root(num_problems=6, num_samples=4)
    root.experiment("x", [root.run("grpo")])
    sample = sample_completions(result_of(root, "x").study)
    assert sample.images == []
    assert all(at == [] for at in sample.rows["pictures"])
    assert "icture" not in completions.describe(sample)


def test_where_not_all_fit_those_that_most_completions_share_come_first(tmp_path: Path) -> None:
    files = []
    for i in range(3):
        files.append(tmp_path / f"{i}.png")
        files[i].write_bytes(png(grey=i + 1, noise=1000))
    size = files[0].stat().st_size
    rows = [(files[0],), (files[1],), (), (files[1],), (files[2], files[1]), (files[0],), (files[1],)]
    uris, places = embed_images(rows, budget=2 * size)
    assert [decoded(uri) for uri in uris] == [files[i].read_bytes() for i in (1, 0)]
    assert places == [[1], [0], [], [0], [], [1], [0]]
    assert embed_images(rows, budget=3 * size)[1][4] == [2, 0]
    assert embed_images(rows, budget=size - 1) == ([], [[]] * 7)


def test_how_many_are_shown_is_said(new_root: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embed_images.__kwdefaults__, "budget", 10 * len(png(grey=100)))
    root = new_root(num_problems=12, num_samples=8)
    root.experiment("x", [pictured(root, "grpo")])
    sample = sample_completions(result_of(root, "x").study)
    assert len(sample.images) == 10
    wanted = len({(row.source == TRAINING, row.prompt) for row in sample.rows.itertuples()})
    assert f"wide and high; the page holds those of 10 of {wanted} problems." in completions.describe(sample)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG",
        b"<svg onload=alert(1)>" * 10,
        png()[:-20].replace(b"IHDR", b"IHDX"),
        png(257, 1),
        png(1, 30_000),
        png(0, 0),
        png(noise=300_000),
    ],
)
def test_what_no_run_would_keep_is_not_shown(tmp_path: Path, content: bytes) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(png())
    bad.write_bytes(content)
    assert embed_images([(good,), (bad,), (good, bad), (tmp_path / "gone.png",)]) == (
        ["data:image/png;base64," + base64.b64encode(png()).decode()],
        [[0], [], [], []],
    )


def test_a_name_leads_nowhere_but_into_the_folder(tmp_path: Path) -> None:
    index = tmp_path / "pictures" / "f" / "index.json"
    index.parent.mkdir(parents=True)
    fine = "a" * 64
    names = ["../secret", "/etc/passwd", fine.upper(), fine + "\n", 7, None, fine]
    index.write_text(json.dumps({"schema_version": SCHEMA_VERSION, "pictures": {"p": names}}))
    assert read_index(index) == {"p": (tmp_path / "pictures" / f"{fine}.png",)}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pictures": {}}', '{"schema_version": 1, "pictures": {"a": 3}}', "\xff"]
)
def test_a_broken_index_is_named_once_and_the_completions_are_shown(new_root: Callable, text: str) -> None:
    root = new_root(num_problems=6, num_samples=4)
    root.experiment("x", [pictured(root, "grpo")])
    path = root.path / "pictures" / FINGERPRINTS[BENCHMARK] / "index.json"
    path.write_bytes(text.encode("latin-1"))
    sample = sample_completions(result_of(root, "x").study)
    assert sample.refused == [f"{path}: no index of images. Remove its folder; the next run writes it again"]
    shown = sample.rows[sample.rows["source"] == TRAINING]
    assert len(sample.images) == shown["prompt"].nunique()
    assert {cell.source for cell in sample.cells} > {TRAINING}


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"schema_version": 99, "pictures": {}}))
    with pytest.raises(FrameError, match="schema version 99, but this analysis reads version"):
        read_index(index)
