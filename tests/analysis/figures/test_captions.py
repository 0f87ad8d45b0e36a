"""Captions of figures and tables have at most two sentences; everything else is in their details."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from analysis_lab import BENCHMARK, Root

from agrae_lab.runs import list_experiments
from analysis import figures, tables
from analysis.io.study import Study, View, load_study, merge_studies
from analysis.presentation.render import render, render_table

MOST_SENTENCES = 2
CODE = {"task": {"name": "geo3k", "reward": "code"}}


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+(?=\S)", text.strip())


def one_seed(root: Root) -> Study:
    studies = [load_study(root.path, experiment) for experiment in list_experiments(root.path)]
    return merge_studies(studies, name="all", question="?")


@pytest.fixture
def several_seeds(new_root) -> Study:
    """Three seeds of two arms, an unfinished run, a rescaled arm, a shaped reward, and policies of training."""
    root = new_root(num_problems=20, num_samples=16, num_steps=12)
    runs = [root.run(arm, seed, **CODE) for arm in ("grpo", "a_grae") for seed in range(3)]
    for run in runs:
        path = run.policy_dir(6) / "eval" / f"{BENCHMARK}-1234abcd" / "samples.parquet"
        root.samples(run.arm, 60 + run.seed, path)
    free = root.run("negative_dominant")
    matched = {**free.config["advantage"], "match": {"name": "l1", "ddof": 0, "epsilon": 0.0}}
    runs += [free, root.run("hard_focused", arm="negative_dominant+l1", advantage=matched)]
    unfinished = root.run("easy_focused", status="interrupted", steps=5)
    root.samples("easy_focused", 0, unfinished.samples_path(BENCHMARK))
    root.experiment("x", [*runs, unfinished])
    (experiment,) = list_experiments(root.path)
    return load_study(root.path, experiment)


def check(study: Study, folder: Path) -> set[str]:
    """Render everything, hold captions to two sentences, and return the names."""
    rendered = [render(figure, study, folder) for figure in figures.discover()]
    rendered += [render_table(table, study, folder) for table in tables.discover()]
    shown = [one for one in rendered if not one.reason]
    for one in shown:
        assert 1 <= len(sentences(one.caption)) <= MOST_SENTENCES, (one.name, one.caption)
        assert one.caption.endswith("."), one.name
        for text in (one.caption, one.details):
            assert "  " not in text, one.name
            assert "nan" not in text.split(), one.name
        assert ("Details: " in (folder / f"{one.name}.md").read_text(encoding="utf-8")) == bool(one.details)
    return {one.name for one in shown}


def test_captions_have_two_sentences(demo_root: Root, several_seeds: Study, tmp_path: Path) -> None:
    names = check(one_seed(demo_root), tmp_path / "one")
    names |= check(several_seeds, tmp_path / "several")
    everything = {one.NAME for one in (*figures.discover(), *tables.discover())}
    assert everything - names <= {"majority", "seeds_needed"}, everything - names


def test_captions_have_two_sentences_beside_published_numbers(demo_root: Root, tmp_path: Path) -> None:
    study = one_seed(demo_root)
    seen = Study(study.name, study.question, study.runs, view=View(published="Qwen2.5-Math-7B/AMC23", smooth=5))
    assert {"passk", "entropy", "table_main"} <= check(seen, tmp_path)
