"""Evaluations are apart from training: more of them cost no training step, and a kill changes nothing."""

import json
import os
import shutil
import time
from dataclasses import replace

import pandas as pd
import pytest

from agrae_lab import evaluate, lifecycle, runs
from agrae_lab.config import problem_sets
from agrae_lab.evaluation.benchmarks import _asks_for_help, base_policy, evaluate_policy, trained_policy
from agrae_lab.lifecycle import execute
from agrae_lab.runs import RunError
from agrae_lab.tasks.problems import shipped_file
from tests.forked import Forked
from tests.training.conftest import SMALL, compose_config
from tests.training.test_interruptions import start, wait_for

ADDED = "+evaluation.benchmarks.{}={{task: countdown, file: {}}}"
TINY = [*SMALL, "train.num_steps=2", "train.validate_every=0"]


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Two files of other test problems."""
    folder = tmp_path_factory.mktemp("problems")
    lines = shipped_file("countdown", "test").read_text().splitlines(keepends=True)
    for name, part in (("one", lines[16:28]), ("two", lines[28:36])):
        (folder / f"{name}.jsonl").write_text("".join(part))
    return folder


def trained(root, *overrides):
    run_dir = runs.create_run(compose_config(f"root={root}", *TINY, *overrides))
    execute(run_dir)
    return runs.read_run(run_dir)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("trained"))


def copy_of(run, root, *, is_evaluated=True):
    """Copy a run and what its root shares; with `is_evaluated` False, as if it had been stopped after training."""
    shutil.copytree(run.root, root, dirs_exist_ok=True)
    copy = runs.read_run(root / run.key)
    if not is_evaluated:
        shutil.rmtree(copy.path / "eval")
        shutil.rmtree(root / "base")
        runs.update_meta(copy.path, status="interrupted", evaluations={})
    return copy


def untouched(run):
    """All that training writes, by when it was written; and how long it took."""
    files = [*(run.path / "model").iterdir(), *run.rollout_paths(), run.metrics_path]
    return {path: path.stat().st_mtime_ns for path in files}, run.meta["timings"]["train_seconds"]


def samples(path):
    return pd.read_parquet(path).sort_values(["problem_id", "sample"], ignore_index=True)


def test_two_more_benchmarks_and_twice_the_samples_without_a_training_step(
    trained_once, tmp_path, problems, capsys, monkeypatch
):
    both = [copy_of(trained_once, tmp_path), trained(tmp_path, "advantage=a_grae")]
    before = {run.key: untouched(run) for run in both}
    first = {run.key: samples(run.samples_path("countdown_test")) for run in both}
    more = [ADDED.format(name, problems / f"{name}.jsonl") for name in ("one", "two")]
    monkeypatch.setenv("AGRAE_JSON", "")  # which --json sets
    assert evaluate.main([*(str(run.path) for run in both), *more, "evaluation.num_samples=16", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [{"run": str(run.path), "status": "done"} for run in both]
    for run in both:
        again = runs.read_run(run.path)
        assert untouched(again) == before[run.key]
        assert again.meta["timings"]["evaluate_seconds"] > run.meta["timings"]["evaluate_seconds"]
        assert again.benchmarks() == ["countdown_test", "one", "two"]
        for name, num_problems in (("countdown_test", 16), ("one", 12), ("two", 8)):
            for path in (again.samples_path(name), again.base_samples_path(name)):
                assert len(pd.read_parquet(path)) == num_problems * 17
        added = samples(again.samples_path("countdown_test"))
        kept = added[added["sample"] < 8].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, first[run.key])  # drawn once
        assert len(list((again.path / "eval").iterdir())) == 3
    assert len(list((tmp_path / "base").iterdir())) == 3


def test_the_launch_that_asks_for_more_trains_nothing_either(trained_once, tmp_path, problems):
    run = copy_of(trained_once, tmp_path)
    before = untouched(run)
    again = trained(tmp_path, ADDED.format("one", problems / "one.jsonl"), "arm=other", "train.checkpoint_every=1")
    assert again.path == run.path
    assert untouched(again) == before
    assert again.benchmarks() == ["countdown_test", "one"]
    assert trained(tmp_path).benchmarks() == ["countdown_test", "one"]  # asked for less: it stays


@pytest.mark.parametrize("where", ["eval", pytest.param("base", marks=pytest.mark.slow)])
def test_a_kill_while_samples_are_added_changes_nothing(trained_once, tmp_path, where):
    """Compared with one evaluation; batches of another size give the same samples too: evaluation/test_streams.py."""
    run, more = copy_of(trained_once, tmp_path / "cut"), "evaluation.num_samples=160"
    copy_of(trained_once, tmp_path / "whole", is_evaluated=False)
    whole = trained(tmp_path / "whole", more)
    runs.update_config(run, evaluate.overridden_config(run, evaluate.parse_overrides([more])))
    folder = run.samples_path("countdown_test") if where == "eval" else run.base_samples_path("countdown_test")
    process = start(run.path)
    wait_for(folder.parent / "chunks" / "sample-00032-00064-00000.parquet", process)
    process.kill()
    process.wait()
    cut = runs.read_run(run.path)
    assert cut.status == "running"
    assert len(pd.read_parquet(folder)) == 9 * 16  # what was there is whole meanwhile
    assert start(run.path).wait() == 0
    again = runs.read_run(run.path)
    assert again.status == "done"
    for name in ("samples_path", "base_samples_path"):
        one, other = (getattr(found, name)("countdown_test") for found in (again, whole))
        pd.testing.assert_frame_equal(samples(one), samples(other))
        assert not (one.parent / "chunks").exists()


def test_other_decoding_is_another_evaluation_beside_the_first(trained_once, tmp_path):
    run = copy_of(trained_once, tmp_path)
    first = run.samples_path("countdown_test")
    assert evaluate.main([str(run.path), "evaluation.temperature=0.5"]) == 0
    cold = runs.read_run(run.path).samples_path("countdown_test")
    assert cold != first
    assert first.is_file()
    assert set(pd.read_parquet(cold)["temperature"]) == {0.0, 0.5}
    assert evaluate.main([str(run.path), "evaluation.temperature=1"]) == 0
    assert runs.read_run(run.path).samples_path("countdown_test") == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.num_steps=3"], "train.num_steps=3: a trained run takes overrides of evaluation and hardware alone"),
        (["evaluation.num_samples=1,2"], "one value each"),
        (["evaluation.num_sample=3"], "no key evaluation.num_sample; did you mean 'evaluation.num_samples'"),
        (["evaluation.num_samples=-1"], "evaluation.num_samples must be a whole number of at least 1, got -1"),
        (["evaluation.num_samples.x=1"], "evaluation.num_samples is not a section"),
        (["+evaluation.benchmarks.train={task: countdown}"], "a name must be .* other than 'train'"),
        (["+evaluation.benchmarks.x={task: chess}"], "unknown task 'chess'"),
        (["~evaluation.benchmarks.countdown_test"], "evaluation.benchmarks must name at least one"),
        (["evaluation.at_steps=[1]"], "step 1 .* was not kept in training"),
        (["~evaluation"], "~evaluation: a whole section. Name one of its keys"),
        (["hardware=3"], "hardware=3: a whole section. Name one of its keys"),
        (["evaluation=null"], "evaluation=null: a whole section. Name one of its keys"),
    ],
)
def test_what_a_trained_run_cannot_be_asked_is_one_sentence(small_run, words, message, capsys):
    run = small_run()
    config = (run.path / "config.yaml").read_text()
    assert evaluate.main([str(run.path), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert pytest.importorskip("re").search(message, line), line
    assert (run.path / "config.yaml").read_text() == config
    assert runs.read_run(run.path).status == "done"


def test_a_run_that_is_not_trained_is_named(tmp_path, capsys):
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *TINY))
    assert evaluate.main([str(run_dir)]) == 2
    assert "no trained model/ yet. Train the run first" in capsys.readouterr().err
    assert evaluate.main([str(tmp_path)]) == 2
    assert f"no trained run under {tmp_path}. Train one: python -m agrae_lab.train" in capsys.readouterr().err
    assert evaluate.main(["evaluation.num_samples=3"]) == 2
    with pytest.raises(RunError, match="is not a run directory"):
        runs.read_run(tmp_path)


@pytest.mark.parametrize(
    ("error", "sentence", "evaluated"),
    [
        (KeyboardInterrupt(), "interrupted. The same command resumes", 1),
        (MemoryError("2 GiB wanted"), "out of memory (2 GiB wanted)", 2),
        (OSError(28, "No space left on device"), "No space left on device", 2),
    ],
)
def test_an_evaluation_that_stops_says_why_and_leaves_the_later_runs_their_turn(
    small_run, monkeypatch, capsys, error, sentence, evaluated
):
    asked = []

    def stop(run_dir, **unused):
        asked.append(run_dir)
        raise error

    monkeypatch.setattr(evaluate, "execute", stop)
    run = str(small_run().path)
    assert evaluate.main([run, run]) == 1
    assert len(asked) == evaluated
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == evaluated
    assert all(sentence in line for line in lines)


def test_a_policy_without_missing_samples_is_not_loaded(small_run):
    """The main process may have evaluated it and deleted its weights meanwhile."""
    run = small_run()
    policy = replace(trained_policy(run), path="/deleted")
    evaluate_policy(run, policy, problem_sets(run.config), benchmarks=["countdown_test"])


def test_a_request_for_help_that_is_gone_or_of_another_launch_asks_for_nothing(tmp_path):
    assert not _asks_for_help(tmp_path)
    (tmp_path / ".helpers").write_text("another launch")
    assert not _asks_for_help(tmp_path)


def test_a_run_directory_may_have_an_equals_sign_in_its_name(tmp_path, monkeypatch, capsys):
    words = ("advantage=positive_dominant", "advantage.group.beta=5")
    run = runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *TINY, *words)))
    assert "=" in run.key
    monkeypatch.chdir(tmp_path)
    replaced = []
    monkeypatch.setattr("os.execv", lambda program, words: replaced.extend(words))
    with runs.lock(run.path):
        lifecycle._restart_to_evaluate(run)  # as after training with vLLM
    monkeypatch.delenv("AGRAE_LOCK")
    for path in (run.key, replaced[3]):
        assert evaluate.main([path, "evaluation.num_samples=9"]) == 2
        assert "no trained model/ yet" in capsys.readouterr().err


BASE = """
import sys
import time
from agrae_lab import runs
from agrae_lab.config import problem_sets
from agrae_lab.evaluation.benchmarks import evaluate_base
run = runs.read_run(sys.argv[1])
evaluate_base(run, problem_sets(run.config), wait=True, on_progress=lambda done, total: print(done, total, flush=True))
"""


def test_further_processes_leave_the_base_model_to_the_run_that_has_its_lock(tmp_path, problems):
    more = ADDED.format("one", problems / "one.jsonl")
    run = runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *TINY, more, "evaluation.num_samples=96")))
    places = [base_policy(run).directory(run.config, name) for name in ("countdown_test", "one")]
    launch = {**os.environ, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "1", "OMP_NUM_THREADS": "1"}
    with runs.lock(places[1]):  # another run is at it
        both = [Forked("-c", BASE, run.path, env={**launch, "RANK": str(rank)}) for rank in (0, 1)]
        wait_for(places[0] / ".lock", both[0])
        time.sleep(1.2)
        assert not list(tmp_path.glob("base/*/chunks/*"))
        assert all(process.poll() is None for process in both)
    told = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all(told)  # both drew
    for place, num_problems in zip(places, (16, 12), strict=True):
        assert len(pd.read_parquet(place / "samples.parquet")) == 97 * num_problems
        assert sorted(path.name for path in place.iterdir()) == [".lock", "evaluation.json", "samples.parquet"]
