"""Documented commands and snippets that train or draw, for real: tiny settings, the nano model, two steps."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from functools import partial

import pytest
from trl import GRPOConfig, GRPOTrainer

from agrae_lab import runs
from agrae_lab.advantages.adapters.trl import with_advantage
from agrae_lab.models.load import local_path
from tests import documents

TRL = [one for one in documents.snippets("python") if one.mark == "with trl"]
TRL_PAGES = sorted({one.page for one in TRL})
RUN = [one for one in documents.snippets("bash") if one.mark == "run"]
TINY = {  # last module or command → settings that replace those of the page
    "compare": [
        *("train.num_steps=2", "train.num_prompts=2", "train.num_generations=2", "train.num_minibatches=1"),
        *("train.validate_every=0", "evaluation.num_samples=2", "evaluation.batch_size=64", "hardware.device=cpu"),
        *("evaluation.benchmarks.countdown_test.limit=4", "--seeds", "1"),
    ],
    "agrae_lab.advantages.simulator": ["num_prompts=8", "num_steps=4", "record_every=2"],
}
TABLE = "model,benchmark,method,k,pass_at_k\n" + "".join(
    f"Mine,{benchmark},{method},{k},{value}\n"
    for benchmark in ("AMC23", "MyBench")
    for method, shift in (("GRPO + A-GRAE", 2.5), ("W-REINFORCE", 0.0))
    for k, value in ((1, 50.0 + shift), (2, 60.0 + shift), (4, 67.5 + shift))
)


class Given(ast.NodeTransformer):
    """Names for what a snippet leaves open: `model=...` becomes `model=model`; TRL's names are given."""

    def visit_keyword(self, node):
        self.generic_visit(node)
        if isinstance(node.value, ast.Constant) and node.value.value is ...:
            node.value = ast.Name(node.arg, ast.Load())
        return node

    def visit_ImportFrom(self, node):
        return None if node.module == "trl" else node


def tiny_config(output_dir="out", **settings):
    tiny = {"max_steps": 2, "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 8}
    tiny |= {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
    return GRPOConfig(output_dir, **(tiny | settings))


@pytest.mark.slow
@pytest.mark.parametrize("page", TRL_PAGES)
@pytest.mark.filterwarnings("default::UserWarning", "default::FutureWarning")
def test_the_trl_snippets_of_a_page_train(page, tmp_path, monkeypatch):
    from datasets import Dataset

    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"12{d}=1{d}:", "answer": "+"} for d in range(1, 9)]  # a sign that some completions have
    given = {"GRPOTrainer": GRPOTrainer, "GRPOConfig": tiny_config, "model": str(local_path("nano"))}
    given |= {"train_dataset": Dataset.from_list(rows), "args": tiny_config()}
    given |= {"reward_funcs": [accuracy_reward], "__name__": "__main__"}
    for one in documents.snippets("python"):
        if one.page == page and not one.mark.startswith(("not run", "with run")):
            tree = ast.fix_missing_locations(Given().visit(ast.parse(one.text)))
            exec(compile(tree, one.place, "exec"), given)
    assert given["trainer"].estimator.name == "a_grae"
    for name in {"trainer", "ours"} & set(given) if page != "README.md" else ():
        assert any(given[name]._logs["advantages"]), f"{page}: {name} learned from nothing"


def accuracy_reward(completions, answer, **columns):
    return [float(str(right) in text) for text, right in zip(completions, answer, strict=True)]


@pytest.mark.parametrize(
    "snippet",
    TRL + [one for one in documents.snippets("python") if "trl" in one.text.lower() and not one.text.startswith(">>>")],
)
def test_the_trl_snippets_use_arguments_of_trl(snippet):
    """Also those of the snippets that cannot run here."""
    for call in (node for node in ast.walk(ast.parse(snippet.text)) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        is_made = isinstance(call.func, ast.Call) and getattr(call.func.func, "id", "") == with_advantage.__name__
        known = {"GRPOConfig": GRPOConfig, "GRPOTrainer": GRPOTrainer}.get(name, GRPOTrainer if is_made else None)
        if known is not None:
            parameters = set(inspect.signature(known).parameters)
            assert {keyword.arg for keyword in call.keywords} <= parameters


def tiny(words):
    """Return a command in this interpreter, with its tiny settings in the place of its own."""
    if words[0] == "agrae-lab":
        command, words = words[1], ["-m", "agrae_lab", *words[1:]]
    else:
        assert words[:2] == ["python", "-m"], words
        command, words = words[2], words[1:]
    settings = TINY.get(command, [])
    if "--seeds" in settings and "--seeds" in words:
        at = words.index("--seeds")
        words = words[:at] + words[at + 2 :]
    keys = {setting.partition("=")[0] for setting in settings if "=" in setting}
    return [sys.executable, *(word for word in words if word.partition("=")[0] not in keys), *settings]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder in which the marked commands of all pages have run, each page's in order."""
    folder = tmp_path_factory.mktemp("documents")
    for name, text in documents.named_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "table.csv").write_text(TABLE)
    env = {**os.environ, "PYTHONPATH": str(documents.ROOT), "OMP_NUM_THREADS": "1"}
    call = partial(subprocess.run, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    failed = []
    for one in RUN:
        for words in one.commands:
            ended = call(tiny(words))
            if ended.returncode and not ("audit" in words and ended.returncode == 1):  # 1: findings
                failed.append(f"{one.place}: {' '.join(words)}\n{ended.stdout[-800:]}{ended.stderr[-800:]}")
    return folder, failed


@pytest.mark.slow
def test_the_marked_commands_run(ran):
    folder, failed = ran
    assert not failed, "\n\n".join(failed)
    assert len(runs.list_runs(folder / "runs" / "mine")) == 2
    assert list((folder / "runs" / "mine" / "figures").glob("*/report.html"))


WITH_RUN = [one for one in documents.snippets("python") if one.mark == "with run"]


@pytest.mark.slow
@pytest.mark.parametrize("snippet", WITH_RUN)
def test_a_snippet_that_reads_a_run_works(snippet, ran, capsys):
    run = runs.list_runs(ran[0] / "runs" / "mine")[0]
    exec(compile(snippet.text.replace("<run>", str(run.path)), snippet.place, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out
