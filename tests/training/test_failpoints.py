"""A run that a failpoint broke: the resumed one ends as an unbroken one, or one sentence names the damaged file."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from agrae_lab import runs
from agrae_lab.runs import failpoints
from analysis.io.eval_counts import read_counts
from analysis.io.parquet import FrameError
from tests import forked
from tests.training.conftest import SMALL
from tests.training.test_runs_end_to_end import TIMES

ONE = ("advantage=a_grae", *SMALL, "train.num_steps=4", "train.sampling_rounds=2", "evaluation.at_steps=[2]")
SWEEP = ("+experiment=a_grae", *ONE)  # the same run as one of an experiment, by a worker that a sweep starts

# name → ordinals of its writes; "checkpoint: 1" is the one after step 2
WRITES = {
    "config": (1,),
    "meta": (1, 3, 6),
    "progress": (2,),
    "metrics": (1, 3),
    "rollouts": (1, 3),
    "dropped rollouts": (1,),
    "checkpoint": (1,),
    "checkpoint list": (1, 2),
    "model": (1, 2),
    "policy": (1,),
    "chunk": (1, 2),
    "samples": (1, 2),
    "manifest": (1,),
}
# Quickly: damaged checkpoints in test_interruptions.py, samples that are not whole in evaluation/test_sample.py.
IN_TRAINING = [("checkpoint list", 1, "flip")]
IN_EVALUATION = [("chunk", 1, "torn"), pytest.param("samples", 1, "flip", marks=pytest.mark.slow)]
ALL = [(name, number, kind) for name, numbers in WRITES.items() for number in numbers for kind in failpoints.KINDS]


def train(root: Path, *words: str, **environment: str):
    return forked.run("-m", "agrae_lab.train", f"root={root}", *words, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> runs.Run:
    root = tmp_path_factory.mktemp("unbroken")
    ended = train(root, *ONE)
    assert ended.returncode == 0, ended.stderr
    (run,) = runs.list_runs(root)
    return run


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number", "kind"), IN_TRAINING)
def test_a_run_broken_at_a_write_resumes(unbroken, tmp_path, name, number, kind):
    check(unbroken, tmp_path, *ONE, at=(name, number, kind))


@pytest.mark.parametrize(("name", "number", "kind"), IN_EVALUATION)
def test_an_evaluation_broken_at_a_write_resumes(unbroken, tmp_path, name, number, kind):
    """From a copy of the trained run without its evaluations, so that nothing is trained."""
    shutil.copytree(unbroken.root, tmp_path, dirs_exist_ok=True)
    run = runs.read_run(tmp_path / unbroken.key)
    shutil.rmtree(run.path / "eval")
    runs.update_meta(run.path, status="interrupted", evaluations={})
    check(unbroken, tmp_path, *ONE, at=(name, number, kind))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number", "kind"), ALL)
def test_the_walk_through_all_writes(unbroken, tmp_path, name, number, kind):
    """In a sweep; tests/sweeps/launch/test_launch_failpoints.py breaks sweeps of runs that train nothing."""
    check(unbroken, tmp_path, *SWEEP, at=(name, number, kind))


def check(unbroken: runs.Run, root: Path, *words: str, at: tuple[str, int, str]) -> None:
    """Train with a failpoint at the write `at` (name, ordinal, kind), train again, and compare with `unbroken`."""
    before, (name, number, kind) = num_attempts(root), at
    broken = train(root, *words, **{failpoints.VARIABLE: f"{name}:{number}:{kind}"})
    was_retried = num_attempts(root) > before + 1  # by the sweep itself, since a kill is transient
    assert broken.returncode != 0 or was_retried, "the failpoint was not reached"
    resumed = train(root, *words)
    if resumed.returncode != 0:
        assert "Traceback" not in resumed.stderr
        said = resumed.stderr + resumed.stdout  # a multirun's sentences stand in the table at its end
        file = failpoints.NAMES[name].strip("*").split("*")[0].removesuffix("-")
        sentence = rf"^(.*(Error|agrae_lab): )?{re.escape(str(root))}/\S*{re.escape(file)}"
        assert re.search(sentence, said, flags=re.MULTILINE), said
        return
    (run,) = runs.list_runs(root)
    assert run.status == "done"
    assert [path.name for path in run.rollout_paths()] == [path.name for path in unbroken.rollout_paths()]
    for mine, theirs in zip(files(run), files(unbroken), strict=True):
        assert_equal_or_named(mine, theirs)


def num_attempts(root: Path) -> int:
    """Return the number of attempts at the root's run that its meta.json lists; 0 where it cannot be read."""
    try:
        return sum(len(run.meta.get("attempts", [])) for run in runs.list_runs(root))
    except runs.RunError:
        return 0


def files(run: runs.Run) -> list[Path]:
    base = run.base_samples_path("countdown_test")
    assert base is not None
    found = [base, run.samples_path("countdown_test"), run.step_samples_path(2, "countdown_test")]
    dropped = sorted((run.path / "rollouts").glob("dropped-*.parquet"))
    return [run.metrics_path, *run.rollout_paths(), *dropped, *found]


def assert_equal_or_named(mine: Path, theirs: Path) -> None:
    if mine.name == "samples.parquet":
        fault = None
        try:
            read_counts(mine)
        except FrameError as error:
            fault = str(error)
        if fault is not None:
            assert str(mine) in fault
            return
    tables = [pd.read_parquet(path) for path in (mine, theirs)]
    pd.testing.assert_frame_equal(*(table.drop(columns=TIMES, errors="ignore") for table in tables))
