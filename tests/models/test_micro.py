"""The micro world: a model made by a command, and a Countdown with longer sums."""

import pytest
from safetensors.torch import load_file

from agrae_lab import runs
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import load_model, local_path
from agrae_lab.models.micro import NUM_DIGITS, TARGETS, Solutions, make
from agrae_lab.tasks import load_problems, load_task
from agrae_lab.tasks.base import count_shared
from tests.training.conftest import compose_config

TINY = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
QUICK = {"per_device_train_batch_size": 8, "save_steps": 2, "use_cpu": True}


class Stop(Exception):
    """The killed command."""


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("micro") / "micro"
    make(path, num_steps=4, sizes=TINY, **QUICK)
    return path


def test_a_killed_command_goes_on_from_its_last_checkpoint_to_the_same_weights(model_dir, tmp_path, monkeypatch):
    path = tmp_path / "micro"
    with monkeypatch.context() as patch:
        endless = Solutions.__iter__

        def until_killed(self):
            for number, pair in enumerate(endless(self)):
                if number == 3 * 8:
                    raise Stop
                yield pair

        patch.setattr(Solutions, "__iter__", until_killed)
        with pytest.raises(Stop):
            make(path, num_steps=4, sizes=TINY, **QUICK)
    assert (path / "checkpoints" / "checkpoint-2").is_dir()
    make(path, num_steps=4, sizes=TINY, **QUICK)
    weights, unbroken = (load_file(folder / "model.safetensors") for folder in (path, model_dir))
    assert all(weights[name].equal(unbroken[name]) for name in unbroken)
    assert not (path / "checkpoints").exists()


def test_its_problems_are_longer_and_their_sets_disjoint():
    task, tune = load_task("countdown_micro"), load_task("countdown_micro_tune")
    sets = [load_problems(task, "train"), load_problems(task, "test"), load_problems(tune, "test")]
    assert [len(problems) for problems in sets] == [7500, 512, 256]
    assert load_problems(tune, "train") == sets[0]
    for problems in sets:
        assert {len(problem["digits"]) for problem in problems} == set(NUM_DIGITS)
        assert all(problem["target"] in TARGETS for problem in problems)
    for i, problems in enumerate(sets):
        assert all(count_shared(task, problems, task, others) == 0 for others in sets[:i])


def test_tuning_and_test_problems_are_held_out_of_imitation():
    task, tune = load_task("countdown_micro"), load_task("countdown_micro_tune")
    held_out = {task.prompt(p) for t in (task, tune) for p in load_problems(t, "test")}
    pairs = iter(Solutions(seed=0))
    drawn = [next(pairs) for _ in range(2000)]
    assert not held_out & {prompt for prompt, _ in drawn}
    assert all(task.verify(solution, _problem(prompt)).correct for prompt, solution in drawn)


def _problem(prompt):
    digits, target = prompt.rstrip(":").split("=")
    return {"digits": digits, "target": int(target)}


def test_the_world_trains_with_the_model(model_dir, tmp_path):
    config = compose_config(
        *("world=micro_tune", f"root={tmp_path}", f"model.path={model_dir}", "model.dtype=float32", "seed=1000"),
        *("train.num_steps=1", "train.num_prompts=4", "train.num_generations=2", "hardware.device=cpu"),
        *("evaluation.num_samples=2", "evaluation.benchmarks.countdown_micro_tune.limit=4"),
    )
    run_dir = runs.create_run(config)
    execute(run_dir)
    assert runs.read_run(run_dir).meta["status"] == "done"
    assert load_model(str(model_dir), dtype="float32")[0].config.hidden_size == TINY["hidden_size"]


def test_without_the_model_the_world_names_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"models/micro.*Make it first: python -m agrae_lab\.models\.micro"):
        local_path("models/micro")
