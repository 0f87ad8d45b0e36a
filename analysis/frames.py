"""Run directories → frames. What cannot be trusted or compared is refused with one sentence, never repaired.

Shapes: P problems, S runs (seeds). `correct_P[i]` counts the correct ones among the n samples of problem i.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from agrae_lab.runs import SCHEMA_VERSION, Experiment, Run, RunError, read_run

BASE = "base"

SAMPLE_COLUMNS = ("problem_id", "decoding", "sample", "correct", "valid", "temperature", "top_p")
ROLLOUT_COLUMNS = ("step", "group", "correct", "valid", "advantage")


class FrameError(ValueError):
    """Data that must not be used or compared as it stands; the message says what is wrong and what would be right."""


@dataclass(frozen=True)
class Counts:
    """One evaluation (one model, one benchmark, one sampling setting), reduced to what Pass@k depends on."""

    path: Path
    problem_ids: tuple[str, ...]  # sorted, length P
    correct_P: np.ndarray  # int64
    num_samples: int  # n, the same for every problem
    num_undecided: int  # samples that the verifier could not decide; they count as not correct
    temperature: float
    top_p: float


@dataclass(frozen=True)
class View:
    """How a study is looked at. Nothing here changes what was recorded."""

    intersect: bool = False  # compare arms on the problems, and the number of samples, that all of them have
    smooth: int | None = None  # steps of a centred moving mean, drawn over the recorded line
    published: str | None = None  # a model of the paper, "<model>" or "<model>/<benchmark>", shown beside ours
    seed: int = 0  # of every resampling


@dataclass(frozen=True)
class Study:
    """The runs that answer one question, grouped by arm. Runs of one arm differ in their seed alone."""

    name: str
    question: str
    runs: tuple[Run, ...]
    problems: tuple[str, ...] = ()  # what was left out and why
    view: View = View()

    @property
    def models(self) -> list[str]:
        """Names of the models that the runs start from."""
        return sorted({model_name(run) for run in self.runs})

    @cached_property
    def arms(self) -> dict[str, tuple[Run, ...]]:
        """Arm → its runs by seed. Two configs under one name are two arms, named with their hash: never pooled."""
        folders: dict[str, set[str]] = {}
        for run in self.runs:
            folders.setdefault(run.arm, set()).add(run.path.parent.name)
        arms: dict[str, list[Run]] = {}
        for run in self.runs:
            key = run.arm if len(folders[run.arm]) == 1 else run.path.parent.name
            arms.setdefault(key, []).append(run)
        return {arm: tuple(sorted(runs, key=lambda run: run.seed)) for arm, runs in arms.items()}

    @property
    def unfinished(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.status != "done")

    @property
    def benchmarks(self) -> list[str]:
        """Benchmarks that at least one run has been evaluated on."""
        return sorted({name for run in self.runs for name in run.benchmarks()})

    @cached_property
    def settings_differ(self) -> list[str]:
        """Settings besides the method (arm, advantage, loss, seed) in which the runs differ, one sentence each."""
        flat = {run.key: _flatten(run.config) for run in self.runs}
        shared = ("train.", "task.", "model.", "evaluation.")
        keys = sorted({key for config in flat.values() for key in config if key.startswith(shared)})
        sentences = [
            f"{arm} is one of several configurations of {runs[0].arm}: drawn apart, and no claim is judged on them"
            for arm, runs in self.arms.items()
            if arm != runs[0].arm
        ]
        for key in keys:
            by_value: dict[str, list[str]] = {}
            for run_key, config in flat.items():
                by_value.setdefault(str(config.get(key)), []).append(run_key)
            if len(by_value) > 1:
                parts = (f"{value} in {', '.join(run_keys)}" for value, run_keys in by_value.items())
                sentences.append(f"{key} is not the same in all runs: {'; '.join(parts)}")
        return sentences


def load_study(root: Path, experiment: Experiment) -> Study:
    """Read an experiment's runs; a run that is missing or unreadable is named in `problems`, not raised."""
    runs, problems = [], []
    for key in experiment.runs:
        if not (root / key).is_dir():
            problems.append(f"{key} has not started: there is no such directory under {root}")
            continue
        try:
            runs.append(read_run(root / key))
        except RunError as error:
            problems.append(str(error))
    return Study(experiment.name, experiment.question, tuple(runs), tuple(problems))


def model_name(run: Run) -> str:
    """What readers call the model that a run starts from: the last part of its path or hub name."""
    return Path(str(run.config.get("model", {}).get("path", "unknown"))).name


def split_by_model(study: Study) -> list[Study]:
    """A study for each model: Pass@k of different models is never pooled, nor compared as if it were one arm's."""
    if len(study.models) < 2:
        return [study]
    chosen = {model: tuple(run for run in study.runs if model_name(run) == model) for model in study.models}
    return [replace(study, name=f"{study.name}/{model}", runs=runs) for model, runs in chosen.items()]


def merge_studies(studies: Sequence[Study], *, name: str, question: str) -> Study:
    """The union of several studies' runs, each once."""
    runs = {run.path: run for study in studies for run in study.runs}
    problems = dict.fromkeys(problem for study in studies for problem in study.problems)
    return Study(name, question, tuple(runs.values()), tuple(problems))


def read_metrics(run: Run, columns: Iterable[str]) -> pd.DataFrame:
    """The named columns of metrics.parquet by step; a frame without rows where nothing is recorded yet.

    Raises:
        FrameError: unreadable file, another schema version, missing columns, or a step recorded twice.
    """
    wanted = ["step", *columns]
    if not run.metrics_path.is_file():
        return pd.DataFrame({name: pd.Series(dtype=float) for name in wanted})
    frame = _read(run.metrics_path, wanted).to_pandas().sort_values("step", ignore_index=True)
    repeated = frame["step"][frame["step"].duplicated()]
    if len(repeated):
        raise FrameError(f"{run.metrics_path} records step {repeated.iloc[0]} twice; a run has one row per step")
    return frame


def read_rollout_groups(run: Run) -> pd.DataFrame:
    """Groups of a run: columns step, p (share correct), size (G), abs_sum (Σ|A|).

    Groups with a completion that the verifier could not decide are left out: their p is not known.
    """
    tables = [_read(path, ROLLOUT_COLUMNS) for path in run.rollout_paths()]
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in ("step", "p", "size", "abs_sum")})
    frame = pa.concat_tables(tables).to_pandas()
    frame["abs_advantage"] = frame["advantage"].abs()
    groups = frame.groupby(["step", "group"], as_index=False).agg(
        p=("correct", "mean"),
        size=("correct", "size"),
        abs_sum=("abs_advantage", "sum"),
        valid=("valid", "all"),
    )
    return groups.loc[groups["valid"], ["step", "p", "size", "abs_sum"]].reset_index(drop=True)


def read_counts(path: Path) -> Counts:
    """Counts of correct samples per problem; greedy rows and completions are not read. Unchanged files are read once.

    Raises:
        FrameError: unreadable or foreign file, another schema version, a (problem, sample) pair twice, problems
            with different numbers of samples, or several sampling settings in one file.
    """
    stat = path.stat()
    return _read_counts(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)  # several figures and verdicts ask for the same evaluations
def _read_counts(path: Path, _mtime_ns: int, _size: int) -> Counts:
    table = _read(path, SAMPLE_COLUMNS)
    table = table.filter(pa.compute.equal(table["decoding"], "sample"))
    if table.num_rows == 0:
        raise FrameError(f"{path} has no sampled rows (decoding = sample); evaluate with num_samples of at least 1")
    problems = table["problem_id"].combine_chunks().dictionary_encode()
    codes, ids = problems.indices.to_numpy(), problems.dictionary.to_pylist()
    _check_duplicates(path, codes, ids, table["sample"].to_numpy())
    num_samples_P = np.bincount(codes, minlength=len(ids))
    few, many = int(num_samples_P.min()), int(num_samples_P.max())
    if few != many:
        raise FrameError(
            f"{path} has {few} samples for problem {ids[int(num_samples_P.argmin())]!r} "
            f"but {many} for {ids[int(num_samples_P.argmax())]!r}; Pass@k needs the same n everywhere: evaluate again"
        )
    correct = table["correct"].fill_null(False).to_numpy(zero_copy_only=False).astype(np.int64)
    correct_P = np.bincount(codes, weights=correct, minlength=len(ids)).astype(np.int64)
    order = np.argsort(np.array(ids, dtype=object))
    return Counts(
        path=path,
        problem_ids=tuple(ids[i] for i in order),
        correct_P=correct_P[order],
        num_samples=many,
        num_undecided=int(table.num_rows - pa.compute.sum(table["valid"]).as_py()),
        temperature=_only_value(path, table, "temperature"),
        top_p=_only_value(path, table, "top_p"),
    )


def check_comparable(evaluations: Sequence[tuple[str, Counts]]) -> None:
    """Refuse to compare evaluations that differ in more than the model.

    Raises:
        FrameError: names the first two that differ in n, in the problem set, or in temperature or top_p, and how.
    """
    (first_name, first), *rest = evaluations
    for name, counts in rest:
        who = f"{first_name} and {name} cannot be compared"
        for field, word in (("num_samples", "n"), ("temperature", "temperature"), ("top_p", "top_p")):
            a, b = getattr(first, field), getattr(counts, field)
            if a != b:
                raise FrameError(f"{who}: {word} is {a} in {first.path} but {b} in {counts.path}; evaluate both alike")
        if first.problem_ids != counts.problem_ids:
            only = sorted(set(first.problem_ids) ^ set(counts.problem_ids))
            raise FrameError(
                f"{who}: their problem sets differ ({len(first.problem_ids)} problems in {first.path}, "
                f"{len(counts.problem_ids)} in {counts.path}; {len(only)} are in one alone, such as {only[0]!r}); "
                "evaluate both on the same problems"
            )


def _read(path: Path, columns: Iterable[str]) -> pa.Table:
    """The named columns of a Parquet file of ours, schema version checked; list columns and text stay unread."""
    wanted = ["schema_version", *columns]
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            if missing:
                raise FrameError(f"{path} is not a file of agrae_lab's kind: it lacks the columns {missing}")
            table = file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        cause = str(error).splitlines()[0]
        raise FrameError(
            f"{path} is not a whole Parquet file (cut off, or not Parquet at all): {cause}; delete it and run again"
        ) from error
    versions = pa.compute.unique(table["schema_version"]).to_pylist()
    if versions not in ([SCHEMA_VERSION], []):
        raise FrameError(
            f"{path} has schema version {versions[0] if len(versions) == 1 else versions}, but this analysis reads "
            f"version {SCHEMA_VERSION}; use the agrae_lab that wrote it, or another root"
        )
    return table


def _check_duplicates(path: Path, codes: np.ndarray, ids: Sequence[str], samples: np.ndarray) -> None:
    order = np.lexsort((samples, codes))
    again = (np.diff(codes[order]) == 0) & (np.diff(samples[order]) == 0)
    if again.any():
        row = order[int(np.argmax(again))]
        raise FrameError(
            f"{path} holds sample {samples[row]} of problem {ids[codes[row]]!r} more than once "
            f"({int(again.sum())} repeated rows); delete it and evaluate again"
        )


def _only_value(path: Path, table: pa.Table, column: str) -> float:
    values = pa.compute.unique(table[column]).to_pylist()
    if len(values) != 1:
        raise FrameError(f"{path} mixes {column} = {sorted(values)}; one evaluation has one sampling setting")
    return float(values[0])


def _flatten(config: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(config, dict):
        return {prefix[:-1]: config}
    return {key: value for name, inner in config.items() for key, value in _flatten(inner, f"{prefix}{name}.").items()}
