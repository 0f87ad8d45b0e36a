"""Counts of correct samples of an evaluation, and the check that two evaluations can be compared.

Shapes: P problems, n samples of each, N = P·n sampled rows of samples.parquet (greedy rows are not counted).
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
    """Counts of one evaluation: one model, one benchmark, one sampling setting."""

    path: Path
    problem_ids: tuple[str, ...]  # sorted, length P
    correct_P: np.ndarray  # int64
    invalid_P: np.ndarray  # int64; samples that the verifier could not judge count as not correct
    num_samples: int  # n, the same for every problem
    temperature: float
    top_p: float

    @property
    def num_invalid(self) -> int:
        return int(self.invalid_P.sum())


def read_counts(path: Path, *, first: int | None = None) -> Counts:
    """Return the number of correct samples of each problem. An unchanged file is read once.

    Args:
        first: count only samples 0 … first − 1, so that n becomes `first`. Default: all.

    Raises:
        FrameError: the file is unreadable or foreign, its schema version differs, a (problem, sample) pair occurs
            twice, n differs between problems, or the file mixes sampling settings.
    """
    return _read_counts(parquet.file_state(path), first)


@lru_cache(maxsize=2048)  # several figures and verdicts ask for the same evaluations
def _read_counts(state: parquet.FileState, first: int | None) -> Counts:
    path = state[0]
    rows = _sampled_rows(path)
    num_samples, place_N = _sample_places(path, rows)
    order = np.argsort(np.array(rows.ids, dtype=object))

    def counted(marked_N: np.ndarray) -> np.ndarray:
        marked_Pn = np.zeros((len(order), num_samples), dtype=bool)
        marked_Pn.flat[place_N[marked_N]] = True
        return marked_Pn[order, :first].sum(axis=1)

    return Counts(
        path=path,
        problem_ids=tuple(rows.ids[i] for i in order),
        correct_P=counted(rows.correct_N & rows.valid_N),
        invalid_P=counted(~rows.valid_N),
        num_samples=min(num_samples, first or num_samples),
        temperature=_only_value(path, "temperature", rows.settings["temperature"]),
        top_p=_only_value(path, "top_p", rows.settings["top_p"]),
    )


@dataclass(frozen=True)
class _SampledRows:
    """Sampled rows of a file."""

    ids: list[str]  # length P
    problem_N: np.ndarray  # index into ids
    sample_N: np.ndarray
    correct_N: np.ndarray  # bool
    valid_N: np.ndarray  # bool
    settings: dict[str, set[float | None]]


def _sampled_rows(path: Path) -> _SampledRows:
    problems: dict[str, int] = {}
    decodings = {"sample": 0}
    settings: dict[str, set[float | None]] = {name: set() for name in _SETTINGS}
    parts = []
    for batch in parquet.scan(path, _COLUMNS, encoded=("problem_id", "decoding")):
        sampled = parquet.text_codes(batch["decoding"], decodings) == 0
        batch = batch.filter(sampled) if not sampled.all() else batch
        parquet.check_marks(path, batch)
        numbers = batch["sample"].to_numpy().astype(np.int64)
        marks = [batch[name].fill_null(False).to_numpy(zero_copy_only=False) for name in ("correct", "valid")]
        parts.append((parquet.text_codes(batch["problem_id"], problems), numbers, *marks))
        for name in _SETTINGS:
            settings[name].update(pc.unique(batch[name]).to_pylist())
    if not problems:
        raise FrameError(f"{path}: no sampled rows (decoding = sample); evaluate with num_samples of at least 1")
    problem_N, sample_N, correct_N, valid_N = map(np.concatenate, zip(*parts, strict=True))
    return _SampledRows(list(problems), problem_N, sample_N, correct_N, valid_N, settings)


def _sample_places(path: Path, rows: _SampledRows) -> tuple[int, np.ndarray]:
    """Return n and each row's flat position, problem index · n + sample number, [N].

    Raises:
        FrameError: some (problem, sample) pair is missing or repeated.
    """
    num_samples = len(rows.sample_N) // len(rows.ids)
    if rows.sample_N.min() >= 0 and rows.sample_N.max() < num_samples:
        place_N = rows.problem_N * num_samples + rows.sample_N
        taken = np.zeros(len(rows.ids) * num_samples, dtype=bool)
        taken[place_N] = True
        if len(taken) == len(place_N) and taken.all():
            return num_samples, place_N
    raise FrameError(f"{path}: {_numbering_fault(rows)}")


def _numbering_fault(rows: _SampledRows) -> str:
    order = np.lexsort((rows.sample_N, rows.problem_N))
    again = (np.diff(rows.problem_N[order]) == 0) & (np.diff(rows.sample_N[order]) == 0)
    if again.any():
        row = order[int(np.argmax(again))]
        return (
            f"sample {rows.sample_N[row]} of problem {rows.ids[rows.problem_N[row]]!r} occurs more than once "
            f"({int(again.sum())} repeated rows); delete the file and evaluate again"
        )
    num_samples_P = np.bincount(rows.problem_N)
    few, many = int(num_samples_P.argmin()), int(num_samples_P.argmax())
    if few != many:
        return (
            f"{num_samples_P[few]} samples for problem {rows.ids[few]!r} but {num_samples_P[many]} for "
            f"{rows.ids[many]!r}, and Pass@k needs the same n for all problems; evaluate again"
        )
    return (
        f"samples are numbered {rows.sample_N.min()} to {rows.sample_N.max()}, but each problem has "
        f"{num_samples_P[0]}, so they must be 0 to {num_samples_P[0] - 1}; evaluate again"
    )


def _only_value(path: Path, name: str, values: set[float | None]) -> float:
    known = sorted(value for value in values if value is not None and not math.isnan(value))
    if len(known) < len(values):
        raise FrameError(f"{path}: some rows have no {name}, so the evaluation cannot be compared; evaluate again")
    if len(known) > 1:
        raise FrameError(f"{path}: mixes {name} = {known}, but an evaluation has one sampling setting; evaluate again")
    return float(known[0])


def check_comparable(evaluations: Sequence[tuple[str, Counts]]) -> None:
    """Refuse evaluations that differ in more than the model.

    Raises:
        FrameError: two of them differ in n, temperature, top_p or the set of problems. The message names both.
    """
    (first_name, first), *rest = evaluations
    remedies = {"num_samples": "evaluate both alike, or add --intersect to compare the samples that both have"}
    for name, counts in rest:
        pair = f"{first_name} and {name} cannot be compared"
        for field, word in (("num_samples", "n"), ("temperature", "temperature"), ("top_p", "top_p")):
            a, b = getattr(first, field), getattr(counts, field)
            if a != b:
                remedy = remedies.get(field, "evaluate both alike")
                raise FrameError(f"{pair}: {word} is {a} in {first.path} but {b} in {counts.path}; {remedy}")
        if first.problem_ids != counts.problem_ids:
            only = sorted(set(first.problem_ids) ^ set(counts.problem_ids))
            raise FrameError(
                f"{pair}: their problem sets differ ({len(first.problem_ids)} problems in {first.path}, "
                f"{len(counts.problem_ids)} in {counts.path}; {len(only)} are in one alone, such as {only[0]!r}); "
                "evaluate both on the same problems, or add --intersect to compare the problems that both have"
            )


def intersect_counts(evaluations: Sequence[tuple[str, Counts]]) -> tuple[list[tuple[str, Counts]], str]:
    """Return the evaluations cut to the problems they share and to the smallest n, and a sentence on what was cut.

    A smaller n keeps samples 0 … n − 1; counts are never rescaled. The sentence is empty where nothing
    was cut.

    Raises:
        FrameError: the evaluations share no problem, or temperature or top_p differ.
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
    kept = []
    if len(shared) < max(sizes):
        kept.append(f"the {_plural(len(shared), 'problem')} that all have (of {_range_text(sizes)})")
    if min(numbers) < max(numbers):
        kept.append(f"the first {_plural(min(numbers), 'sample')} of each problem (of {_range_text(numbers)})")
    return cut, f"Compared on {' and '.join(kept)} (--intersect)." if kept else ""


def _cut(counts: Counts, problems: set[str], num_samples: int) -> Counts:
    counts = read_counts(counts.path, first=num_samples) if num_samples < counts.num_samples else counts
    kept = [i for i, name in enumerate(counts.problem_ids) if name in problems]
    return replace(
        counts,
        problem_ids=tuple(counts.problem_ids[i] for i in kept),
        correct_P=counts.correct_P[kept],
        invalid_P=counts.invalid_P[kept],
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _range_text(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"
