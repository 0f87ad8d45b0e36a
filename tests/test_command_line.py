"""The commands of the README, for real, in small: sweep, figures, again; and bad input at the door."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest

from agrae_lab import runs
from tests import forked
from tests.training.conftest import SMALL, compose_config

SHORT = ("train.num_steps=3", "train.checkpoint_every=3", "train.validate_every=2")


def command(module, *arguments) -> subprocess.CompletedProcess:
    """Run a user's command in an interpreter of its own; `forked.run` does the same faster."""
    return subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo in small; tests/test_recipes.py has a sweep in an interpreter of its own."""
    root = tmp_path_factory.mktemp("demo")
    arguments = ["run", "group_symmetry", "sample_symmetry", "a_grae", "world=nano", f"root={root}", *SMALL, *SHORT]
    result = forked.run("-m", "sweeps", *arguments)
    assert result.returncode == 0, result.stderr
    *_, last = result.stdout.splitlines()
    assert last == f"next: agrae-lab analyze runs={root}"
    assert re.search(r"^arm +seeds +Pass@1 \(%\) on countdown_test +95 % interval", result.stdout, flags=re.MULTILINE)
    assert re.search(r"^a_grae_group_only +1 +\d+\.\d +\[\d+\.\d, \d+\.\d\]", result.stdout, flags=re.MULTILINE)
    return root, arguments


def test_the_demo_makes_every_run_once(demo):
    root, _ = demo
    done = {run.arm: run.status for run in runs.list_runs(root)}
    assert len(runs.list_runs(root)) == len(done) == 8
    assert set(done.values()) == {"done"}
    experiments = {e.name: e for e in runs.list_experiments(root)}
    assert set(experiments) == {"group_symmetry", "sample_symmetry", "a_grae"}
    (shared,) = set.intersection(*(set(e.runs) for e in experiments.values()))
    assert shared.startswith("grpo-")
    assert len(list((root / "base").glob("*/samples.parquet"))) == 1


def test_the_demo_again_trains_nothing(demo):
    root, arguments = demo
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*.parquet")}
    result = forked.run("-m", "sweeps", *arguments)
    assert result.returncode == 0
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*.parquet")} == before


def test_the_figures_of_the_demo(demo):
    root, _ = demo
    # one experiment: tests/analysis/test_command.py has a root of several, with the claims
    result = forked.run("-m", "analysis", f"runs={root}", "experiment=a_grae")
    assert result.returncode == 0, result.stderr
    assert "Pass@" in result.stdout
    folder = root / "figures" / "a_grae"
    assert str(folder) in result.stdout
    for figure in ("passk", "entropy", "correct_counts", "fully_unsolved", "mass_vs_p"):
        for suffix in ("svg", "csv"):
            assert (folder / f"{figure}.{suffix}").stat().st_size > 0
    assert "Pass@k" in (folder / "summary.md").read_text()
    # what is drawn is what was sampled: Pass@1 is the share of correct samples
    table = pd.read_csv(folder / "table_main.csv")
    (run,) = (r for r in runs.list_runs(root) if r.arm == "a_grae")
    samples = pd.read_parquet(run.samples_path("countdown_test")).query("decoding == 'sample'")
    pass_at_1 = table.query("arm == 'a_grae' and k == 1")["estimate"].item()
    assert pass_at_1 == pytest.approx(samples["correct"].mean())


@pytest.mark.slow  # tests/training/test_evaluate_again.py has a run of the kind
def test_more_samples_of_the_demo_train_nothing(demo):
    """The same launch that asks for more; the figures stand above, of what there was."""
    root, arguments = demo
    trained = [p for p in root.rglob("*.parquet") if p.name != "samples.parquet"]
    trained += [*root.rglob("model.safetensors")]
    before = {p: p.stat().st_mtime_ns for p in trained}
    seconds = {run.key: run.meta["timings"]["train_seconds"] for run in runs.list_runs(root)}
    result = forked.run("-m", "sweeps", *arguments, "evaluation.num_samples=16")
    assert result.returncode == 0, result.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before
    found = runs.list_runs(root)
    assert {run.key: run.meta["timings"]["train_seconds"] for run in found} == seconds
    for run in found:
        for path in (run.samples_path("countdown_test"), run.base_samples_path("countdown_test")):
            assert len(pd.read_parquet(path)) == 16 * 17


@pytest.mark.slow
def test_an_arm_that_diverges_is_named_and_the_others_finish(tmp_path):
    result = command(
        "agrae_lab.train", "-m", "+experiment=group_symmetry", "advantage=grpo", "train.learning_rate=1e-4,1e30",
        f"root={tmp_path}", *SMALL,
    )  # fmt: skip
    assert result.returncode == 1
    assert sorted(run.status for run in runs.list_runs(tmp_path)) == ["diverged", "done"]
    assert re.search(
        r"^diverged +grpo learning_rate=1e\+30 \(\w+\) seed 0 +1 +.*its records are kept",
        result.stdout,
        flags=re.MULTILINE,
    )
    assert "Traceback" not in result.stderr
    figures = command("analysis", f"runs={tmp_path}")
    assert figures.returncode == 0, figures.stderr
    assert "diverged" in (tmp_path / "figures" / "group_symmetry" / "summary.md").read_text()


def test_one_run_from_the_command_line(tmp_path):
    words = ["agrae_lab.train", "advantage=psr", f"root={tmp_path}", *SMALL, "train.num_steps=1"]
    result = forked.run("-m", *words)
    assert result.returncode == 0, result.stderr
    (run,) = runs.list_runs(tmp_path)
    rows = pd.read_parquet(run.samples_path("countdown_test")).query("decoding == 'sample'")
    base = pd.read_parquet(run.base_samples_path("countdown_test")).query("decoding == 'sample'")
    share, base_share = (f"{100 * part['correct'].mean():.1f} %" for part in (rows, base))
    assert result.stdout.splitlines()[-4:] == [
        "psr seed 0: done",
        f"Pass@1 on countdown_test, 16 problems: psr {share} (n = 8), base model {base_share} (n = 8)",
        f"run: {run.path}",
        f"next: agrae-lab analyze runs={tmp_path}",
    ]
    again = forked.run("-m", *words, "--json")
    assert json.loads(again.stdout.splitlines()[-1]) == {"run": str(run.path), "status": "done"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.num_minibatches=7"], "train.num_minibatches = 7 does not divide the 512 completions"),
        (["model.path=./nowhere"], "model.path './nowhere' does not exist"),
        (["advantage=grp"], "Could not find 'advantage/grp'"),
        (["train.lr=1"], "Could not override 'train.lr'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, arguments, message):
    result = forked.run("-m", "agrae_lab.train", f"root={tmp_path}/runs", *arguments)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


# HF_HUB_OFFLINE=1, which the Hub's library reads on import
OFFLINE = """
import huggingface_hub.constants
huggingface_hub.constants.HF_HUB_OFFLINE = True
from agrae_lab.train import main
main()
"""


def test_a_model_that_cannot_be_reached_is_named_in_a_sentence(tmp_path):
    result = forked.run("-c", OFFLINE, f"root={tmp_path}", "model.path=nobody/nothing")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("agrae_lab: model.path 'nobody/nothing' cannot be loaded")
    assert "Traceback" not in result.stderr


def test_a_run_directory_of_another_schema_version_is_left_alone(tmp_path):
    runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "train.num_steps=1"))
    (run,) = runs.list_runs(tmp_path)
    runs.write_json(run.path / "meta.json", {"schema_version": 99})
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.name != ".lock"}
    result = forked.run("-m", "agrae_lab.train", f"root={tmp_path}", *SMALL, "train.num_steps=1")
    assert result.returncode != 0
    assert "schema version 99" in result.stderr
    assert "Traceback" not in result.stderr
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.name != ".lock"} == before
