"""Failpoints: each kind breaks its write as it says, the list of names only grows, and unset they do nothing."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from agrae_lab import runs
from agrae_lab.runs import failpoints

# as of the first version; a name that is taken away, or renamed, fails here
NAMES_OF_BEFORE = {
    *("config", "meta", "progress", "metrics", "rollouts", "checkpoint", "checkpoint list", "model", "chunk"),
    *("samples", "policy", "thumbnail", "task", "frozen", "study", "events", "trials", "trial books", "protocol"),
    *("looks", "manifest", "table", "archive"),
}


def test_the_list_of_names_only_grows() -> None:
    assert failpoints.NAMES.keys() >= NAMES_OF_BEFORE


def _write_twice(path: Path, kind: str, name: str = "meta") -> None:
    os.environ[failpoints.VARIABLE] = f"{name}:2:{kind}"
    runs.write_json(path, {"number": 1})
    try:
        runs.write_json(path, {"number": 2, "more": "x" * 100})
    except OSError as error:
        os._exit(error.errno or 1)
    os._exit(0)


def _broken(path: Path, kind: str, **more: str) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=_write_twice, args=(path, kind), kwargs=more)
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("kind", failpoints.KINDS)
def test_each_kind_breaks_the_named_write_of_that_ordinal(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "meta.json"
    code = _broken(path, kind)
    assert code == (errno.ENOSPC if kind == "full" else -signal.SIGKILL)
    content = path.read_bytes()
    if kind in ("kill", "full", "lost"):
        assert json.loads(content) == {"number": 1}
    else:
        whole = (json.dumps({"number": 2, "more": "x" * 100}, indent=2) + "\n").encode()
        different = [i for i, (a, b) in enumerate(zip(content, whole, strict=False)) if a != b]
        assert (len(content), len(different)) == ((len(whole) // 2, 0) if kind == "torn" else (len(whole), 1))
    assert len(list(tmp_path.glob(".*.tmp"))) == (kind == "lost")


def test_other_writes_are_left_alone(tmp_path: Path) -> None:
    assert _broken(tmp_path / "meta.json", "kill", name="metrics") == 0
    assert json.loads((tmp_path / "meta.json").read_text())["number"] == 2


def test_a_write_without_a_name_is_refused_while_the_switch_is_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.write_json(tmp_path / "new.kind.json", {})
    monkeypatch.setenv(failpoints.VARIABLE, "meta:1:kill")
    with pytest.raises(ValueError, match="has no failpoint; add its name"), runs.replacing(tmp_path / "new.kind"):
        pass
    monkeypatch.setenv(failpoints.VARIABLE, "mete:1:kill")
    with pytest.raises(ValueError, match="there is no such failpoint"):
        runs.write_json(tmp_path / "meta.json", {})
