"""Captions of figures and tables have at most two sentences; everything else is in their details."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from analysis_lab import BENCHMARK, Root

from agrae_lab.runs import list_experiments
from analysis import figures, tables
from analysis.io.study import Study, View, load_study, merge_studies
from analysis.presentation.render import lay_out, render, render_table

MOST_SENTENCES = 2
CODE = {"task": {"name": "geo3k", "reward": "code"}}


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+(?=\S)", text.strip())


def one_seed(root: Root) -> Study:
    studies = [load_study(root.path, experiment) for experiment in list_experiments(root.path)]
    return merge_studies(studies, name="all", question="?")


@pytest.fixture
def several_seeds(new_root) -> Study:
    """Two seeds of two arms, an unfinished run, a rescaled arm, a shaped reward, and policies of training."""
    root = new_root(num_problems=12, num_samples=8, num_steps=12)
    runs = [root.run(arm, seed, **CODE) for arm in ("grpo", "a_grae") for seed in range(2)]
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


def check(study: Study) -> set[str]:
    """Hold every caption of a study to two sentences, and return the names of its figures and tables."""
    texts: dict[str, tuple[str, str]] = {}
    for figure in figures.discover():
        table = figure.table(study)
        if len(table):
            own = figure.details(table) if hasattr(figure, "details") else ()
            texts[figure.NAME] = figure.caption(table), " ".join(filter(None, own))
    for module in tables.discover():
        _, outcome = lay_out(module, study)
        if outcome.layout is not None:
            texts[module.NAME] = outcome.caption, outcome.details
    for name, (caption, details) in texts.items():
        assert 1 <= len(sentences(caption)) <= MOST_SENTENCES, (name, caption)
        for text in filter(None, (caption, details)):
            assert text.endswith("."), (name, text)
            assert "  " not in text, (name, text)
            assert "nan" not in text.split(), (name, text)
    return set(texts)


def test_captions_have_two_sentences(demo_root: Root, several_seeds: Study) -> None:
    names = check(one_seed(demo_root)) | check(several_seeds)
    everything = {one.NAME for one in (*figures.discover(), *tables.discover())}
    assert everything - names <= {"dropped", "majority", "seeds_needed", "settings"}, everything - names


def test_the_caption_of_a_grid_of_settings_has_two_sentences(tmp_path: Path) -> None:
    root = Root(tmp_path, num_problems=12, num_samples=16)
    trains = [root.config("grpo", 0)["train"] | {"learning_rate": rate} for rate in (1e-4, 1e-3)]
    root.experiment("x", [root.run(arm, train=train) for train in trains for arm in ("grpo", "a_grae")])
    (experiment,) = list_experiments(root.path)
    assert "settings" in check(load_study(root.path, experiment))


def test_captions_have_two_sentences_beside_published_numbers(demo_root: Root) -> None:
    study = one_seed(demo_root)
    seen = Study(study.name, study.question, study.runs, view=View(published="Qwen2.5-Math-7B/AMC23", smooth=5))
    assert {"passk", "entropy", "table_main"} <= check(seen)


def test_details_are_a_paragraph_of_their_own_in_the_markdown(demo_root: Root, tmp_path: Path) -> None:
    made = [render(figures.find("omega"), one_seed(demo_root), tmp_path)]
    made.append(render_table(tables.find("table_domains"), one_seed(demo_root), tmp_path))
    for outcome in made:
        assert outcome.details
        assert "\n\nDetails: " in (tmp_path / f"{outcome.name}.md").read_text(encoding="utf-8")
