"""Accuracy so far of a run in progress, from its metrics.parquet."""

from __future__ import annotations

from agrae_lab import runs


class Correctness:
    """Reader of the latest accuracy of runs; a file is read again only when it has changed."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[int, str]] = {}  # run key → modification time, text

    def latest(self, run: runs.Run) -> str:
        """Return `31.2 % (validation, step 40)`, or (training, step 41) before any validation; "" before both."""
        path = run.metrics_path
        try:
            changed = path.stat().st_mtime_ns
            if self._read.get(run.key, (0, ""))[0] != changed:
                self._read[run.key] = (changed, _latest(run))
        except (OSError, ValueError):  # none yet, or torn by a crash
            return self._read.get(run.key, (0, ""))[1]
        return self._read[run.key][1]


def _latest(run: runs.Run) -> str:
    import pyarrow.parquet as pq  # takes a moment, which only the live table needs

    file = pq.read_schema(run.metrics_path)
    found = [name for name in ("greedy_accuracy", "omega") if name in file.names]
    rows = pq.read_table(run.metrics_path, columns=["step", *found]).to_pylist()
    for name in found:
        for row in reversed(rows):
            if row[name] is not None:
                basis = "validation" if name == "greedy_accuracy" else "training"
                return f"{100 * row[name]:.1f} % ({basis}, step {row['step']})"
    return ""
