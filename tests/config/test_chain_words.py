"""Chains of links from the command line, in experiments' axes, and repeated from a frozen config."""

from __future__ import annotations

import sys

import pytest

from agrae_lab import advantages
from agrae_lab.config import freeze
from agrae_lab.runs.hydra_overrides import with_chains
from analysis.report.html.reproduce import overrides as repeated
from sweeps.spec.compose import CONFIG_DIR, Composer, compose, config_dir
from sweeps.spec.experiments import experiment_cells
from tests import forked

SMALL = ["train.num_steps=1", "train.num_prompts=4", "train.num_generations=4", "train.validate_every=0"]
WEIGHT = '''
from dataclasses import dataclass


@dataclass(frozen=True)
class Half:
    """A* = A / 2   (mine)."""

    SLOT = "sample"
    factor: float = 0.5

    def __call__(self, advantages, rewards_PG, context):
        return self.factor * advantages
'''


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another file's
    (tmp_path / "mine.py").write_text(WEIGHT)


def frozen(*words):
    with config_dir(CONFIG_DIR):
        return freeze(compose([*SMALL, *words]))


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("advantage.sample=[focal,dynamic]", "advantage/sample=focal+dynamic"),
        ("advantage/group=[lead, 'attenuate']", "advantage/group=lead+attenuate"),
        ("+advantage.sample=[focal]", "advantage/sample=focal"),
        ("advantage/sample=[focal,dynamic],none,focal", "advantage/sample=focal+dynamic,none,focal"),
        ("advantage.base.weights=[1]", "advantage.base.weights=[1]"),
        ("advantage/sample=focal", "advantage/sample=focal"),
        ("evaluation.at_steps=[1,last]", "evaluation.at_steps=[1,last]"),
    ],
)
def test_a_list_of_links_is_a_choice(word, read):
    assert with_chains(word) == read


@pytest.mark.parametrize(
    "words",
    [
        ["advantage/sample=focal+dynamic"],
        ["advantage.sample=[focal,dynamic]"],
        ["advantage/sample=[focal, dynamic]"],
        ["advantage=a_grae", "advantage/group=none", "advantage.sample=[focal,dynamic]"],
    ],
)
def test_every_spelling_is_the_same_chain(words):
    config = frozen(*words, "advantage.sample.focal.gamma=2")
    expected = advantages.make("grpo", sample=[{"name": "focal", "gamma": 2}, "dynamic"])
    assert config["advantage"]["sample"] == expected.settings()["sample"]
    files = config["code"]["training"]
    assert {f"agrae_lab/advantages/sample/{name}.py" for name in ("focal", "dynamic")} <= set(files)


def test_an_own_link_in_a_chain_and_alone():
    chain = frozen("advantage/sample=focal+mine:Half", "advantage.sample.half.factor=0.25")
    assert chain["advantage"]["sample"]["half"]["_target_"] == "mine:Half"
    assert chain["advantage"]["sample"]["half"]["factor"] == 0.25
    assert "mine.py" in chain["code"]["training"]
    assert sorted(chain["arm"].split("+")) == ["focal", "grpo", "half", "half.factor=0.25"]
    assert frozen("advantage/sample=mine:Half")["advantage"]["sample"]["name"] == "half"


@pytest.mark.parametrize(
    "words",
    [
        ["advantage/sample=focal+dynamic", "advantage.sample.focal.gamma=2", "advantage.flavor=official"],
        ["advantage/sample=focal+mine:Half", "advantage/group=lead+attenuate"],
    ],
)
def test_the_words_of_a_report_repeat_it(words):
    config = frozen(*words)
    assert frozen(*repeated(config))["advantage"] == config["advantage"]


def test_chains_are_values_of_an_axis(tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "chains.yaml").write_text("""\
# @package _global_
experiment: {name: chains, question: 'Do two weights add up?', reference: grpo}
hydra: {mode: MULTIRUN, sweeper: {params: {advantage/sample: "none,focal,focal+dynamic"}}}
""")
    with config_dir(CONFIG_DIR, tmp_path / "conf"):
        cells = experiment_cells(["chains"], SMALL)
        names = [freeze(cell.compose())["advantage"]["sample"]["name"] for cell in cells]
    assert names == ["none", "focal", "focal+dynamic"]


def test_a_study_names_a_chain_by_a_list_too():
    with config_dir(CONFIG_DIR):
        composer = Composer(SMALL)
        spellings = [{"advantage.sample": ["focal", "dynamic"]}, {"advantage/sample": "focal+dynamic"}]
        one, other = (composer.compose({**chain, "advantage.sample.focal.gamma": 2}) for chain in spellings)
    assert one.advantage == other.advantage
    assert one.advantage.sample.focal.gamma == 2


REFUSED = [
    (["advantage/sample=[focal,nope]"], "unknown advantage.sample 'nope'; did you mean none"),
    (["advantage/sample=focal+focal"], "advantage.sample = focal.focal: a link can stand in a chain once"),
    (
        ["advantage/base=[grpo,dr_grpo]"],
        "advantage.base takes one link, got grpo.dr_grpo; sample and group take chains",
    ),
    (["advantage.sample=[{name: focal}]"], "advantage.sample takes names of links, and their settings apart: "),
    (
        ["advantage/sample=focal+dynamic", "+advantage.sample.gamma=1"],
        "it is the chain focal.dynamic, and the settings",
    ),
    (["advantage/sample=focal+mine:Whole"], "mine has no class Whole; it has Half"),
]


@pytest.mark.parametrize(("words", "sentence"), REFUSED)
def test_a_wrong_chain_is_refused_in_one_sentence(words, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        frozen(*words)
    assert "\n" not in str(caught.value)


def test_the_command_line_of_train_refuses_a_wrong_chain(tmp_path):
    refused = forked.run("-m", "agrae_lab.train", *SMALL, "advantage.sample=[{name: focal}]", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("agrae_lab: advantage.sample takes names of links")


@pytest.mark.slow
def test_the_command_line_of_train(tmp_path):
    """A run of one's own estimator: test_own_files.py."""
    words = ["advantage.sample=[focal,mine:Half]", "root=runs", "evaluation.num_samples=2", "--json"]
    small = ["hardware.device=cpu", "evaluation.benchmarks.countdown_test.limit=4"]
    ended = forked.run("-m", "agrae_lab.train", *SMALL, *words, *small, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert '"status": "done"' in ended.stdout
