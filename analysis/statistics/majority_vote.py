"""Majority voting: maj@k from the recorded answers.

maj@k is the chance that the most frequent answer among k samples is right. The k samples are drawn from the n recorded
ones without replacement. A tied vote scores the mean over the tied answers: the expectation of a random choice,
without its noise. A sample without an answer abstains. A vote without any answer is wrong.

The value is exact at k = 1 and k = n. In between it is a mean over D random subsets, nested in k, since no formula is
known that needs less than all counts of answers.

Shapes: P problems, C of them at a time, n samples each, A distinct answers of a problem, K values of k, D draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.io.eval_counts import read_counts
from analysis.io.parquet import FileState, FrameError, column_names, file_state

NO_ANSWER = -1
MOST_DRAWS, LEAST_DRAWS = 1000, 50
_ALL_DRAWS = 30_000  # over all problems: the standard error of their mean is then at most 0.3 points


@dataclass(frozen=True)
class Answers:
    """Answers of one evaluation."""

    problem_ids: tuple[str, ...]  # sorted, length P
    codes_Pn: np.ndarray  # by sample number: index of the answer among the problem's answers, or NO_ANSWER
    rightness: tuple[np.ndarray, ...]  # for each problem [A]: 1 for an answer judged correct, else 0
    disputed: tuple[tuple[str, str], ...]  # (problem, text) judged both right and wrong: two answers
    right_unanswered_P: np.ndarray  # samples judged correct without an answer; they abstain

    @property
    def num_right_unanswered(self) -> int:
        return int(self.right_unanswered_P.sum())

    @property
    def num_samples(self) -> int:
        return self.codes_Pn.shape[1]


def read_answers(path: Path, *, first: int | None = None) -> Answers | None:
    """Return the answers of the sampled rows, or None where the column `answer` is missing or empty.

    Args:
        first: take only samples numbered below it, so that n becomes `first`. Default: all.

    Raises:
        FrameError: as read_counts, or the column is not text.
    """
    read_counts(path)  # for its checks
    return _read_answers(file_state(path), first)


@lru_cache(maxsize=64)
def _read_answers(state: FileState, first: int | None) -> Answers | None:
    path = state[0]
    if "answer" not in column_names(path):
        return None
    rows = _sampled_rows(path)
    texts = rows["answer"].combine_chunks().dictionary_encode()
    if len(texts.dictionary) == 0:
        return None
    problems = rows["problem_id"].combine_chunks().dictionary_encode()
    ids = np.array(problems.dictionary.to_pylist(), dtype=object)
    rank = np.argsort(np.argsort(ids))
    shape = (len(ids), rows.num_rows // len(ids))
    place_N = rank[problems.indices.to_numpy()] * shape[1] + rows["sample"].to_numpy()

    def grid(values_N: np.ndarray) -> np.ndarray:
        placed = np.empty_like(values_N)
        placed[place_N] = values_N
        return placed.reshape(shape)[:, :first]

    text_Pn = grid(texts.indices.fill_null(NO_ANSWER).to_numpy().astype(np.int64))
    correct_Pn, valid_Pn = (grid(rows[name].fill_null(False).to_numpy()) for name in ("correct", "valid"))
    return tally(tuple(sorted(ids)), text_Pn, correct_Pn, valid_Pn, texts.dictionary.to_pylist())


def _sampled_rows(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, columns=["problem_id", "decoding", "sample", "correct", "valid", "answer"])
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        cause = str(error).partition("\n")[0]
        raise FrameError(f"{path}: not a whole Parquet file: {cause}; delete the file and evaluate again") from error
    kind = table.schema.field("answer").type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise FrameError(f"{path}: its column answer holds {kind} but should hold text; evaluate again")
    return table.filter(pa.compute.equal(table["decoding"], "sample"))


def tally(
    ids: tuple[str, ...], text_Pn: np.ndarray, correct_Pn: np.ndarray, valid_Pn: np.ndarray, texts: Sequence[str]
) -> Answers:
    """Return the answers of all problems: numbered from 0, each right or wrong.

    A text that the verifier judged both right and wrong becomes two answers, so that no vote merges the two. Its
    invalid samples join the more frequent one. An answer with invalid samples only is wrong.

    Args:
        text_Pn: index into texts by sample number, or NO_ANSWER.
    """
    codes_Pn = np.full(text_Pn.shape, NO_ANSWER, dtype=np.int32)
    rightness, disputed = [], []
    for i, (text_n, correct_n, valid_n) in enumerate(zip(text_Pn, correct_Pn & valid_Pn, valid_Pn, strict=True)):
        given = text_n != NO_ANSWER
        used_T, text = np.unique(text_n[given], return_inverse=True)
        right_T, judged_T = (np.bincount(text, marks[given], len(used_T)) for marks in (correct_n, valid_n))
        is_right = np.where(valid_n[given], correct_n[given], (2 * right_T > judged_T)[text])
        used_A, codes_Pn[i, given] = np.unique(2 * text + is_right, return_inverse=True)
        rightness.append((used_A % 2).astype(np.float64))
        disputed += [(ids[i], texts[used_T[t]]) for t in np.flatnonzero((right_T > 0) & (right_T < judged_T))]
    abstains = text_Pn == NO_ANSWER
    return Answers(
        problem_ids=ids,
        codes_Pn=codes_Pn,
        rightness=tuple(rightness),
        disputed=tuple(disputed),
        right_unanswered_P=(abstains & correct_Pn & valid_Pn).sum(axis=1),
    )


def num_draws_for(num_problems: int) -> int:
    """Return D, the number of draws per problem: a mean over more problems needs fewer."""
    return int(np.clip(_ALL_DRAWS // num_problems, LEAST_DRAWS, MOST_DRAWS))


def majority_at_k(
    answers: Answers, ks: Sequence[int], *, seed: int, num_draws: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return maj@k of every problem, and the variance that drawing subsets adds to it, [P, K] each; NaN where k > n.

    All problems share the same D orders, after each problem's samples are shuffled: subsets are uniform, and the
    errors of different problems are independent.

    Raises:
        ValueError: a k below 1.
    """
    if min(ks) < 1:
        raise ValueError(f"ks={list(ks)}: a vote needs at least one sample")
    num_problems, n = answers.codes_Pn.shape
    num_draws = num_draws or num_draws_for(num_problems)
    rng = np.random.default_rng(seed)
    orders_Dn = rng.permuted(np.tile(np.arange(n, dtype=np.int32), (num_draws, 1)), axis=1)
    known = sorted({k for k in ks if k <= n})
    drawn = [k for k in known if 1 < k < n]  # the ends are exact
    columns = [known.index(k) if k <= n else len(known) for k in ks]
    means_PK, variances_PK = np.full((2, num_problems, len(known) + 1), np.nan)  # the last column stays NaN, for k > n
    size = max(1, MOST_DRAWS // num_draws)
    for start in range(0, num_problems, size):
        some = slice(start, start + size)
        right_CA = _pad_rightness(answers.rightness[some])
        codes_Cn = np.where(answers.codes_Pn[some] == NO_ANSWER, right_CA.shape[1] - 1, answers.codes_Pn[some])
        scores_CDK = _subset_scores(
            rng.permuted(codes_Cn, axis=1), right_CA, orders_Dn[:, : max(drawn, default=0)], drawn
        )
        places = [known.index(k) for k in drawn]
        means_PK[some, places] = scores_CDK.mean(axis=1)
        variances_PK[some, places] = scores_CDK.var(axis=1, ddof=1) / num_draws
        for k, exact_C in ((1, _score_at_1(codes_Cn, right_CA)), (n, _score_at_n(codes_Cn, right_CA))):
            if k in known:
                means_PK[some, known.index(k)], variances_PK[some, known.index(k)] = exact_C, 0.0
    return means_PK[:, columns], variances_PK[:, columns]


def _pad_rightness(rightness: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rightness of C problems' answers, padded with zeros, [C, A+1]. The last column is for abstention."""
    right_CA = np.zeros((len(rightness), max(map(len, rightness)) + 1))
    for row, right_A in zip(right_CA, rightness, strict=True):
        row[: len(right_A)] = right_A
    return right_CA


def _subset_scores(codes_Cn: np.ndarray, right_CA: np.ndarray, orders_Dn: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Return the score of the vote of the first k samples of each order, [C, D, K]."""
    shape = (len(codes_Cn), len(orders_Dn), right_CA.shape[1])
    rows = np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1)
    places_CDn = codes_Cn[:, orders_Dn] + rows * shape[2]
    counts = np.zeros(np.prod(shape), dtype=np.int32)
    scores_CDK = np.empty((*shape[:2], len(ks)))
    start = 0
    for column, k in enumerate(ks):
        counts += np.bincount(places_CDn[:, :, start:k].ravel(), minlength=len(counts)).astype(np.int32)
        scores_CDK[:, :, column] = _vote_scores(counts.reshape(shape), right_CA)
        start = k
    return scores_CDK


def _vote_scores(counts_CDA: np.ndarray, right_CA: np.ndarray) -> np.ndarray:
    """Return the mean rightness of the answers with the most votes, [C, D]; 0 where all abstain (the last column)."""
    votes_CDA, right_CA = counts_CDA[:, :, :-1], right_CA[:, :-1]
    most_CD1 = votes_CDA.max(axis=2, keepdims=True, initial=0)
    wins_CDA = ((votes_CDA == most_CD1) & (most_CD1 > 0)).astype(np.float64)
    return (wins_CDA @ right_CA[:, :, None])[:, :, 0] / np.maximum(wins_CDA.sum(axis=2), 1.0)


def _score_at_1(codes_Cn: np.ndarray, right_CA: np.ndarray) -> np.ndarray:
    """Return the exact maj@1, [C]."""
    return np.take_along_axis(right_CA, codes_Cn, axis=1).mean(axis=1)


def _score_at_n(codes_Cn: np.ndarray, right_CA: np.ndarray) -> np.ndarray:
    """Return the exact maj@n, [C]."""
    counts_CA = np.stack([np.bincount(codes_n, minlength=right_CA.shape[1]) for codes_n in codes_Cn])
    return _vote_scores(counts_CA[:, None], right_CA)[:, 0]
