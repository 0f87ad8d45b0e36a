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


# G = 8 and k correct: A of a correct / an incorrect completion, from the formulas in the estimators' docstrings with
# ddof 1. For one: grpo, k = 2: std = √(8·¼·¾/7) = 0.46291, A+ = 0.75/0.46291 = 1.620, A− = −0.25/0.46291 = −0.540;
# hard_focused multiplies by 0.5/√0.25 = 1; a_grae at ω = ½, k = 2: 1.620·(¼/0.5 + ¼/0.86603) = 1.278, and its
# positives are halved (ω/α = ½) to 0.639.
TABLE = {
    ("grpo", ("ddof", 1)): {1: (2.475, -0.354), 2: (1.620, -0.540), 4: (0.935, -0.935), 7: (0.354, -2.475)},
    ("grpo", ("ddof", 0)): {1: (2.646, -0.378), 2: (1.732, -0.577), 4: (1.000, -1.000), 7: (0.378, -2.646)},
    ("dr_grpo",): {1: (0.875, -0.125), 2: (0.750, -0.250), 4: (0.500, -0.500), 7: (0.125, -0.875)},
    ("rloo",): {1: (1.000, -0.143), 2: (0.857, -0.286), 4: (0.571, -0.571), 7: (0.143, -1.000)},
    ("positive_dominant", ("ddof", 1)): {1: (24.749, -0.354), 2: (16.202, -0.540), 7: (3.536, -2.475)},
    ("negative_dominant", ("ddof", 1)): {1: (0.247, -0.354), 4: (0.094, -0.935), 7: (0.035, -2.475)},
    ("hard_focused", ("ddof", 1)): {1: (3.500, -0.500), 2: (1.620, -0.540), 4: (0.661, -0.661), 7: (0.189, -1.323)},
    ("easy_focused", ("ddof", 1)): {1: (1.323, -0.189), 2: (0.935, -0.312), 4: (0.661, -0.661), 7: (0.500, -3.500)},
    ("a_grae", ("ddof", 1)): {1: (1.206, -0.344), 2: (0.639, -0.426), 4: (0.331, -0.661), 7: (0.172, -2.411)},
    ("w_reinforce",): {1: (0.100, -1.000), 4: (0.100, -1.000), 7: (0.100, -1.000)},
}
CODE_TABLE = {1: (1.354, -0.387), 2: (0.810, -0.540), 4: (0.565, -1.129), 6: (0.582, -3.491), 7: (0.732, -10.241)}


def pair(estimator, *, num_correct, num_generations=8, omega=None):
    """A of the correct and of the incorrect completions of one group."""
    rewards = torch.zeros(1, num_generations, dtype=torch.float64)
    rewards[0, :num_correct] = 1.0
    advantages = estimator(rewards, Context(omega=omega))
    return advantages[0, 0].item(), advantages[0, -1].item()


@pytest.mark.parametrize("key", TABLE, ids=str)
def test_table_for_eight_completions(key):
    name, *overrides = key
    estimator = make(name, **dict(overrides))
    for num_correct, expected in TABLE[key].items():
        assert pair(estimator, num_correct=num_correct, omega=0.5) == pytest.approx(expected, abs=5.1e-4)


def test_table_of_the_official_a_grae():
    for num_correct, expected in CODE_TABLE.items():
        got = pair(make("a_grae", flavor="official"), num_correct=num_correct, omega=0.5)
        assert got == pytest.approx(expected, abs=5.1e-4)
