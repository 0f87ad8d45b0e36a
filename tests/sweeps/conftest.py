from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_lab import CONFIG, Lab, start_fork_server


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    start_fork_server()
    monkeypatch.setattr("sweeps.execution.executor.GRACE_SECONDS", 1.0)
    monkeypatch.setattr("sweeps.execution.retry_policy.RETRY_SECONDS", 0.1)
    conf = tmp_path / "conf"
    (conf / "experiment").mkdir(parents=True)
    (conf / "config.yaml").write_text(CONFIG)
    lab = Lab(conf, tmp_path / "root")
    lab.add_experiment("plain", arm="ok")
    yield lab
    lab.stop()
