"""The file that an offline W&B run leaves, as `wandb sync` reads it: ids, group, config and every step."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from agrae_lab import runs
from agrae_lab.training.tracking import WandbMirror, wandb_id
from tests.training.conftest import SMALL, compose_config

wandb = pytest.importorskip("wandb", reason="wandb is not installed (extra: wandb)")
HEADER = struct.Struct("<4sHB")  # ":W&B", magic, version
CHUNK = struct.Struct("<IHB")  # checksum, length, kind: 1 whole, 2 first, 3 middle, 4 last
BLOCK = 32 * 1024  # a chunk does not cross a border; what is too short for a header is padding


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of a .wandb file, which is a log of LevelDB behind a header of its own."""
    data = path.read_bytes()
    assert HEADER.unpack_from(data) == (b":W&B", 0xBEE1, 0)
    at, record = HEADER.size, b""
    while at + CHUNK.size <= len(data):
        if BLOCK - at % BLOCK < CHUNK.size:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = CHUNK.unpack_from(data, at)
        record = (b"" if kind in (1, 2) else record) + data[at + CHUNK.size : at + CHUNK.size + length]
        at += CHUNK.size + length
        if kind in (1, 4):
            yield record


@pytest.fixture
def run(tmp_path, monkeypatch) -> runs.Run:
    """A run of two attempts with four recorded steps, whose second attempt began at step 3."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    words = ("+experiment=a_grae", "tracking=wandb", "tracking.project=mine", "seed=3")
    made = runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *SMALL, *words)))
    for attempt in ((1, 2, 3), (3, 4)):
        mirror = WandbMirror(made)
        for step in attempt:
            rows = pd.DataFrame({"step": range(1, step + 1), "loss": [0.5 * i for i in range(1, step + 1)]})
            rows.to_parquet(made.metrics_path)
            mirror.log({"step": step, "loss": 0.5 * step, "left_out": None})
        mirror.finish()
    return made


def test_what_sync_will_read(run):
    from wandb.cli import cli
    from wandb.proto.wandb_internal_pb2 import Record

    assert "sync" in cli.cli.commands  # as docs/clusters.md says: wandb sync <run>/wandb/offline-run-*
    paths = sorted((run.path / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    assert len(paths) == 2
    for path, last in zip(paths, (3, 4), strict=True):
        found = [Record.FromString(record) for record in records(path)]
        (started,) = [one.run for one in found if one.WhichOneof("record_type") == "run"]
        assert started.run_id == wandb_id(run)
        assert (started.project, started.display_name) == ("mine", run.key)
        assert started.run_group == f"a_grae/{run.path.parent.name}"
        config = {item.key: item.value_json for item in started.config.update}
        assert config["seed"] == "3"
        assert '"learning_rate"' in config["train"]
        rows = [one.history for one in found if one.WhichOneof("record_type") == "history"]
        items = [{".".join(i.nested_key) or i.key: i.value_json for i in row.item} for row in rows]
        assert [row.step.num for row in rows] == list(range(1, last + 1))  # with those of the attempt before
        assert [float(row["loss"]) for row in items] == [0.5 * step for step in range(1, last + 1)]
        assert not any("left_out" in row for row in items)
        assert found[-1].WhichOneof("record_type") in ("exit", "final", "footer"), found[-1]
