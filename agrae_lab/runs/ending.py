"""End of a command on one run: its status in words, or in JSON for scripts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence

from agrae_lab.runs.directory import Run

_JSON_FLAG = "--json"
_JSON_VARIABLE = "AGRAE_JSON"  # in the environment, since training with vLLM replaces its program to evaluate


def take_json_flag(words: Sequence[str]) -> list[str]:
    """Return the words of a command line without --json, which is remembered for `ending`."""
    if _JSON_FLAG in words:
        os.environ[_JSON_VARIABLE] = "1"
    return [word for word in words if word != _JSON_FLAG]


def ending(run: Run) -> str:
    """Return the status of a run, its Pass@1 by benchmark, and the next command; after --json, one line of JSON.

    Pass@1 is the share of samples that are correct: every problem has the same number of samples.
    """
    if os.environ.get(_JSON_VARIABLE):
        return json.dumps({"run": str(run.path), "status": run.status})
    lines = [f"{run.arm} seed {run.seed}: {run.status}", *_accuracies(run), f"run: {run.path}"]
    if run.status == "done":
        lines.append(f"next: agrae-lab analyze runs={run.root}")
    elif error := str(run.meta.get("error") or ""):
        lines.insert(1, error.splitlines()[0])
    return "\n".join(lines)


def _accuracies(run: Run) -> Iterator[str]:
    import pyarrow.parquet as pq  # this package loads without it

    for benchmark in run.benchmarks():
        told, num_problems = [], 0
        for name, path in ((run.arm, run.samples_path(benchmark)), ("base model", run.base_samples_path(benchmark))):
            if path is None or not path.is_file():
                continue
            rows = pq.read_table(path, columns=["problem_id", "decoding", "correct"]).to_pandas()
            sampled = rows[rows["decoding"] == "sample"]
            num_problems = sampled["problem_id"].nunique()
            share = 100 * sampled["correct"].fillna(False).astype(float).mean()
            told.append(f"{name} {share:.1f} % (n = {len(sampled) // max(num_problems, 1)})")
        if told:
            problems = f"{num_problems} problem{'s' * (num_problems != 1)}"
            yield f"Pass@1 on {benchmark}, {problems}: {', '.join(told)}"
