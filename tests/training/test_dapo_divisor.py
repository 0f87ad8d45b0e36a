"""Divisor of loss=dapo: the statement in its docstrings and in conf/loss/dapo.yaml, compared with TRL."""

import pytest
import torch

from agrae_lab.training.trainer import AdvantageTrainer


@pytest.mark.parametrize("per_device", ["null", 8])
def test_a_minibatch_is_divided_by_an_equal_share_of_the_steps_tokens(small_run, tmp_path, monkeypatch, per_device):
    """On policy the ratio is 1: the loss of the first mini-batch is −Σ A·tokens / (tokens of the step / 2)."""
    passes, original = [], AdvantageTrainer._compute_loss

    def compute_loss(self, model, inputs):
        loss = original(self, model, inputs)
        passes.append((loss.item(), inputs["advantages"], inputs["completion_mask"].sum(dim=1)))
        return loss

    monkeypatch.setattr(AdvantageTrainer, "_compute_loss", compute_loss)
    settings = (
        "loss=dapo",
        "advantage=w_reinforce",
        "train.num_steps=1",
        f"hardware.per_device_batch_size={per_device}",
    )
    small_run(*settings, root=tmp_path)
    half = passes[: len(passes) // 2]  # of the first of two mini-batches
    loss, advantages, lengths = sum(loss for loss, *_ in half), *(torch.cat([p[i] for p in half]) for i in (1, 2))
    step_tokens = sum(int(lengths.sum()) for *_, lengths in passes)
    assert loss == pytest.approx(-float((advantages * lengths).sum()) / (step_tokens / 2), rel=1e-4)
    # the mini-batch's own tokens, which the paper's formula reads like, would give another number
    assert abs(2 * lengths.sum() / step_tokens - 1) > 1e-3
