"""Every loss of conf/loss and every key of the section: the trainer's gradient compared with a formula of our own.

A step has two updates: exactly on policy in the first, ratios other than 1 in the second, where clips and caps show.
"""

import dataclasses
from collections.abc import Callable

import pandas as pd
import pytest
import torch

from agrae_lab import runs
from agrae_lab.config import problem_sets
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import load_model
from agrae_lab.training.session import build_trainer
from agrae_lab.training.trainer import AdvantageTrainer
from tests.training.conftest import SMALL, compose_config
from tests.training.test_runs_end_to_end import TIMES, metrics, rollouts

TOLERANCE = 5e-6  # of the largest gradient of the update, or of 1
MAX_LENGTH = 10  # some completions are truncated
STEP = [
    *(*SMALL, "train.num_steps=1", "train.learning_rate=4e-3", "train.validate_every=0", "train.temperature=0.9"),
    f"train.max_completion_length={MAX_LENGTH}",
]


@dataclasses.dataclass
class Update:
    """Completions of one update and their log-probs under the policy that is updated; n completions, T tokens."""

    loss: dict  # the section of the config
    logprobs: torch.Tensor  # [n, T], with gradient
    entropies: torch.Tensor  # [n, T], nats, with gradient
    old: torch.Tensor  # [n, T], of the policy that sampled
    reference: torch.Tensor  # [n, T], of the policy before training
    advantages: torch.Tensor  # [n, 1]
    mask: torch.Tensor  # [n, T], 1 at a token of the loss
    step_tokens: int  # tokens of the loss in the whole step, of two updates

    @property
    def ratio(self):
        return (self.logprobs - self.old).exp()

    @property
    def sequence_ratio(self):
        mean = ((self.logprobs - self.old) * self.mask).sum(1, keepdim=True) / self.lengths
        return mean.exp()

    @property
    def lengths(self):
        return self.mask.sum(1, keepdim=True).clamp(min=1)

    def clipped(self, ratio):
        low, high = 1 - self.loss["clip_low"], 1 + self.loss["clip_high"]
        bounded = ratio if self.loss.get("delta") is None else ratio.clamp(max=self.loss["delta"])
        return -torch.minimum(bounded * self.advantages, ratio.clamp(low, high) * self.advantages)

    def mean_of_means(self, values):
        return (values * self.mask / self.lengths).sum() / len(values)

    def share_of_step(self, values):
        return (values * self.mask).sum() / (self.step_tokens / 2)


def sapo(u: Update):
    tau = torch.where(u.advantages > 0, u.loss["tau_positive"], u.loss["tau_negative"])
    return -4 / tau * torch.sigmoid(tau * (u.ratio - 1)) * u.advantages


def cispo(u: Update):
    return -u.ratio.detach().clamp(max=1 + u.loss["clip_high"]) * u.advantages * u.logprobs


def vespo(u: Update):
    whole = ((u.logprobs - u.old) * u.mask).sum(1, keepdim=True).exp().detach()
    signs = torch.where(u.advantages < 0, 1, 0)
    k = torch.tensor([u.loss["k_positive"], u.loss["k_negative"]])[signs]
    decay = torch.tensor([u.loss["lambda_positive"], u.loss["lambda_negative"]])[signs]
    return -(whole**k) * torch.exp(decay * (1 - whole)) * u.advantages * u.logprobs


# name → loss of each token [n, T] or completion [n, 1], and how it is averaged
FORMULAS: dict[str, tuple[Callable, Callable]] = {
    "grpo": (lambda u: u.clipped(u.ratio), Update.mean_of_means),
    "dapo": (lambda u: u.clipped(u.ratio), Update.share_of_step),
    "dr_grpo": (lambda u: u.clipped(u.ratio), lambda u, values: (values * u.mask).sum() / len(values) / MAX_LENGTH),
    "bnpo": (lambda u: u.clipped(u.ratio), lambda u, values: (values * u.mask).sum() / u.mask.sum()),
    "gspo": (lambda u: u.clipped(u.sequence_ratio), Update.mean_of_means),
    "luspo": (lambda u: u.clipped(u.sequence_ratio), lambda u, values: (values * u.mask).sum() / len(values)),
    "cispo": (cispo, Update.share_of_step),
    "sapo": (sapo, Update.mean_of_means),
    "vespo": (vespo, Update.share_of_step),
}


def own_loss(u: Update):
    """Return the loss of an update by our own formulas."""
    token_loss, average = FORMULAS[u.loss["name"]]
    values = token_loss(u).expand_as(u.logprobs)
    if "top_entropy_quantile" in u.loss:
        threshold = torch.quantile(u.entropies[u.mask == 1].detach(), 1 - u.loss["top_entropy_quantile"])
        values = values * (u.entropies >= threshold)
    if u.loss["kl_coefficient"]:
        gap = u.reference - u.logprobs
        k3 = gap.exp() - gap - 1
        values = values + u.loss["kl_coefficient"] * (k3 if u.loss.get("kl_estimator") == "k3" else k3 * u.ratio)
    bonus = u.loss.get("entropy_coefficient", 0.0) * (u.entropies * u.mask).sum() / u.mask.sum()
    return average(u, values) - bonus


def token_stats(model, inputs, *, temperature=0.9):
    """Return log-probs and entropies of the completion tokens, from the model's plain forward pass."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    logits = model(input_ids=ids, attention_mask=attention).logits / temperature
    width = inputs["completion_ids"].shape[1]
    logs = logits[:, -width - 1 : -1].log_softmax(dim=-1)
    return logs.gather(2, inputs["completion_ids"][..., None]).squeeze(2), -(logs.exp() * logs).sum(-1)


def gradients_of_step(monkeypatch, root, *overrides, mistaken):
    """Train one step; return for each update the trainer's gradient, ours, that of the mistaken loss, and the Update.

    Args:
        mistaken: other values of the section `loss`, for a second gradient by our formula.
    """
    config = compose_config(f"root={root}", *STEP, *overrides)
    run = runs.read_run(runs.create_run(config))
    reference = load_model("nano", dtype="float32")[0]
    original, passes, compared = AdvantageTrainer._compute_loss, [], []

    def compute_loss(self, model, inputs):
        rows = torch.arange(len(inputs["advantages"])) + len(passes)
        inputs["advantages"] = 1.5 * torch.cos(2.4 * rows)  # both signs and all sizes, whatever was solved
        loss = original(self, model, inputs)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        passes.append((inputs, torch.autograd.grad(loss, parameters, retain_graph=True)))
        if len(passes) < self.args.gradient_accumulation_steps:
            return loss
        joined = {
            name: torch.cat([one[name] for one, _ in passes]) for name in inputs if inputs[name].ndim
        }  # not the counts
        step_tokens = sum(int(one["completion_mask"].sum()) for one in self._buffered_inputs)
        with torch.no_grad():
            before, _ = token_stats(reference, joined)
        logprobs, entropies = token_stats(model, joined)
        update = Update(
            loss=config["loss"],
            logprobs=logprobs,
            entropies=entropies,
            old=joined["old_per_token_logps"],
            reference=before,
            advantages=joined["advantages"][:, None],
            mask=joined["completion_mask"],
            step_tokens=step_tokens,
        )
        ours = torch.autograd.grad(own_loss(update), parameters, retain_graph=True)
        other = dataclasses.replace(update, loss=config["loss"] | mistaken)
        wrong = torch.autograd.grad(own_loss(other), parameters)
        theirs = [sum(parts) for parts in zip(*(gradient for _, gradient in passes), strict=True)]
        compared.append((theirs, ours, wrong, update))
        passes.clear()
        return loss

    monkeypatch.setattr(AdvantageTrainer, "_compute_loss", compute_loss)
    build_trainer(run, problem_sets(config)).train()
    assert len(compared) == 2
    return compared


def distance(theirs, ours):
    """Return the largest difference, relative to the largest gradient or 1."""
    scale = max(1.0, *(float(gradient.abs().max()) for gradient in ours))
    return max(float((one - other).abs().max()) for one, other in zip(theirs, ours, strict=True)) / scale


KEYS = {
    "delta": ["loss.delta=1.5"],
    "k3": ["loss.kl_coefficient=0.5", "loss.kl_estimator=k3"],
    "k3_weighted": ["loss.kl_coefficient=0.5"],
    "mask_truncated": ["loss=dapo", "loss.mask_truncated=true"],
    "top_entropy_quantile": ["loss.top_entropy_quantile=0.2"],
    "entropy_coefficient": ["loss.entropy_coefficient=0.3"],
    "entropy_in_passes": ["loss.entropy_coefficient=0.3", "hardware.per_device_batch_size=4"],
    "bnpo_in_passes": ["loss=bnpo", "hardware.per_device_batch_size=4"],
    "dapo_in_passes": ["loss=dapo", "hardware.per_device_batch_size=8"],
}
CASES = {name: [f"loss={name}"] for name in FORMULAS} | KEYS
# case → the loss that it is mistaken for
MISTAKEN = {
    "grpo": {"clip_low": 1.0, "clip_high": 100.0},  # no clip
    "gspo": {"name": "grpo", "clip_low": 0.2, "clip_high": 0.2},
    "cispo": {"name": "dapo", "clip_low": 0.2, "clip_high": 0.28},
    "sapo": {"tau_positive": 2.0, "tau_negative": 2.0},
    "vespo": {"k_positive": 3.0, "lambda_positive": 2.0, "k_negative": 2.0, "lambda_negative": 3.0},
    "delta": {"delta": None},
    # the mini-batch's own tokens as divisor, which the paper's formula reads like, in place of the step's
    "dapo": {"name": "bnpo"},
    "dapo_in_passes": {"name": "bnpo"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_that_of_our_own_formula(monkeypatch, tmp_path, case):
    """And in the second update no other formula's: on policy all of them are one policy gradient."""
    mistaken = MISTAKEN.get(case, {})
    (first, second) = gradients_of_step(monkeypatch, tmp_path, *CASES[case], mistaken=mistaken)
    for theirs, ours, *_ in (first, second):
        assert max(float(gradient.abs().max()) for gradient in ours) > 1e-3
        assert distance(theirs, ours) < TOLERANCE
    on_policy, off_policy = (update.ratio[update.mask == 1] for *_, update in (first, second))
    torch.testing.assert_close(on_policy, torch.ones_like(on_policy), rtol=0, atol=1e-4)
    assert (off_policy > 1.6).any()
    assert (off_policy < 0.6).any()
    if mistaken:
        theirs, _, wrong, _ = second
        assert distance(theirs, wrong) > 1e-3


def test_the_mask_leaves_truncated_completions_out_of_the_loss_and_in_the_records(small_run, tmp_path, monkeypatch):
    masks, original = [], AdvantageTrainer._compute_loss

    def compute_loss(self, model, inputs):
        masks.append((inputs["completion_mask"].sum(dim=1), inputs["completion_ids"], inputs["num_items_in_batch"]))
        return original(self, model, inputs)

    monkeypatch.setattr(AdvantageTrainer, "_compute_loss", compute_loss)
    short = [f"train.max_completion_length={MAX_LENGTH}", "train.num_steps=1", "train.validate_every=0"]
    frame = rollouts(small_run("loss.mask_truncated=true", *short, root=tmp_path))
    in_loss, ids, count = (torch.cat([one[i].reshape(-1, *one[i].shape[1:]) for one in masks]) for i in range(3))
    ended = (ids == 1).any(dim=1)  # nano's end token
    assert 0 < ended.sum() < len(ended)
    assert (in_loss[~ended] == 0).all()
    assert (in_loss[ended] > 0).all()
    assert (count == int(in_loss.sum())).all()  # what loss=dapo divides by
    assert frame["truncated"].sum() == int((~ended).sum())
    assert (frame.loc[frame["truncated"], "n_tokens"] == MAX_LENGTH).all()
    plain = rollouts(small_run(*short))
    pd.testing.assert_frame_equal(frame, plain)  # lengths, log-probs and advantages of all completions


def test_an_adaptive_bonus_resumes_where_it_was(small_run, tmp_path, monkeypatch):
    settings = ["loss.entropy_target=3", "loss.entropy_step=0.02", "train.num_steps=4"]
    whole = small_run(*settings)
    cut = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, *settings))
    original = AdvantageTrainer._generate

    def stop_at_four(self, prompts):
        if self._batch.step == 4:
            raise KeyboardInterrupt
        return original(self, prompts)

    monkeypatch.setattr(AdvantageTrainer, "_generate", stop_at_four)
    with pytest.raises(KeyboardInterrupt):
        execute(cut)
    monkeypatch.setattr(AdvantageTrainer, "_generate", original)
    execute(cut)
    weights = metrics(whole)["entropy_coefficient"]
    assert weights.is_monotonic_increasing
    assert weights.iloc[-1] == pytest.approx(0.02 * 8 - 0.01)  # mean of the last step's two updates
    pd.testing.assert_frame_equal(metrics(runs.read_run(cut)).drop(columns=TIMES), metrics(whole).drop(columns=TIMES))
