"""The rule of each verdict in the rollouts, where a user can count them."""

import torch

from agrae_lab.tasks import Verdict, load_task
from agrae_lab.training.batch import GenerationBatch
from agrae_lab.training.recorder import rollout_table

PROBLEM = {"id": "a", "problem": r"Simplify $\frac{6}{12}$.", "answer": r"\frac{1}{2}"}
TEXTS = [r"\boxed{\frac{1}{2}}", r"\boxed{0.5}", r"\boxed{\frac{6}{12}}", r"\boxed{1-\frac{1}{2}}", "7"]
RULES = ["same text", "value", "copied", "not evaluated", "no answer"]


def table_of(verdicts):
    n = len(verdicts)
    batch = GenerationBatch(step=1, problem_ids_n=["a"] * n)
    batch.problem_ids_N, batch.completions_N, batch.verdicts_N = ["a"] * n, TEXTS[:n], verdicts
    batch.rewards_PG = torch.tensor([[v.reward for v in verdicts]])
    batch.advantages_PG = batch.grpo_PG = torch.zeros(1, n)
    batch.num_tokens_N = batch.truncated_N = batch.mean_logprob_N = batch.mean_entropy_N = torch.zeros(n)
    return rollout_table(batch)


def test_rollouts_say_by_which_rule():
    verdicts = load_task("math").verify_all(TEXTS, [PROBLEM] * len(TEXTS))
    table = table_of(verdicts)
    assert table["rule"].to_pylist() == RULES
    assert table["correct"].to_pylist() == [True, True, False, False, False]


def test_a_task_without_rules_has_nulls_of_the_same_type():
    table = table_of([Verdict(True, 1.0), Verdict.invalid()])
    assert table["rule"].to_pylist() == [None, None]
    assert str(table.schema.field("rule").type) == "string"
