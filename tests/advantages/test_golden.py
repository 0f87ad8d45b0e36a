"""Golden values: the authors' own functions (float32), and the table of A+(p), A−(p) for G = 8.

official_advantages.json: outputs of the functions in their `verl/trainer/ppo/core_algos.py` (commit c5aa316,
Apache-2.0), run in float32 on 24 random binary reward matrices; each case: rewards [B][G], advantages: name → [B][G].
"""

import json
from pathlib import Path

import pytest
import torch

from agrae_lab.advantages import Context, make

# Name in the golden file → our estimator. Their A-GRAE has α = 1; W-REINFORCE has λ = 0.1.
OFFICIAL = {
    "grpo": make("grpo", flavor="official"),
    "dr_grpo": make("dr_grpo", flavor="official"),
    "a_grae": make("a_grae", flavor="official"),
    "dr_grpo_a_grae": make("a_grae", base="dr_grpo", flavor="official"),
    "rloo": make("rloo", flavor="official"),
    "psr_nsr_positive": make("psr", flavor="official"),
    "psr_nsr_negative": make("nsr", flavor="official"),
    "psr_nsr_weighted": make("w_reinforce", flavor="official"),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_reproduces_the_authors_code(name):
    cases = json.loads(Path(__file__).with_name("official_advantages.json").read_text())["cases"]
    assert len(cases) == 24
    for case in cases:
        ours = OFFICIAL[name](torch.tensor(case["rewards"]))
        torch.testing.assert_close(ours, torch.tensor(case["advantages"][name]), rtol=1e-5, atol=1e-5)


# G = 8 and k = 1, 2, 4, 6, 7 correct: A of a correct / an incorrect completion, from the formulas in the estimators'
# docstrings with ddof 1. For one: grpo, k = 2: std = √(8·¼·¾/7) = 0.46291, A+ = 0.75/0.46291 = 1.620,
# A− = −0.25/0.46291 = −0.540; hard_focused multiplies by 0.5/√0.25 = 1; a_grae at ω = ½, k = 2: 1.620·(¼/0.5 +
# ¼/0.86603) = 1.278, and its positives are halved (ω/α = ½) to 0.639.
COUNTS = (1, 2, 4, 6, 7)
TABLE = {
    "grpo ddof=1": "2.475 -0.354  1.620 -0.540  0.935 -0.935  0.540 -1.620  0.354 -2.475",
    "grpo ddof=0": "2.646 -0.378  1.732 -0.577  1.000 -1.000  0.577 -1.732  0.378 -2.646",
    "dr_grpo": "0.875 -0.125  0.750 -0.250  0.500 -0.500  0.250 -0.750  0.125 -0.875",
    "rloo": "1.000 -0.143  0.857 -0.286  0.571 -0.571  0.286 -0.857  0.143 -1.000",
    "positive_dominant ddof=1": "24.749 -0.354  16.202 -0.540  9.354 -0.935  5.401 -1.620  3.536 -2.475",
    "negative_dominant ddof=1": "0.247 -0.354  0.162 -0.540  0.094 -0.935  0.054 -1.620  0.035 -2.475",
    "hard_focused ddof=1": "3.500 -0.500  1.620 -0.540  0.661 -0.661  0.312 -0.935  0.189 -1.323",
    "easy_focused ddof=1": "1.323 -0.189  0.935 -0.312  0.661 -0.661  0.540 -1.620  0.500 -3.500",
    "a_grae ddof=1": "1.206 -0.344  0.639 -0.426  0.331 -0.661  0.213 -1.278  0.172 -2.411",
    "a_grae flavor=official": "1.354 -0.387  0.810 -0.540  0.565 -1.129  0.582 -3.491  0.732 -10.241",
    "ngrpo": "1.764 -0.504  1.333 -0.667  0.843 -1.054  0.504 -1.764  0.333 -2.667",
    "grpo_lead ddof=1": "3.707 -0.228  2.418 -0.513  1.325 -1.325  0.513 -2.418  0.228 -3.707",
    "f_grpo ddof=1": "2.315 -0.331  1.403 -0.468  0.661 -0.661  0.270 -0.810  0.125 -0.875",
    "max_rl": "7.000 -1.000  3.000 -1.000  1.000 -1.000  0.333 -1.000  0.143 -1.000",
    "ha_dw ddof=1": "5.969 -0.330  3.449 -0.571  1.551 -1.270  0.697 -2.824  0.403 -4.887",  # C = 0.6
    "dgpo sample=none": "4.000 -0.571  2.000 -0.667  1.000 -1.000  0.667 -2.000  0.571 -4.000",
    "w_reinforce": "0.100 -1.000  0.100 -1.000  0.100 -1.000  0.100 -1.000  0.100 -1.000",
    "passk_training k=4": "1.000 -0.143  0.522 -0.174  0.120 -0.120  0.000 0.000  0.000 0.000",
    "pkpo k=4": "0.286 -0.041  0.122 -0.041  0.008 -0.008  0.000 0.000  0.000 0.000",
    "loo_std": "1.000 -0.378  2.268 -0.586  1.069 -1.069  0.586 -2.268  0.378 -1.000",
}


def estimator_of(row):
    """The estimator of a row's title: `name field=value …`."""
    name, *overrides = row.split()
    values = dict(override.split("=") for override in overrides)
    return make(name, **{key: int(value) if value.isdigit() else value for key, value in values.items()})


def pair(estimator, *, num_correct, num_generations=8):
    """A of the correct and of the incorrect completions of one group; ω is ½, and HA-DW's C is 0.6."""
    rewards = torch.zeros(1, num_generations, dtype=torch.float64)
    rewards[0, :num_correct] = 1.0
    earlier = [(6.0 - 0.5) / 9] * 9  # with ω the mean of ten is 0.6
    advantages, _ = estimator.step(rewards, Context(omega=0.5), state={"ha_dw": earlier})
    return advantages[0, 0].item(), advantages[0, -1].item()


@pytest.mark.parametrize("row", TABLE)
def test_table_for_eight_completions(row):
    values = [float(v) for v in TABLE[row].split()]
    expected = dict(zip(COUNTS, zip(values[::2], values[1::2], strict=True), strict=True))
    for num_correct, numbers in expected.items():
        assert pair(estimator_of(row), num_correct=num_correct) == pytest.approx(numbers, abs=5e-4)


def test_maclaurin_for_eight_completions():
    """A of the incorrect completions for k = 0 … 7 correct; the correct ones have 1."""
    expected = {
        1: [0.0] * 8,
        4: [-3, -2.143, -1.476, -0.971, -0.6, -0.333, -0.143, 0],
        8: [-7, -3, -1.667, -1, -0.6, -0.333, -0.143, 0],
    }
    for order, numbers in expected.items():
        pairs = [pair(make("maclaurin", order=order), num_correct=k) for k in range(8)]
        assert [negative for _, negative in pairs] == pytest.approx(numbers, abs=5e-4)
        assert [positive for positive, _ in pairs[1:]] == [1.0] * 7
