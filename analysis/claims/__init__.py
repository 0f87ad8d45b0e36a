"""The paper's claims C1–C8, each a pure function of frames to a Verdict; the rule is in verdicts.py.

    gain_over_base.py     C1 GRPO's gain over the base shrinks with k
    positive_dominant.py  C2 Positive-Dominant: entropy and large k
    negative_dominant.py  C3 Negative-Dominant: entropy and large k
    stability.py          C4 which arms collapse
    focus.py              C5 Easy-Focused is early and wins on easy problems, Hard-Focused late and on hard ones
    division.py           C6 what the parts of A-GRAE do
    improvement.py        C7 A-GRAE on GRPO, DAPO and Dr.GRPO
    plateau.py            C8 entropy over time
    _parts.py             what they share: parts, thresholds

Each docstring lists the claim's parts. Pass@k parts are judged on every benchmark, K the largest k on the grid with
k ≤ n. Thresholds were set before any data of ours were seen, but for C8's: PLATEAU_MARGIN was tightened from 10 % to
5 %, and the part against GRPO added, after a first nano run in which one change counted both as a decline and as a
plateau. Those of C4 to C7 were set in knowledge of the paper's numbers.
No correction is made across claims: their parts test different things (zero, a margin, equivalence, exact counts, bands
over k), not all of which have a p-value to order them by.
"""

from __future__ import annotations

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
from analysis.io.study import Study
from analysis.statistics.collapse import collapse_table

__all__ = ["Verdict", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "judge"]


def judge(study: Study) -> list[Verdict]:
    """All claims on a study's finished runs.

    Raises:
        FrameError: the data of some run cannot be read or compared.
    """
    evaluations = [e for e in (collect(study, benchmark) for benchmark in study.benchmarks) if e is not None]
    entropy = metric_by_seed(study, "entropy")
    correct = metric_by_seed(study, "correct_count")
    completions = metric_by_seed(study, "num_completions")
    share = {arm: correct[arm] / completions[arm] for arm in correct}
    return [
        c1(evaluations),
        c2(evaluations, entropy),
        c3(evaluations, entropy),
        c4(collapse_table(study)),
        c5(evaluations, share),
        c6(evaluations),
        c7(evaluations, a_grae_pairs(study)),
        c8(entropy),
    ]
