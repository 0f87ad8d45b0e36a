"""Mirrors of the metrics: they show the records, and their failures do not stop the run."""

import re
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pandas as pd
import pytest

from agrae_lab import runs
from agrae_lab.track import push
from agrae_lab.training.tracking import Mirror, TensorBoardMirror, WandbMirror, shortened, wandb_id
from tests import forked
from tests.training.conftest import SMALL, compose_config
from tests.training.test_runs_end_to_end import metrics

KILL_THE_SERVICE = """
import sys
import psutil
from agrae_lab import runs
from agrae_lab.training.tracking import WandbMirror
mirror = WandbMirror(runs.read_run(sys.argv[1]))
mirror.log({"step": 1, "loss": 0.5})
service = [p for p in psutil.Process().children(recursive=True) if "wandb-core" in p.name()]
assert service, "no wandb-core"
for process in service:
    process.kill()
for step in range(2, 5):
    mirror.log({"step": step, "loss": 0.5})
mirror.finish()
print("went on")
"""


@pytest.fixture
def run(tmp_path) -> runs.Run:
    """Return a run that has not been executed."""
    return runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "tracking=wandb", "seed=3")))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_wandb_mirrors_offline(tmp_path, monkeypatch):
    """That a run opens its mirror and goes on without it: the test after next; what it logs: that of tensorboard."""
    import wandb

    asked, init = [], wandb.init
    monkeypatch.setattr(wandb, "init", lambda **settings: asked.append(settings) or init(**settings))
    words = ["+experiment=a_grae", "tracking=wandb", "seed=3", f"root={tmp_path}"]
    run = runs.read_run(runs.create_run(compose_config(*SMALL, *words)))
    mirror = WandbMirror(run)
    mirror.log({"step": 1, "greedy_accuracy": 0.5})
    mirror.finish()
    (settings,) = asked
    cell = run.path.parent.name
    assert settings["group"] == f"a_grae/{cell}"
    assert settings["id"].startswith(f"{runs.training_hash(run.config, without=('seed',))}-3-")
    assert settings["id"].startswith(cell.rpartition("-")[2])
    (written,) = (run.path / "wandb").glob(f"offline-run-*-{settings['id']}/run-{settings['id']}.wandb")
    end = time.monotonic() + 60  # its service may write after it has answered
    while b"greedy_accuracy" not in written.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert run.config["tracking"]["mode"] == "offline"


def test_all_attempts_of_a_run_share_its_wandb_id(run):
    for step in (1, 2):
        mirror = WandbMirror(run)
        mirror.log({"step": step, "loss": 0.5, "nothing": None})
        mirror.finish()
    written = list((run.path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(written) == 2
    assert len({path.name for path in written}) == 1


def test_a_mirror_that_cannot_start_fails_nothing(small_run, tmp_path, monkeypatch, caplog):
    import wandb

    def refuse(**settings):
        raise OSError("no space left")

    monkeypatch.setattr(wandb, "init", refuse)
    run = small_run("tracking=wandb", "train.num_steps=1", root=tmp_path)
    assert run.status == "done"
    assert caplog.text.count("tracking=wandb failed: no space left") == 1


@pytest.mark.parametrize("method", ["log", "finish"])
def test_a_mirror_that_breaks_later_warns_in_one_line(run, monkeypatch, caplog, method):
    mirror = WandbMirror(run)
    with monkeypatch.context() as broken:
        broken.setattr(type(mirror._wandb), method, lambda *_, **__: 1 / 0)
        for step in (1, 2):
            mirror.log({"step": step})
        mirror.finish()
    with suppress(Exception):  # its service is gone
        mirror._wandb.finish()
    assert caplog.text.count("division by zero") == 1


def test_a_wandb_service_killed_in_mid_run_fails_nothing(run, monkeypatch):
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # by which processes find the service of their parent
    told = forked.run("-c", KILL_THE_SERVICE, run.path)
    assert told.returncode == 0, told.stderr
    assert "went on" in told.stdout


def test_tensorboard_shows_every_number_of_every_step(small_run, tmp_path):
    pytest.importorskip("tensorboard")
    run = small_run("tracking=tensorboard", "train.num_steps=3", root=tmp_path)
    assert run.status == "done"
    rows, shown = metrics(run), _scalars(run)
    numbers = set(rows.select_dtypes("number").columns) - {"schema_version", "step"}
    assert set(shown) == {name for name in numbers if rows[name].notna().any()}
    for name, by_step in shown.items():
        recorded = rows.set_index("step")[name].dropna()
        pd.testing.assert_series_equal(by_step, recorded, check_names=False, check_dtype=False, rtol=1e-6)


def test_tensorboard_hides_what_a_killed_attempt_did_in_vain(run):
    pytest.importorskip("tensorboard")
    first = TensorBoardMirror(run)
    for step in (1, 2, 3, 4):
        first.log({"step": step, "loss": 0.0})
    second = TensorBoardMirror(run)  # the first was killed: no finish; it continues after a checkpoint at step 2
    for step in (3, 4, 5):
        second.log({"step": step, "loss": 1.0})
    assert _scalars(run)["loss"].to_dict() == {1: 0.0, 2: 0.0, 3: 1.0, 4: 1.0, 5: 1.0}
    first.finish()
    second.finish()


def test_tensorboard_that_is_not_installed_is_named_in_the_log(run, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    mirror = TensorBoardMirror(run)
    mirror.log({"step": 1, "loss": 0.5})
    mirror.finish()
    assert "tracking=tensorboard failed" in caplog.text
    assert "install agrae-lab[tensorboard]" in caplog.text


def record(run: runs.Run, *steps: int) -> None:
    """Write metrics.parquet with these steps."""
    pd.DataFrame({"step": steps, "loss": [float(step) for step in steps]}).to_parquet(run.metrics_path)


def test_a_resumed_run_mirrors_the_steps_before_it_too(run):
    pytest.importorskip("tensorboard")
    record(run, 1, 2, 3, 4)
    mirror = TensorBoardMirror(run)  # nothing of the first attempt reached its event files
    mirror.log({"step": 4, "loss": 4.0})
    assert _scalars(run)["loss"].to_dict() == {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}
    mirror.finish()


class Flaky(Mirror):
    """A mirror whose first `broken` rows fail."""

    name = "flaky"

    def __init__(self, run: runs.Run, *, broken: int) -> None:
        self.broken, self.seen = broken, []
        super().__init__(run)

    def _open(self) -> None: ...
    def _finish(self) -> None: ...
    def _abandon(self) -> None: ...
    def _log(self, row) -> None:
        if self.broken:
            self.broken -= 1
            raise ConnectionError("away")
        self.seen.append(row["step"])


def test_a_transient_error_costs_no_step_and_one_line(run, caplog):
    mirror = Flaky(run, broken=2)
    for step in range(1, 12):
        record(run, *range(1, step + 1))
        mirror.log({"step": step, "loss": 0.0})
    mirror.finish()
    assert mirror.seen == list(range(1, 12))
    assert caplog.text.count("away") == 1


def test_what_is_missing_at_the_end_is_mirrored_then(run):
    mirror = Flaky(run, broken=1)
    record(run, 1)
    mirror.log({"step": 1, "loss": 0.0})
    mirror.finish()
    assert mirror.seen == [1]


class Unopened(Flaky):
    """A mirror that cannot be opened."""

    def _open(self) -> None:
        raise ConnectionError("away")


def test_no_method_of_a_mirror_raises_on_damaged_metrics(run, caplog):
    mirror = Flaky(run, broken=1)
    record(run, 1)
    mirror.log({"step": 1, "loss": 0.0})
    run.metrics_path.write_bytes(b"PAR1 damaged")
    assert not mirror.push()
    mirror.log({"step": 9, "loss": 0.0})
    assert not mirror.finish()
    assert caplog.text.count("tracking=flaky failed") == 1


def test_nothing_is_sent_by_a_mirror_that_cannot_be_opened_or_closed(run, capsys, monkeypatch):
    assert Flaky(run, broken=0).push()  # no step is recorded, so none is missing
    unclosed = Flaky(run, broken=0)
    monkeypatch.setattr(unclosed, "_finish", lambda: 1 / 0)
    for mirror in (Unopened(run, broken=0), unclosed):
        monkeypatch.setattr("agrae_lab.track.make_mirror", lambda run, mirror=mirror: mirror)
        assert push([str(run.path)]) == 1
        assert "could not be sent to flaky" in capsys.readouterr().out


def test_ids_differ_between_roots_and_experiments(run):
    moved = replace(run, path=run.path.parents[2] / "other" / run.key)
    renamed = replace(run, config={**run.config, "experiment": {"name": "e", "question": None}})
    assert len({wandb_id(run), wandb_id(moved), wandb_id(renamed)}) == 3


def test_long_names_keep_their_hash():
    assert shortened("short") == "short"
    name = shortened("e" * 200 + "/grpo-1a2b3c4d")
    assert len(name) == 128
    assert name.endswith("/grpo-1a2b3c4d")


def test_a_run_directory_may_have_an_equals_sign_in_its_name(run, tmp_path):
    pytest.importorskip("tensorboard")
    record(run, 1)
    folder = tmp_path / "runs" / "grpo+beta=0.2-1a2b3c4d" / "seed-0"
    folder.parent.mkdir(parents=True)
    run.path.rename(folder)
    assert push([str(folder), "tracking=tensorboard"]) == 0


def test_push_sends_a_whole_run_and_refuses_what_it_cannot(run, capsys):
    pytest.importorskip("tensorboard")
    record(run, 1, 2, 3)
    assert push([str(run.path), "tracking=tensorboard"]) == 0
    assert list(_scalars(run)["loss"].index) == [1, 2, 3]
    for words, sentence in (
        ([str(run.path), "tracking.mod=online"], "did you mean 'tracking.mode'?"),
        ([str(run.path), "tracking=none"], "add tracking=wandb or tracking=tensorboard"),
        ([str(run.path / "nowhere")], "is not a run directory"),
        ([], "name at least one run directory"),
    ):
        with pytest.raises(runs.RunError, match=re.escape(sentence)):
            push(words)


def _scalars(run: runs.Run) -> dict[str, pd.Series]:
    """metric → its values by step, as TensorBoard would draw them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    found = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
    return {name: pd.Series({e.step: e.value for e in points}) for name, points in found.items()}
