"""Gaps in the records of runs: missing files, missing steps, and metrics that are NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agrae_lab.runs import Run
from analysis.io.study import Study

_MOST_NAMED = 5  # steps that a sentence lists


def gap_sentences(study: Study) -> list[str]:
    """Return one sentence for each gap in the records of a study's runs.

    Gaps are: a finished run without metrics.parquet, a step without a row of metrics or without a file of rollouts,
    and a metric that is NaN or infinite, but for the last step of a diverged run. Unreadable files are skipped here:
    their readers refuse them.
    """
    return [f"{run.key} is incomplete: {gap}" for run in study.runs for gap in _run_gaps(run)]


def _run_gaps(run: Run) -> Iterator[str]:
    if not run.metrics_path.is_file():
        if run.status == "done":
            yield "it is done, but has no metrics.parquet; copy the run again from the machine that wrote it"
        return
    try:
        metrics = pq.read_table(run.metrics_path)
        steps = sorted(set(metrics["step"].to_pylist()))
    except (pa.ArrowException, OSError, KeyError, TypeError):
        return
    if missing := sorted(set(range(1, max(steps, default=0) + 1)) - set(steps)):
        yield f"metrics.parquet lacks {_step_list(missing)}"
    is_sound = pc.less(metrics["step"], max(steps, default=0)) if run.status == "diverged" else None
    yield from _non_finite_metrics(metrics if is_sound is None else metrics.filter(is_sound))
    recorded = {path.stem.removeprefix("step-") for path in run.rollout_paths()}
    numbers = {int(name) for name in recorded if name.isdigit()}
    if numbers and (missing := sorted(set(steps) - numbers)):
        yield f"rollouts lack {_step_list(missing)}; figures of rollouts use the other steps"


def _non_finite_metrics(metrics: pa.Table) -> Iterator[str]:
    """Yield a sentence for each column with NaN or infinite values. A null is no gap: it was not measured."""
    steps = np.array(metrics["step"].to_pylist())
    for name in metrics.column_names:
        column = metrics[name]
        if pa.types.is_floating(column.type):
            bad = np.array(pc.fill_null(pc.invert(pc.is_finite(column)), False).to_pylist())
            if bad.any():
                yield f"metric {name} is NaN or infinite at {_step_list(sorted(set(steps[bad].tolist())))}"


def _step_list(steps: list[int]) -> str:
    more = f" and {len(steps) - _MOST_NAMED} more" if len(steps) > _MOST_NAMED else ""
    return f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps[:_MOST_NAMED]))}{more}"
