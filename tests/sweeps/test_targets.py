"""Words of a command line that name a study, its root and its seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.read import parse_study
from sweeps.spec.study import Study
from sweeps.targets import check_root_to_read, find_study


@pytest.fixture
def study(tmp_path: Path) -> str:
    (tmp_path / "config.yaml").write_text("root: runs\n")
    (tmp_path / "night.yaml").write_text("axes: {grid: {train.num_steps: [1, 2]}}\n")
    return str(tmp_path / "night.yaml")


def found(study: str, *words: str) -> tuple[Study, StudyDirectory]:
    return find_study([study, *words], Path(study).parent)


@pytest.mark.parametrize("word", ["root=/shared/x", "+root=/shared/x", "++root=/shared/x"])
def test_the_root_may_be_written_as_any_override(study: str, word: str) -> None:
    read, directory = found(study, word, "train.lr=1")
    assert (directory.root, read.base) == (Path("/shared/x"), ("train.lr=1",))


@pytest.mark.parametrize("word", ["root=x", "+root=x", "++root=x", "~root"])
def test_a_base_names_no_root(word: str) -> None:
    with pytest.raises(PlanError, match="belongs on the command line"):
        parse_study({"name": "night", "base": [word]})


def test_the_root_cannot_be_deleted(study: str) -> None:
    with pytest.raises(PlanError, match="belongs on the command line"):
        found(study, "~root")


@pytest.mark.parametrize(
    ("word", "seeds"),
    [("seed=3", (3,)), ("+seed=0,2", (0, 2)), ("seed=range(0,3)", (0, 1, 2)), ("seed=shuffle(range(0,1))", (0,))],
)
def test_seeds_of_the_command_line_replace_the_studys(study: str, word: str, seeds: tuple[int, ...]) -> None:
    assert found(study, word)[0].seeds == seeds


@pytest.mark.parametrize(
    "word",
    [
        *("seed=range(0,3,0)", "seed=glob(*)", "seed=range(0,inf)", "seed=interval(0,1)", "seed=[0,1]", "seed=-1"),
        *("seed=range(0,2,0.5)", "seed=range(2,0)", "seed=0,0", "~seed=1", "~seed"),
    ],
)
def test_seeds_that_are_none_are_one_sentence(study: str, word: str) -> None:
    with pytest.raises(PlanError) as refused:
        found(study, word)
    assert refused.value.sentences == (f"{word!r}: seeds are different whole numbers from 0, such as seed=0,1,2",)


def test_a_study_resumes_with_another_choice_for_the_machine(tmp_path: Path) -> None:
    axes = {"grid": {"train.num_steps": [1]}}
    directory = StudyDirectory(tmp_path, "night")
    before = parse_study({"name": "night", "base": ["train.lr=1", "hardware.device=cpu"], "axes": axes})
    directory.path.mkdir(parents=True)
    runs.write_json(directory.path / "study.yaml", {"name": "night", "base": list(before.base), "axes": axes})
    words = ["train.lr=1", "tracking=wandb", "+hardware={device: cuda}", "++tracking.mode=offline"]
    now = parse_study({"name": "night", "base": words, "axes": axes})
    with pytest.raises(PlanError) as refused:
        directory.check_same(now, ())
    assert "the two have no cell in common" in str(refused.value)  # and not: its base is


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mime", "did you mean 'mine'?"),
        ("night", "did you mean 'night.yaml'?"),
        ("galery", "did you mean 'gallery'?"),  # a shipped study
        ("x1", "name a study, or the directory of the runs"),
        ("none/there", "name a study, or the directory of the runs"),
    ],
)
def test_a_root_to_read_exists(study: str, name: str, hint: str) -> None:
    (folder := Path(study).parent).joinpath("mine").mkdir()
    check_root_to_read(folder / "mine")
    with pytest.raises(PlanError) as refused:
        check_root_to_read(folder / name)
    assert refused.value.sentences == (f"{folder / name}: there is no such study or root; {hint}",)


def test_a_file_is_no_root(study: str) -> None:
    with pytest.raises(PlanError, match=r"config\.yaml is a file, not the directory of the runs"):
        check_root_to_read(Path(study).with_name("config.yaml"))
