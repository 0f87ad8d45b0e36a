"""Inputs beside the rewards: a wrong shape or value is refused by name, and never enters the advantages."""

import math

import pytest
import torch

from agrae_lab.advantages import Context, make

REWARDS = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 0]])
ONES, TOKENS = torch.ones(2, 4), torch.ones(2, 4, 3)
NAN = math.nan


def with_nan(values, at):
    values = values.clone()
    values[at] = NAN
    return values


@pytest.mark.parametrize(
    ("name", "inputs", "sentence"),
    [
        ("a_grae", {"omega": 75}, r"Context.omega is a mean accuracy and must lie in \[0, 1\], got 75"),
        ("a_grae", {"omega": -0.5}, "Context.omega .*, got -0.5"),
        ("a_grae", {"omega": NAN}, "Context.omega .*, got nan"),
        ("ha_dw", {"omega": math.inf}, "Context.omega .*, got inf"),
        ("a_grae", {"correct_PG": 2 * ONES}, "Context.correct_PG must hold 1 for a correct completion .*, got 2"),
        ("max_rl", {"correct_PG": with_nan(ONES, (0, 1))}, "Context.correct_PG .*, got nan"),
        ("opo", {"lengths_PG": torch.ones(2, 1)}, r"Context.lengths_PG must have the shape .*\[2, 4\], got \[2, 1\]"),
        ("opo", {"lengths_PG": torch.ones(4)}, r"Context.lengths_PG .*, got \[4\]"),
        ("opo", {"lengths_PG": -ONES}, "Context.lengths_PG must hold numbers of tokens, from 0, got -1"),
        ("reinforce_pp", {"lengths_PG": with_nan(ONES, (1, 2))}, "Context.lengths_PG .*, got nan"),
        (
            "gdpo",
            {"parts": {"a": ONES, "b": torch.ones(2, 1)}},
            r"Context.parts\['b'\] must have the shape .* \[2, 1\]",
        ),
        ("dcpo", {"prompts": ["1+1"]}, "Context.prompts must name the 2 prompts of the rewards, got 1"),
        ("rl_zvp", {"entropies_PGT": TOKENS, "mask_PGT": ONES}, r"Context.mask_PGT must be \[P, G, T\]"),
        ("rl_zvp", {"entropies_PGT": TOKENS[:, :1], "mask_PGT": TOKENS}, r"Context.entropies_PGT .*, got \[2, 1, 3\]"),
        ("rl_zvp", {"entropies_PGT": TOKENS, "mask_PGT": TOKENS[..., :1]}, r"as many tokens in each .*\[2, 4, 1\]"),
        ("unlikeliness", {"logprobs_PGT": -TOKENS, "mask_PGT": TOKENS[..., :2]}, "pad them alike"),
        (
            "entropy_advantage",
            {"entropies_PGT": with_nan(TOKENS, (0, 0, 0)), "mask_PGT": TOKENS},
            "Context.entropies_PGT must hold numbers at completion tokens, where the mask is 1, got nan",
        ),
        ("unlikeliness", {"logprobs_PGT": with_nan(TOKENS, (0, 0, 0)), "mask_PGT": TOKENS}, "Context.logprobs_PGT"),
    ],
)
def test_a_bad_input_is_refused_by_name(name, inputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(name)(REWARDS, Context(**inputs))


def test_inputs_at_the_edge_are_taken():
    rewards = with_nan(REWARDS, (0, 1))
    context = Context(omega=1, correct_PG=with_nan(REWARDS, (0, 1)))
    assert make("a_grae")(rewards, context).isfinite().all()
    assert make("a_grae")(REWARDS, Context(omega=torch.tensor(0.0))).isfinite().all()
    assert make("opo")(REWARDS, Context(lengths_PG=torch.zeros(2, 4))).isfinite().all()  # empty completions
    mask = torch.tensor([1, 1, 0]).expand(2, 4, 3)
    padded = Context(entropies_PGT=with_nan(TOKENS, (0, 0, 2)), mask_PGT=mask)  # padding may hold anything
    assert make("rl_zvp")(REWARDS, padded).isfinite().all()


def test_an_input_that_no_link_uses_may_hold_anything():
    context = Context(entropies_PGT=NAN * TOKENS, logprobs_PGT=-TOKENS, mask_PGT=TOKENS, lengths_PG=NAN * ONES)
    assert make("unlikeliness")(REWARDS, context).isfinite().all()
