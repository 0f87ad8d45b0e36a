"""The paper's claims C1 to C8, each a pure function of frames to a Verdict; the rule is in verdicts.py.

    gain_over_base.py     C1 GRPO's gain over the base shrinks with k
    positive_dominant.py  C2 Positive-Dominant: entropy and large k
    negative_dominant.py  C3 Negative-Dominant: entropy and large k
    stability.py          C4 collapses of Negative-Dominant and of A-GRAE's group level
    focus.py              C5 Easy-Focused: early, on easy problems; Hard-Focused: late, on hard problems
    division.py           C6 effects of A-GRAE's two levels
    improvement.py        C7 A-GRAE on GRPO, DAPO and Dr.GRPO
    plateau.py            C8 entropy over time
    _parts.py             shared parts and thresholds

Each docstring lists the claim's parts. Pass@k parts cover all benchmarks; K is the largest k ≤ n of the grid.
Thresholds were set before this project had data, except C8's: after a first nano run, in which one change counted both
as a decline and as a plateau, PLATEAU_MARGIN was lowered from 10 % to 5 %, and the part against GRPO was added. The
thresholds of C4 to C7 were set with knowledge of the paper's numbers.
There is no correction across claims: their parts test different hypotheses (zero, a margin, equivalence, exact counts,
bands over k), and not all have a p-value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agrae_lab.runs.comparison import REFERENCE
from analysis.claims.division import c6
from analysis.claims.focus import c5
from analysis.claims.gain_over_base import c1
from analysis.claims.improvement import a_grae_pairs, c7
from analysis.claims.negative_dominant import c3
from analysis.claims.plateau import c8
from analysis.claims.positive_dominant import c2
from analysis.claims.stability import c4
from analysis.claims.verdicts import Verdict
from analysis.estimates.passk_curves import collect
from analysis.estimates.step_series import metric_by_seed
from analysis.io.study import BASE, Study
from analysis.statistics.collapse import collapse_table

# Arms that the claims are about. None of them can be the reference that a claim compares them with.
_CLAIMED = (
    *(BASE, "positive_dominant", "negative_dominant", "easy_focused", "hard_focused"),
    *("a_grae", "a_grae_sample_only", "a_grae_group_only"),
)

_WITHOUT_EVALUATIONS = ("C4", "C8")  # claims that no benchmark's evaluations decide

__all__ = ["Verdict", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "judge"]


def judge(study: Study, benchmarks: Sequence[str] | None = None) -> list[Verdict]:
    """Return the verdicts on all claims from a study's finished runs and its evaluations on some benchmarks.

    benchmarks: those whose evaluations can be compared (all by default); the verdicts name the others.

    Raises:
        FrameError: the data of a run cannot be read or compared.
    """
    benchmarks = study.benchmarks if benchmarks is None else benchmarks
    evaluations = [e for e in (collect(study, benchmark) for benchmark in benchmarks) if e is not None]
    refused = [name for name in study.benchmarks if name not in benchmarks]
    notes = tuple(f"{name}: not judged, its evaluations cannot be compared" for name in refused)
    entropy = metric_by_seed(study, "entropy")
    correct = metric_by_seed(study, "correct_count")
    completions = metric_by_seed(study, "num_completions")
    share = {arm: correct[arm] / completions[arm] for arm in correct}
    reference = REFERENCE if study.reference in _CLAIMED else study.reference
    verdicts = [
        c1(evaluations, reference),
        c2(evaluations, entropy, reference),
        c3(evaluations, entropy, reference),
        c4(collapse_table(study)),
        c5(evaluations, share, reference),
        c6(evaluations, reference),
        c7(evaluations, a_grae_pairs(study)),
        c8(entropy, reference),
    ]
    return [v if v.claim in _WITHOUT_EVALUATIONS else replace(v, notes=(*v.notes, *notes)) for v in verdicts]
