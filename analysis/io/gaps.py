"""Gaps in a run's records: what is missing or no number although the run says that it is done."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agrae_lab.runs import Run
from analysis.io.study import Study

_NAMED = 5  # steps that a sentence names


def incomplete(study: Study) -> list[str]:
    """Return a sentence for each gap in the records of a study's runs.

    Found are: no metrics.parquet of a run that is done; steps without a row of metrics or without a file of rollouts;
    metrics that are NaN or infinite. Files that cannot be read are left to their readers, which refuse them.
    """
    return [f"{run.key} is incomplete: {gap}" for run in study.runs for gap in _gaps(run)]


def _gaps(run: Run) -> Iterator[str]:
    if not run.metrics_path.is_file():
        if run.status == "done":
            yield "it is done, but has no metrics.parquet; copy it again from where it was written"
        return
    try:
        metrics = pq.read_table(run.metrics_path)
        steps = sorted(set(metrics["step"].to_pylist()))
    except (pa.ArrowException, OSError, KeyError, TypeError):
        return
    if missing := sorted(set(range(1, max(steps, default=0) + 1)) - set(steps)):
        yield f"metrics.parquet lacks {_named(missing)}"
    yield from _no_numbers(metrics)
    recorded = {path.stem.removeprefix("step-") for path in run.rollout_paths()}
    numbers = {int(name) for name in recorded if name.isdigit()}
    if numbers and (missing := sorted(set(steps) - numbers)):
        yield f"rollouts lack {_named(missing)}; figures of rollouts are of the other steps"


def _no_numbers(metrics: pa.Table) -> Iterator[str]:
    """Columns with NaN or infinite values; a null is a value that was not measured."""
    steps = np.array(metrics["step"].to_pylist())
    for name in metrics.column_names:
        column = metrics[name]
        if pa.types.is_floating(column.type):
            bad = np.array(pc.fill_null(pc.invert(pc.is_finite(column)), False).to_pylist())
            if bad.any():
                yield f"metric {name} is NaN or infinite at {_named(sorted(set(steps[bad].tolist())))}"


def _named(steps: list[int]) -> str:
    more = f" and {len(steps) - _NAMED} more" if len(steps) > _NAMED else ""
    return f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps[:_NAMED]))}{more}"
