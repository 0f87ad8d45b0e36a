"""Options of a launch that a command takes are used, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sweeps.__main__ import main

AXES = {"axes": {"grid": {"train.x": [1, 2]}}}
PROTOCOL = {
    "protocol": {
        "arms": {"plain": {"train.x": 1}, "other": {"train.x": 2}},
        "reference": "plain",
        "metrics": ["pass@1/problems"],
        "smallest_effect": "1pp",
        "looks": [3],
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("train: {x: 1}\n")
    for name, study in (("axes", AXES), ("protocol", PROTOCOL)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(study))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["protocol", "protocol.yaml", "--config-dir", "nowhere"], "--config-dir nowhere: there is no such directory"),
        (["run", "axes.yaml", "--storage", "sqlite:///x.db"], "--storage is for searches, and axes is none"),
        (["retry", "axes.yaml", "--storage", "sqlite:///x.db"], "--storage is for searches, and axes is none"),
        (["retry", "axes.yaml", "--slots", "0"], "slots is 0, but must be at least 1"),
        (["plan", "axes.yaml", "--slots", "0"], "slots is 0, but must be at least 1"),
        (["plan", "protocol.yaml", "--slots", "-1"], "slots is -1, but must be at least 1"),
        (["protocol", "protocol.yaml", "--slots", "-1"], "slots is -1, but must be at least 1"),
    ],
)
def test_an_option_is_never_ignored(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(folder)
    assert main([*words, "root=root"], config_dir=folder / "conf", train_module="fake_train", preload=()) == 2
    assert sentence in capsys.readouterr().err
    assert not (folder / "root").exists()
