"""Evaluations → counts of correct samples, and which evaluations may be compared.

Shapes: P problems, n samples of each, N = P·n rows of samples.parquet that are samples (the greedy rows are not).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from analysis.io import parquet
from analysis.io.parquet import FrameError

_SETTINGS = ("temperature", "top_p")
_COLUMNS = {
    "problem_id": parquet.TEXT,
    "decoding": parquet.TEXT,
    "sample": parquet.INTEGER,
    "correct": parquet.BOOLEAN,
    "valid": parquet.BOOLEAN,
    **dict.fromkeys(_SETTINGS, parquet.NUMBER),
}


@dataclass(frozen=True)
class Counts:
    """One evaluation (one model, one benchmark, one sampling setting), reduced to what Pass@k depends on."""

    path: Path
    problem_ids: tuple[str, ...]  # sorted, length P
    correct_P: np.ndarray  # int64
    undecided_P: np.ndarray  # int64; samples that the verifier could not decide: they count as not correct
    num_samples: int  # n, the same for every problem
    temperature: float
    top_p: float

    @property
    def num_undecided(self) -> int:
        return int(self.undecided_P.sum())


def read_counts(path: Path, *, first: int | None = None) -> Counts:
    """Counts of correct samples per problem; greedy rows and completions are not read. Unchanged files are read once.

    Args:
        first: count only the samples numbered below it, so that n becomes `first`; all unless told.

    Raises:
        FrameError: unreadable or foreign file, another schema version, a (problem, sample) pair twice, problems
            with different numbers of samples, or several sampling settings in one file.
    """
    return _read_counts(parquet.state_of(path), first)


@lru_cache(maxsize=2048)  # several figures and verdicts ask for the same evaluations
def _read_counts(state: tuple[Path, int, int], first: int | None) -> Counts:
    path = state[0]
    rows = _sampled_rows(path)
    num_samples, place_N = _places(path, rows)
    order = np.argsort(np.array(rows.ids, dtype=object))

    def counted(marked_N: np.ndarray) -> np.ndarray:
        marked_Pn = np.zeros((len(order), num_samples), dtype=bool)
        marked_Pn.flat[place_N[marked_N]] = True
        return marked_Pn[order, :first].sum(axis=1)

    return Counts(
        path=path,
        problem_ids=tuple(rows.ids[i] for i in order),
        correct_P=counted(rows.correct_N & rows.valid_N),
        undecided_P=counted(~rows.valid_N),
        num_samples=min(num_samples, first or num_samples),
        temperature=_only_value(path, "temperature", rows.settings["temperature"]),
        top_p=_only_value(path, "top_p", rows.settings["top_p"]),
    )


@dataclass(frozen=True)
class _Rows:
    """The sampled rows of a file."""

    ids: list[str]  # length P
    problem_N: np.ndarray  # index into ids
    sample_N: np.ndarray
    correct_N: np.ndarray  # bool
    valid_N: np.ndarray  # bool
    settings: dict[str, set[float | None]]


def _sampled_rows(path: Path) -> _Rows:
    problems: dict[str, int] = {}
    decodings = {"sample": 0}
    settings: dict[str, set[float | None]] = {name: set() for name in _SETTINGS}
    parts = []
    for batch in parquet.scan(path, _COLUMNS, encoded=("problem_id", "decoding")):
        sampled = parquet.codes(batch["decoding"], decodings) == 0
        batch = batch.filter(sampled) if not sampled.all() else batch
        parquet.check_marks(path, batch)
        numbers = batch["sample"].to_numpy().astype(np.int64)
        marks = [batch[name].fill_null(False).to_numpy(zero_copy_only=False) for name in ("correct", "valid")]
        parts.append((parquet.codes(batch["problem_id"], problems), numbers, *marks))
        for name in _SETTINGS:
            settings[name].update(pc.unique(batch[name]).to_pylist())
    if not problems:
        raise FrameError(f"{path} has no sampled rows (decoding = sample); evaluate with num_samples of at least 1")
    problem_N, sample_N, correct_N, valid_N = map(np.concatenate, zip(*parts, strict=True))
    return _Rows(list(problems), problem_N, sample_N, correct_N, valid_N, settings)


def _places(path: Path, rows: _Rows) -> tuple[int, np.ndarray]:
    """n, and [N]: problem · n + sample, which takes each value once where the file is whole."""
    num_samples = len(rows.sample_N) // len(rows.ids)
    if rows.sample_N.min() >= 0 and rows.sample_N.max() < num_samples:
        place_N = rows.problem_N * num_samples + rows.sample_N
        taken = np.zeros(len(rows.ids) * num_samples, dtype=bool)
        taken[place_N] = True
        if len(taken) == len(place_N) and taken.all():
            return num_samples, place_N
    raise FrameError(f"{path} {_what_is_wrong(rows)}")


def _what_is_wrong(rows: _Rows) -> str:
    order = np.lexsort((rows.sample_N, rows.problem_N))
    again = (np.diff(rows.problem_N[order]) == 0) & (np.diff(rows.sample_N[order]) == 0)
    if again.any():
        row = order[int(np.argmax(again))]
        return (
            f"holds sample {rows.sample_N[row]} of problem {rows.ids[rows.problem_N[row]]!r} more than once "
            f"({int(again.sum())} repeated rows); delete it and evaluate again"
        )
    num_samples_P = np.bincount(rows.problem_N)
    few, many = int(num_samples_P.argmin()), int(num_samples_P.argmax())
    if few != many:
        return (
            f"has {num_samples_P[few]} samples for problem {rows.ids[few]!r} but {num_samples_P[many]} for "
            f"{rows.ids[many]!r}; Pass@k needs the same n everywhere: evaluate again"
        )
    return (
        f"numbers its samples {rows.sample_N.min()} to {rows.sample_N.max()}, though each problem has "
        f"{num_samples_P[0]}; samples are numbered from 0 without gaps: evaluate again"
    )


def _only_value(path: Path, name: str, values: set[float | None]) -> float:
    known = sorted(value for value in values if value is not None and not math.isnan(value))
    if len(known) < len(values):
        raise FrameError(f"{path} has rows without {name}, so it cannot be compared; evaluate again")
    if len(known) > 1:
        raise FrameError(f"{path} mixes {name} = {known}; one evaluation has one sampling setting")
    return float(known[0])


def check_comparable(evaluations: Sequence[tuple[str, Counts]]) -> None:
    """Refuse to compare evaluations that differ in more than the model.

    Raises:
        FrameError: names the first two that differ in n, in the problem set, or in temperature or top_p, and how.
    """
    (first_name, first), *rest = evaluations
    remedies = {"num_samples": "evaluate both alike, or add --intersect to compare the samples that both have"}
    for name, counts in rest:
        who = f"{first_name} and {name} cannot be compared"
        for field, word in (("num_samples", "n"), ("temperature", "temperature"), ("top_p", "top_p")):
            a, b = getattr(first, field), getattr(counts, field)
            if a != b:
                remedy = remedies.get(field, "evaluate both alike")
                raise FrameError(f"{who}: {word} is {a} in {first.path} but {b} in {counts.path}; {remedy}")
        if first.problem_ids != counts.problem_ids:
            only = sorted(set(first.problem_ids) ^ set(counts.problem_ids))
            raise FrameError(
                f"{who}: their problem sets differ ({len(first.problem_ids)} problems in {first.path}, "
                f"{len(counts.problem_ids)} in {counts.path}; {len(only)} are in one alone, such as {only[0]!r}); "
                "evaluate both on the same problems, or add --intersect to compare the problems that both have"
            )


def intersect_counts(evaluations: Sequence[tuple[str, Counts]]) -> tuple[list[tuple[str, Counts]], str]:
    """The evaluations on the problems that all of them have, each with the smallest n; and what that left out.

    A smaller n means the samples numbered below it, as recorded: counts are never rescaled. The second value is a
    sentence for captions and notes, empty where nothing was left out.

    Raises:
        FrameError: no problem is in all of them, or temperature or top_p differ.
    """
    sizes = [len(counts.problem_ids) for _, counts in evaluations]
    numbers = [counts.num_samples for _, counts in evaluations]
    shared = set.intersection(*(set(counts.problem_ids) for _, counts in evaluations))
    if not shared:
        paths = ", ".join(str(counts.path) for _, counts in evaluations)
        raise FrameError(
            f"no problem is in all of {paths}, so --intersect leaves nothing; evaluate on the same problems"
        )
    cut = [(name, _cut(counts, shared, min(numbers))) for name, counts in evaluations]
    check_comparable(cut)
    said = []
    if len(shared) < max(sizes):
        said.append(f"the {_number(len(shared), 'problem')} that all have (of {_span(sizes)})")
    if min(numbers) < max(numbers):
        said.append(f"the first {_number(min(numbers), 'sample')} of each problem (of {_span(numbers)})")
    return cut, f"Compared on {' and '.join(said)} (--intersect)." if said else ""


def _cut(counts: Counts, problems: set[str], num_samples: int) -> Counts:
    counts = read_counts(counts.path, first=num_samples) if num_samples < counts.num_samples else counts
    kept = [i for i, name in enumerate(counts.problem_ids) if name in problems]
    return replace(
        counts,
        problem_ids=tuple(counts.problem_ids[i] for i in kept),
        correct_P=counts.correct_P[kept],
        undecided_P=counts.undecided_P[kept],
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _span(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"
