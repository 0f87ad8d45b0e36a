"""Identities of runs and evaluations, edited code, locks, old run directories."""

import copy
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest
import yaml

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, code_fingerprints
from agrae_lab.lifecycle import execute
from agrae_lab.runs import Experiment, RunBusyError, RunError
from agrae_lab.runs.identity import changed_files, differing, training_identity
from tests.training.conftest import SMALL, compose_config

REPOSITORY = CONF_DIR.parent


def test_changed_added_and_removed_files_are_named():
    assert changed_files({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"}) == ["b", "c", "d"]


def place(*overrides):
    return runs.run_dir_for(compose_config(*overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["evaluation.num_samples=7"],
        ["evaluation.batch_size=7"],
        ["evaluation.temperature=0.3"],
        ["evaluation.seed=3"],
        ["+evaluation.benchmarks.more={task: countdown, limit: 3}"],
        ["+evaluation.at_steps=[1,last]"],
        ["train.checkpoint_every=3"],
        ["train.validate_every=0"],
        ["train.validate_samples=4"],
        ["arm=mine"],
        ["experiment.name=x", "experiment.question=y", "root=runs"],
        ["tracking=wandb", "hardware.device=cpu", "hardware.per_device_batch_size=8"],
        ["train.weight_decay=0", "loss.kl_coefficient=0", "train.temperature=1", "advantage.base.ddof=0"],
        ["advantage.base.epsilon=0.0"],
        [f"model.path={REPOSITORY}/agrae_lab/models/nano"],
        [f"task.train_file={REPOSITORY}/agrae_lab/tasks/data/countdown_train.jsonl"],
    ],
)
def test_what_decides_no_weight_names_no_run(overrides):
    assert place(*overrides) == place()


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.num_steps=7"],
        ["train.learning_rate=1e-4"],
        ["train.temperature=0.9"],
        ["train.max_prompt_length=99"],
        ["advantage=a_grae"],
        ["advantage.base.ddof=1"],
        ["loss=dapo"],
        ["loss.clip_high=0.3"],
        ["model.lora={rank: 4, alpha: 8}"],
        ["model.dtype=bfloat16"],
        ["task.reward=code", "world=nano_vl"],
        ["seed=1"],
    ],
)
def test_what_decides_the_weights_names_the_run(overrides):
    assert place(*overrides) != place()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["advantage=hard_focused"], ["advantage=grpo", "advantage/sample=hard_focused"]),
        (["advantage=a_grae"], ["advantage=grpo", "advantage/sample=dynamic", "advantage/group=attenuate"]),
        (["advantage=positive_dominant"], ["advantage=negative_dominant", "advantage.group.beta=10"]),
        (["advantage=dr_grpo"], ["advantage=dr_grpo", "advantage.flavor=official"]),
    ],
)
def test_two_spellings_of_one_estimator_are_one_run_of_one_name(one, other):
    assert place(*one) == place(*other)
    assert compose_config(*one)["arm"] == compose_config(*other)["arm"]


def evaluation(benchmark="countdown_test", /, *overrides, stream=1):
    config = compose_config(*overrides)
    return runs.evaluation_hash(runs.evaluation_identity(config, benchmark, model="m", stream=stream))


def test_an_evaluation_is_named_by_what_decides_its_samples():
    more = "+evaluation.benchmarks.more={task: countdown, limit: 128}"
    same = [["evaluation.num_samples=7"], ["evaluation.batch_size=7"], ["advantage=a_grae"], [more], ["loss=dapo"]]
    assert {evaluation("countdown_test", *overrides) for overrides in same} == {evaluation()}
    others = [
        ["evaluation.temperature=0.3"],
        ["evaluation.top_p=0.3"],
        ["evaluation.max_new_tokens=3"],
        ["evaluation.seed=3"],
        ["evaluation.benchmarks.countdown_test.limit=3"],
        ["model.dtype=bfloat16"],
    ]
    names = {evaluation("countdown_test", *overrides) for overrides in others} | {evaluation(), evaluation(stream=2)}
    assert len(names) == len(others) + 2
    assert evaluation("more", more) == evaluation()  # the same problems under two names


def test_a_task_that_is_only_evaluated_leaves_the_run_as_it_is(tmp_path):
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(f'{{"problem": "{i} + 1?", "answer": {i + 1}}}\n' for i in range(8)))
    sums = f"+evaluation.benchmarks.sums={{task: math, file: {file}}}"
    assert place(sums) == place()
    assert evaluation("countdown_test", sums) == evaluation()


def test_a_worlds_name_is_a_label():
    config = compose_config()
    assert runs.run_dir_for({**config, "world": "renamed"}) == runs.run_dir_for(config)


def test_an_own_class_counts_by_its_name_in_a_chain_too():
    def identity(target):
        own = {"_target_": target, "_source_": "0" * 12, "power": 2}
        chain = {"name": "focal+mine", "focal": {"gamma": 1.0}, "mine": own}
        return training_identity({"advantage": {"base": {"name": "grpo"}, "sample": chain}})

    assert identity("/here/my_file.py:Mine") == identity("/there/my_file.py:Mine") == identity("my_file.Mine")
    assert identity("my_file:Mine") != identity("my_file:Other")


def test_equal_numbers_are_one_setting_and_others_are_not():
    assert differing([{"a": {"b": 1, "c": 1, "d": [1, 2]}}, {"a": {"b": 1.0, "c": True, "d": [1.0, 2]}}]) == ["a.c"]
    assert differing([{"a": 1, "b": None}, {"a": 2}]) == ["a"]
    identities = [
        runs.evaluation_hash({"seed": seed}) for seed in (2**53, float(2**53), 2**53 + 1, 10**400, 10**400 + 1)
    ]
    assert identities[0] == identities[1]
    assert len(set(identities)) == 4


# ---- code


PLACES = """
import json, sys
from tests.runs.test_identity import place
for line in sys.stdin:
    print(place(*json.loads(line)), flush=True)
"""


class Copy:
    """A copy of the package, which a test may edit, and a process that says where configurations would be run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("agrae_lab", "conf", "sweeps", "tests", "analysis"):
            shutil.copytree(REPOSITORY / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
        self._environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}

    @cached_property
    def _places(self):
        return subprocess.Popen(
            [sys.executable, "-c", PLACES],
            cwd=self.path,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self):
        if "_places" in vars(self):
            self._places.communicate()

    def edit(self, file, before, after):
        text = (self.path / file).read_text()
        assert before in text
        (self.path / file).write_text(text.replace(before, after, 1))

    def call(self, *command):
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.path,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def place(self, *overrides):
        self._places.stdin.write(json.dumps(overrides) + "\n")
        self._places.stdin.flush()
        return self._places.stdout.readline().strip()


@pytest.fixture
def edited(tmp_path):
    copy = Copy(tmp_path / "copy")
    yield copy
    copy.close()


def test_code_that_decides_names_the_run_and_prose_does_not(edited):
    grpo, a_grae = edited.place(), edited.place("advantage=a_grae")
    assert grpo == str(place())
    edited.edit("agrae_lab/advantages/group/attenuate.py", '"""', '"""In other words: ')
    edited.edit("agrae_lab/training/trainer.py", "import math\n", "import math  # of numbers\n\n")
    assert (edited.place(), edited.place("advantage=a_grae")) == (grpo, a_grae)
    edited.edit("agrae_lab/advantages/group/attenuate.py", "import torch\n", "import torch\n\nONE = 1\n")
    assert edited.place() == grpo  # it does not use the link
    assert edited.place("advantage=a_grae") != a_grae
    for file, before in (
        ("agrae_lab/advantages/statistics.py", "import torch\n"),  # that links import
        ("agrae_lab/training/trainer.py", "import math"),
        ("agrae_lab/advantages/adapters/trl.py", "import json"),
        ("agrae_lab/tasks/text/countdown.py", "import json"),
    ):
        known = edited.place()
        edited.edit(file, before, f"EDITED = 1\n{before}")
        assert edited.place() != known, file
    known = edited.place()
    edited.edit("agrae_lab/training/recorder.py", "import math", "EDITED = 1\nimport math")
    assert edited.place() == known


def test_half_a_run_goes_on_with_no_other_code(tmp_path, monkeypatch, caplog):
    """`edited` above shows that an edit changes the fingerprint; here a changed one stands for the edit."""
    root, real = tmp_path / "runs", code_fingerprints.fingerprint_source
    words = [f"root={root}", *SMALL, "advantage=a_grae", "train.num_steps=1", "train.validate_every=0"]
    runs.create_run(compose_config(*words))
    (run,) = runs.list_runs(root)
    changed = "agrae_lab/advantages/group/attenuate.py"
    monkeypatch.setattr(
        code_fingerprints, "fingerprint_source", lambda path: "0" * 8 if str(path).endswith(changed) else real(path)
    )
    with pytest.raises(runs.RunError, match=f"{changed} changed since"):
        execute(run.path)
    assert not (run.path / "metrics.parquet").exists()
    other = runs.create_run(compose_config(*words))
    assert f"was trained by other code: {changed} has changed since" in caplog.text
    assert other != run.path
    execute(other)
    assert runs.read_run(other).status == "done"


def test_a_file_is_fingerprinted_without_its_prose(tmp_path):
    file = tmp_path / "x.py"

    def fingerprint(text):
        file.write_text(text)
        return code_fingerprints.fingerprint_source(file) if file.stat().st_size else ""

    plain = fingerprint('def f(x):\n    return "# not a comment" + x\n')
    assert (
        fingerprint('"""Doc."""\n\n\ndef f(x):\n    """Doc,\n    long."""\n\n    return "# not a comment" + x  # yes\n')
        == plain
    )
    assert fingerprint('def f(x):\n    return "# not a Comment" + x\n') != plain
    assert fingerprint('def f(x):\n    "text"; return "# not a comment" + x\n') != plain
    assert fingerprint('def f(x):\n    y = "text"\n    return "# not a comment" + x\n') != plain


# ---- manifests and locks


def _list(root, number, barrier):
    barrier.wait()
    for i in range(20):
        key = f"arm{number}-{i}/seed-0"
        Experiment("e", "Q?", (key,), {key: f"arm{number}"}).write(Path(root))


def test_eight_writers_of_one_manifest_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)
    writers = [context.Process(target=_list, args=(str(tmp_path), n, barrier)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
        assert writer.exitcode == 0
    (found,) = runs.list_experiments(tmp_path)
    assert len(found.runs) == len(set(found.runs)) == len(found.arms) == 160


def test_temporary_names_carry_host_and_process(tmp_path):
    import platform

    from sweeps.inspect.gc import is_temporary

    with runs.replacing(tmp_path / "x.json") as temporary:
        temporary.touch()
        assert str(os.getpid()) in temporary.name
        assert platform.node().replace(".", "_") in temporary.name
        assert is_temporary(temporary)


HOLD = """
import os, sys, time
from pathlib import Path
from agrae_lab import runs
path = Path(sys.argv[1])
with runs.lock(path):
    runs.hand_over_lock(path)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[1], "new"])
"""
GO_ON = """
import sys, time
from pathlib import Path
from agrae_lab import runs
assert runs.has_inherited_lock()
print("replaced", flush=True)
sys.stdin.readline()
with runs.lock(Path(sys.argv[1])):
    assert not runs.has_inherited_lock()
    print("held", flush=True)
    sys.stdin.readline()
print("free", flush=True)
sys.stdin.readline()
"""


def test_a_lock_outlives_the_program_that_another_takes_the_place_of(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), GO_ON], **pipes) as process:
        for word, busy in (("replaced", True), ("held", True), ("free", False)):
            assert process.stdout.readline().strip() == word
            if busy:
                with pytest.raises(RunBusyError), runs.lock(tmp_path):
                    pass
            else:
                with runs.lock(tmp_path):
                    pass
            process.stdin.write("\n")
            process.stdin.flush()


# ---- run directories


def test_a_run_in_progress_is_not_asked_for_other_evaluations(tmp_path):
    words = [f"root={tmp_path}", *SMALL]
    run_dir = runs.create_run(compose_config(*words))
    with runs.lock(run_dir), pytest.raises(RunBusyError, match="in use by another process"):
        runs.create_run(compose_config(*words, "evaluation.num_samples=9"))
    runs.create_run(compose_config(*words, "evaluation.num_samples=9"))
    assert runs.read_run(run_dir).config["evaluation"]["num_samples"] == 9


def test_a_run_directory_of_earlier_days_is_one_sentence(tmp_path):
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL))
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    for key in ("code", "method", "model_fingerprint"):
        del config[key]
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    runs.update_meta(run_dir, status="done", attempts=[{"git_revision": "abc123"}])
    with pytest.raises(RunError, match=r"evaluations were part of a run's name.*Analyse it with abc123") as told:
        runs.read_run(run_dir)
    assert "\n" not in str(told.value)


def test_one_launch_joins_what_its_experiments_ask_of_a_run():
    one = compose_config("evaluation.num_samples=8")
    other = compose_config("evaluation.num_samples=16", "+evaluation.benchmarks.more={task: countdown}")
    joined = runs.joined_evaluations(one, other)
    assert joined["evaluation"]["num_samples"] == 16
    assert set(joined["evaluation"]["benchmarks"]) == {"countdown_test", "more"}
    assert set(joined["data_fingerprints"]) == {"train", "countdown_test", "more"}
    assert set(joined["code"]["evaluation"]) == {"countdown_test", "more"}
    with pytest.raises(RunError, match=r"evaluation.temperature differs between two configurations"):
        runs.joined_evaluations(one, compose_config("evaluation.temperature=0.5"))


@pytest.fixture
def sums(tmp_path):
    """Override that adds a benchmark of mathematics, whose task settings the training task does not use."""
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(f'{{"problem": "{i} + 1?", "answer": {i + 1}}}\n' for i in range(8)))
    return f"+evaluation.benchmarks.sums={{task: math, file: {file}}}"


@pytest.mark.parametrize("setting", ["task.verifier=official", "task.prompt_template=plain"])
def test_a_task_setting_of_a_benchmark_alone_is_another_evaluation(sums, setting):
    one, other = compose_config(sums), compose_config(sums, setting)
    assert runs.training_hash(one) == runs.training_hash(other)
    assert runs.same_evaluation(one, compose_config(sums, "hardware.device=cpu"))
    assert not runs.same_evaluation(one, other)
    key = setting.partition("=")[0]
    with pytest.raises(RunError, match=rf"{key} differs between two configurations .*agrae_lab.evaluate"):
        runs.joined_evaluations(one, other)


def test_joined_evaluations_refuse_whatever_a_benchmark_would_lose(sums):
    plain = compose_config(sums)
    official = compose_config(sums.replace("sums=", "more="), "task.verifier=official")
    with pytest.raises(RunError, match=r"task.verifier differs"):  # no benchmark of both, and one section `task`
        runs.joined_evaluations(plain, official)
    for section, message in (("data_fingerprints", "the problem set of"), ("code", "the code of")):
        other = copy.deepcopy(plain)
        (other[section]["evaluation"] if section == "code" else other[section])["sums"] = "0" * 12
        with pytest.raises(RunError, match=rf"{message} evaluation.benchmarks.sums"):
            runs.joined_evaluations(plain, other)
    joined = runs.joined_evaluations(compose_config(), plain)  # the settings come with the benchmark
    assert {key: joined["task"][key] for key in ("verifier", "prompt_template")} == {
        "verifier": "math_verify",
        "prompt_template": "chat",
    }


def test_an_edited_model_is_refused(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(REPOSITORY / "agrae_lab" / "models" / "nano", model)
    run_dir = runs.create_run(compose_config(f"root={tmp_path}/runs", *SMALL, f"model.path={model}"))
    config = model / "generation_config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(RunError, match=r"the model at model.path has changed since"):
        execute(run_dir)


def test_a_validation_that_a_trained_run_lacks_is_warned_of(tmp_path, caplog):
    where = f"root={tmp_path}"
    path = runs.create_run(compose_config(where, "train.validate_every=0"))
    runs.create_run(compose_config(where, "train.validate_every=5"))
    assert not caplog.records  # it is not trained yet, and will validate
    runs.create_run(compose_config(where, "train.validate_every=0"))
    (path / "model").mkdir()
    assert runs.create_run(compose_config(where, "train.validate_every=5")) == path
    (record,) = caplog.records
    assert "was trained without train.validate_every = 5" in record.getMessage()
