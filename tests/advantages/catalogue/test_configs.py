"""Files of the config group advantage: they are what the command writes, and Hydra composes them."""

from pathlib import Path

import pytest

from agrae_lab.advantages.__main__ import main
from agrae_lab.advantages.catalogue import configs

CONF = Path(__file__).resolve().parents[3] / "conf"


def test_the_committed_files_are_those_of_the_registry():
    found = {str(path.relative_to(CONF)): path.read_text() for path in (CONF / "advantage").rglob("*.yaml")}
    assert found == configs.texts(), "run `python -m agrae_lab.advantages configs`"


def test_the_command_writes_them(tmp_path, capsys):
    assert main(["configs", f"out={tmp_path}"]) == 0
    assert len(capsys.readouterr().out.split()) == len(configs.texts())
    assert (tmp_path / "advantage" / "group" / "none.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table", "foo"], "table takes no words, got 'foo'; `show foo` prints one estimator"),
        (["configs", "out="], "configs takes out=<directory>, not 'out='"),
        (["configs", "conf"], "configs takes out=<directory>, not 'conf'"),
        (["page", "out="], "page takes out=<directory>, not 'out='"),
    ],
)
def test_a_word_without_effect_is_refused_and_nothing_is_written(tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert capsys.readouterr() == ("", f"{sentence}\n")
    assert not list(tmp_path.iterdir())
