"""maj@k of a study's arms: curves and paired differences, with intervals.

contrasts.py decides the scope of every interval, as for Pass@k.

Shapes: P problems, S seeds, K values of k, N scores of all arms, seeds and problems in one row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.estimates.passk_curves import (
    base_sample_paths,
    bounded_share,
    interval_columns,
    seed_name,
    without_interval,
)
from analysis.io.eval_counts import read_counts
from analysis.io.parquet import FileState, file_state, run_named_in_errors
from analysis.io.study import BASE, Study
from analysis.presentation.style import label
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Contrast, Evaluations
from analysis.statistics.intervals import Interval
from analysis.statistics.majority_vote import Answers, majority_at_k, num_draws_for, read_answers
from analysis.statistics.passk import KS


@dataclass(frozen=True)
class Votes:
    """maj@k on one benchmark, for the arms with recorded answers.

    contrasts.py looks up a problem's score by its count of correct samples. A vote depends on more than the count, so
    `evaluations.correct` holds indices into `scores` instead.
    """

    evaluations: Evaluations
    scores: Mapping[int, np.ndarray]  # k → [N]
    errors: Mapping[str, np.ndarray]  # arm → [K]: standard error of the arm's mean due to drawn subsets
    num_draws: int
    notes: tuple[str, ...] = ()

    @property
    def arms(self) -> list[str]:
        return list(self.evaluations.correct)

    def scores_of(self, arm: str) -> np.ndarray:
        """Return maj@k of an arm's seeds, [S, P, K]."""
        return np.stack(list(self.scores.values()), axis=1)[self.evaluations.correct[arm]]


def collect_votes(study: Study, evaluations: Evaluations) -> Votes | None:
    """Return the votes of all arms with recorded answers, or None. Problems and n are those of the evaluations.

    Raises:
        FrameError: answers cannot be read.
    """
    paths = {arm: _sample_paths(study, evaluations, arm) for arm in evaluations.correct}
    everywhere = set.intersection(*(set(read_counts(path).problem_ids) for arm in paths for path in paths[arm]))
    ks = tuple(k for k in KS if k <= evaluations.num_samples)
    scores, errors, notes, missing = {}, {}, [], []
    for arm, arm_paths in paths.items():
        read = []
        for path in arm_paths:
            with run_named_in_errors(path.parents[2]):  # <run>/eval/<benchmark>/samples.parquet
                read.append(read_answers(path, first=evaluations.num_samples))
        answers = [_restrict(found, everywhere) for found in read if found is not None]
        if not answers or len(answers) < len(read):
            missing.append(label(arm))
            continue
        drawn = [
            _drawn_majority(file_state(path), evaluations.num_samples, frozenset(everywhere), ks, evaluations.seed)
            for path in arm_paths
        ]
        scores[arm] = np.stack([means_PK for means_PK, _ in drawn])
        variance_K = sum(variances_PK.sum(axis=0) for _, variances_PK in drawn)
        errors[arm] = np.sqrt(variance_K) / (len(everywhere) * len(drawn))
        notes += [note for found in answers for note in _answer_notes(label(arm), found)]
    if not scores:
        return None
    if missing:
        notes.append(f"No answers recorded: {', '.join(missing)}.")
    return Votes(
        evaluations=replace(evaluations, correct=_score_indices(scores)),
        scores={k: np.concatenate([scores[arm][:, :, i].ravel() for arm in scores]) for i, k in enumerate(ks)},
        errors=errors,
        num_draws=num_draws_for(len(everywhere)),
        notes=tuple(dict.fromkeys(notes)),
    )


@lru_cache(maxsize=256)  # studies share arms, the base model at least
def _drawn_majority(
    state: FileState, first: int, problems: frozenset[str], ks: tuple[int, ...], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return maj@k of one evaluation that has answers, on these problems, as `majority_at_k` does."""
    found = read_answers(state[0], first=first)
    assert found is not None
    return majority_at_k(_restrict(found, problems), ks, seed=seed)


def _score_indices(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arm → [S, P]: index of each score in the concatenation of all arms' scores."""
    places, start = {}, 0
    for arm, scores_SPK in scores.items():
        shape = scores_SPK.shape[:2]
        places[arm] = start + np.arange(np.prod(shape)).reshape(shape)
        start += places[arm].size
    return places


def _sample_paths(study: Study, evaluations: Evaluations, arm: str) -> list[Path]:
    """Return the files of an arm's samples, by seed."""
    benchmark = evaluations.benchmark
    if arm == BASE:  # that of the evaluated runs: others may name another evaluation of it
        evaluated = [run for name, seeds in evaluations.seeds.items() for run in study.arms[name] if run.seed in seeds]
        return base_sample_paths(evaluated, benchmark)
    runs = {run.seed: run for run in study.arms[arm]}
    return [runs[seed].samples_path(benchmark) for seed in evaluations.seeds[arm]]


def _restrict(answers: Answers, problems: Collection[str]) -> Answers:
    """Return the answers to some of the problems."""
    kept = [i for i, name in enumerate(answers.problem_ids) if name in problems]
    return replace(
        answers,
        problem_ids=tuple(answers.problem_ids[i] for i in kept),
        codes_Pn=answers.codes_Pn[kept],
        rightness=tuple(answers.rightness[i] for i in kept),
        disputed=tuple(found for found in answers.disputed if found[0] in problems),
        right_unanswered_P=answers.right_unanswered_P[kept],
    )


def _answer_notes(name: str, answers: Answers) -> list[str]:
    """Return notes for readers on disputed answers and on right samples that abstain."""
    notes = []
    if answers.disputed:
        problem, answer = answers.disputed[0]
        notes.append(
            f"{name}: a text judged both right and wrong votes as two answers: "
            f"{len(answers.disputed)}, such as {_excerpt(answer)} to {_excerpt(problem)}."
        )
    if answers.num_right_unanswered:
        notes.append(f"{name}: right samples without an answer, which abstain: {answers.num_right_unanswered}.")
    return notes


def _excerpt(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text)
    return f"“{shown[:40]}…”" if len(shown) > 40 else f"“{shown}”"


def vote_table(votes: Votes) -> pd.DataFrame:
    """Return maj@k of every arm at every k ≤ n: columns of curve_table, and monte_carlo_error and num_draws."""
    rows = _rows(votes, [(arm, {arm: {k: 1.0}}) for arm in votes.arms for k in votes.scores], share=True)
    rows = rows.assign(seed=rows["arm"].map(lambda arm: seed_name(votes.evaluations.seeds.get(arm, ()))))
    return pd.concat([rows, *_single_seeds(votes)], ignore_index=True)


def vote_gain_table(votes: Votes, reference: str) -> pd.DataFrame:
    """Return maj@k of every trained arm but the reference, minus the reference's on the same problems.

    Without the reference's answers there are no rows.
    """
    arms = [arm for arm in votes.arms if arm not in (reference, BASE)]
    if reference not in votes.arms or not arms:
        return pd.DataFrame()
    contrasts = [(arm, {arm: {k: 1.0}, reference: {k: -1.0}}) for arm in arms for k in votes.scores]
    return _rows(votes, contrasts).assign(reference=reference)


def _single_seeds(votes: Votes) -> list[pd.DataFrame]:
    """Return the curve of each seed of the arms with several seeds, without intervals."""
    frames = []
    for arm, seeds in votes.evaluations.seeds.items():
        if arm in votes.arms and len(seeds) > 1:
            for seed, scores_PK in zip(seeds, votes.scores_of(arm), strict=True):
                singles = [without_interval(mean) for mean in scores_PK.mean(axis=0)]
                frames.append(_frame(votes, [arm] * len(singles), singles).assign(seed=str(seed)))
    return frames


def _rows(votes: Votes, contrasts: Sequence[tuple[str, Contrast]], *, share: bool = False) -> pd.DataFrame:
    """Return one row per (arm, contrast). The contrasts of an arm follow the k of votes.scores."""
    intervals = contrast_intervals(votes.evaluations, [contrast for _, contrast in contrasts], votes.scores)
    if share:
        intervals = [bounded_share(interval, votes.evaluations.num_problems) for interval in intervals]
    rows = _frame(votes, [arm for arm, _ in contrasts], intervals)
    family = rows["band"] + ", over all cells of a panel at once"
    return rows.assign(band=rows["band"].where(rows["band_lo"].isna(), family))


def _frame(votes: Votes, arms: Sequence[str], intervals: Sequence[Interval]) -> pd.DataFrame:
    ks = list(votes.scores)
    return pd.DataFrame(
        {
            **interval_columns(votes.evaluations, interval, arm),
            "k": ks[i % len(ks)],
            "no_within_variance": 2 * ks[i % len(ks)] > votes.evaluations.num_samples,
            "monte_carlo_error": float(votes.errors[arm][i % len(ks)]),
            "num_draws": votes.num_draws,
        }
        for i, (arm, interval) in enumerate(zip(arms, intervals, strict=True))
    )
