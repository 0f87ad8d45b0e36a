"""Estimators in stock TRL: the sampling policy's log-probs, the policy's tokens, and correctness of mixtures."""

import itertools
from dataclasses import dataclass

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from agrae_lab.advantages import Context, make
from agrae_lab.advantages.adapters.trl import AdvantageMixin, policy_mask, prompt_name, with_advantage
from agrae_lab.models.load import load_model
from agrae_lab.training.trainer import AdvantageTrainer

PROMPTS = [f"12{d}=1{d}:" for d in range(1, 9)]
TEMPERATURE = 0.7


def correct(completions, **unused):
    return [float(len(text) > 6) for text in completions]


def form(completions, **unused):
    return [0.5 * (len(text) % 3) for text in completions]


def shares(completions, **unused):
    return [(len(text) + 1) / 17 for text in completions]


def signed(completions, **unused):
    return [2.0 * (len(text) > 6) - 1 for text in completions]


def unsure(completions, **unused):
    return [None if i % 3 == 0 else float(len(text) > 6) for i, text in enumerate(completions)]


def trainer_of(folder, advantage, *, functions=(correct,), model=None, settings=None, classes=None, **arguments):
    """Return a trainer of stock TRL under an estimator; `kept` holds the loss inputs of its last batch."""
    nano, tokenizer = load_model("nano", dtype="float32")
    chosen = classes or {}

    class Keeping(with_advantage(GRPOTrainer, advantage, **chosen)):
        def _replace_advantages(self, batch):
            super()._replace_advantages(batch)
            self.kept, self.context = batch.loss_inputs, self._context(batch, self._correct(batch))

    defaults = {"max_steps": 1, "per_device_train_batch_size": 16, "num_generations": 4, "max_completion_length": 10}
    defaults |= {"temperature": TEMPERATURE, "use_cpu": True, "seed": 0, "report_to": "none", "disable_tqdm": True}
    return Keeping(
        model=nano if model is None else model,
        processing_class=tokenizer,
        reward_funcs=list(functions),
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]),
        args=GRPOConfig(str(folder), **(defaults | (settings or {}))),
        **arguments,
    )


@torch.no_grad()
def own_scores(model, batch):
    """Return log-probs and entropies of the sampled tokens from a forward pass of our own, [n, T] each."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    num_tokens = batch["completion_ids"].shape[1]
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, -num_tokens - 1 : -1] / TEMPERATURE
    log_probs = logits.log_softmax(dim=-1)
    own = log_probs.gather(2, batch["completion_ids"][..., None]).squeeze(2)
    return own, -(log_probs.exp() * log_probs).sum(dim=2)


def move_adapter(model, *, seed):
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_B.default" in name:
            parameter.data.normal_(std=0.2)


def quick_and_slow(quick, others):
    """Return the cases of a test; the others have no path of their own in the code and run by `make test-slow`."""
    return [*quick, *(pytest.param(*case, marks=pytest.mark.slow) for case in others)]


# is_trained_on: then the reference is an adapter too, named "ref"; steps_per_generation: TRL scores the sampled tokens
# itself with 2 alone
ADAPTERS = [(False, 1, 0.1), (True, 1, 0.1), (True, 2, 0.1), (False, 2, 0.0)]
OTHERS = [case for case in itertools.product((False, True), (1, 2), (0.0, 0.1)) if case not in ADAPTERS]


@pytest.mark.parametrize(("is_trained_on", "steps_per_generation", "beta"), quick_and_slow(ADAPTERS, OTHERS))
def test_an_adapters_scores_are_its_own(tmp_path, beta, steps_per_generation, is_trained_on):
    peft = pytest.importorskip("peft", reason="peft is not installed (extra: lora)")
    lora = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    given = {"peft_config": lora}
    if is_trained_on:
        model = peft.get_peft_model(load_model("nano", dtype="float32")[0], lora)
        move_adapter(model, seed=1)
        given = {"model": model}
    settings = {"beta": beta, "steps_per_generation": steps_per_generation}
    trainer = trainer_of(tmp_path, "entropy_advantage", settings=settings, **given)
    move_adapter(trainer.model, seed=2)
    seen = []

    class Looking(type(trainer)):
        def _replace_advantages(self, batch):
            super()._replace_advantages(batch)
            own = own_scores(self.model, batch.loss_inputs)
            seen.append((own, (batch.logprobs_nT, batch.entropies_nT), batch.loss_inputs))

    trainer.__class__ = Looking
    trainer.train()
    (own, scored, output), *_ = seen
    mask = output["completion_mask"].bool()
    for ours, theirs in zip(own, scored, strict=True):
        torch.testing.assert_close(theirs[mask], ours[mask], rtol=1e-4, atol=1e-5)
    if beta:  # and the reference is far away, so that the test can tell
        assert (output["ref_per_token_logps"] - own[0])[mask].abs().max() > 0.3


def tool_rollouts(tokenizer):
    """Return a rollout function: 4 tokens of the policy, 1 to 4 of an environment, and 2 of the policy again."""
    drawn = torch.Generator().manual_seed(0)

    def rollout(prompts, trainer):
        ids, masks = [], []
        for i in range(len(prompts)):
            num_foreign = 1 + i % 4
            ids.append([*torch.randint(2, 19, (5 + num_foreign,), generator=drawn).tolist(), 1])
            masks.append([1] * 4 + [0] * num_foreign + [1] * 2)
        return {
            "prompt_ids": [tokenizer(prompt)["input_ids"] for prompt in prompts],
            "completion_ids": ids,
            "logprobs": [[0.0] * len(one) for one in ids],
            "env_mask": masks,
        }

    return rollout


@pytest.mark.filterwarnings("ignore:.*rollout_func.*")
@pytest.mark.parametrize(
    "advantage",
    quick_and_slow(["entropy_advantage", "opo", "rl_zvp"], [("ds_grpo",), ("unlikeliness",), ("reinforce_pp",)]),
)
def test_tokens_of_an_environment_are_not_the_policys(tmp_path, advantage):
    _, tokenizer = load_model("nano", dtype="float32")
    trainer = trainer_of(
        tmp_path, advantage, rollout_func=tool_rollouts(tokenizer), settings={"max_completion_length": 12}
    )
    trainer.train()
    kept, context = trainer.kept, trainer.context
    mask = kept["completion_mask"] * kept["tool_mask"]
    assert torch.equal(policy_mask(kept), mask)
    assert (mask.sum(dim=1) == 6).all()
    assert (kept["completion_mask"].sum(dim=1) > 6).all()
    if context.lengths_PG is not None:
        assert (context.lengths_PG == 6).all()
    if context.mask_PGT is not None:
        assert torch.equal(context.mask_PGT.flatten(0, 1), mask)
    if kept["advantages"].ndim == 2:
        assert (kept["advantages"][mask == 0] == 0).all()
        logged = torch.tensor(list(trainer._logs["advantages"])[-16:])
        torch.testing.assert_close(logged, kept["advantages"].sum(dim=1) / 6)


@pytest.mark.filterwarnings("ignore:.*rollout_func.*")
def test_records_leave_tokens_of_an_environment_out(small_run, tmp_path, monkeypatch):
    """In the lab's own trainer: lengths, mean log-probabilities and entropies, and the KL of the update."""
    _, tokenizer = load_model("nano", dtype="float32")
    whole, kept = AdvantageTrainer.__init__, []
    original = AdvantageTrainer._measure

    def init(self, **arguments):
        whole(self, rollout_func=tool_rollouts(tokenizer), **arguments)

    def measure(self, batch):
        original(self, batch)
        kept.append((batch.loss_inputs, (batch.logprobs_nT, batch.entropies_nT), batch))

    monkeypatch.setattr(AdvantageTrainer, "__init__", init)
    monkeypatch.setattr(AdvantageTrainer, "_measure", measure)
    run = small_run("train.num_steps=1", "train.validate_every=0", root=tmp_path)
    (output, scored, batch), *_ = kept
    mask = (output["completion_mask"] * output["tool_mask"]).bool()
    assert (batch.num_tokens_N == 6).all()
    for means, values in zip((batch.mean_logprob_N, batch.mean_entropy_N), scored, strict=True):
        torch.testing.assert_close(means.float(), (values * mask).sum(dim=1) / 6)
    assert not batch.truncated_N.any()
    assert run.status == "done"


def test_a_function_of_a_mixture_marks_correct_completions(tmp_path):
    weights = {"reward_weights": [0.75, 0.25]}
    trainer = trainer_of(
        tmp_path, "a_grae", functions=(form, correct), classes={"correct": "correct"}, settings=weights
    )
    trainer.train()
    rewards = [torch.tensor(list(trainer._logs["rewards"][name])) for name in ("form", "correct")]
    total, is_correct = (0.75 * rewards[0] + 0.25 * rewards[1]).view(4, 4), rewards[1].view(4, 4)
    assert 0 < is_correct.mean() < 1
    expected = make("a_grae")(total, Context(correct_PG=is_correct))
    torch.testing.assert_close(trainer.kept["advantages"].view(4, 4), expected)
    with pytest.raises(ValueError, match=r"needs rewards in \[0, 1\]"):
        make("a_grae")(total * 3)


def test_the_function_that_marks_correct_completions_may_have_weight_0(tmp_path):
    """±1 say nothing of success to us, so a function beside them does, with the weight 0."""
    weights = {"reward_weights": [1.0, 0.0]}
    trainer = trainer_of(
        tmp_path, "hard_focused", functions=(signed, correct), classes={"correct": "correct"}, settings=weights
    )
    trainer.train()
    rewards = torch.tensor(list(trainer._logs["rewards"]["signed"])).view(4, 4)
    expected = make("hard_focused")(rewards, Context(correct_PG=rewards > 0))
    torch.testing.assert_close(trainer.kept["advantages"].view(4, 4), expected)


def test_a_completion_whose_correctness_is_not_known_is_left_out(tmp_path):
    trainer = trainer_of(tmp_path, "a_grae", functions=(form, unsure), classes={"correct": "unsure"})
    trainer.train()
    unknown = torch.tensor(list(trainer._logs["rewards"]["unsure"])).isnan()
    assert unknown.any()
    assert not unknown.all()
    assert (trainer.kept["advantages"][unknown] == 0).all()


UNSAID = [("a_grae", (correct, form)), ("a_grae", (signed,)), ("grpo_lead", (signed,))]
OTHERS_UNSAID = [
    (name, functions)
    for name in ("a_grae", "hard_focused", "w_reinforce", "psr", "max_rl", "grpo_lead")
    for functions in ((correct, form), (signed,))
    if (name, functions) not in UNSAID
]


@pytest.mark.parametrize(("advantage", "functions"), quick_and_slow(UNSAID, OTHERS_UNSAID))
def test_rewards_that_do_not_say_what_is_correct_are_refused_with_the_remedy(tmp_path, advantage, functions):
    trainer = trainer_of(tmp_path, advantage, functions=functions)
    with pytest.raises(ValueError, match=r'which completions are correct.*with_advantage\(\.\.\., correct="'):
        trainer.train()


@pytest.mark.parametrize("advantage", quick_and_slow(["grpo"], [("dr_grpo",), ("rloo",)]))
def test_an_estimator_that_needs_no_correctness_takes_any_rewards(tmp_path, advantage):
    trainer_of(tmp_path, advantage, functions=(correct, form, signed)).train()


def test_bad_names_of_what_is_correct(tmp_path):
    with pytest.raises(ValueError, match="unknown reward function 'corect'; did you mean correct"):
        trainer_of(tmp_path, "a_grae", classes={"correct": "corect"})
    with pytest.raises(ValueError, match="correct='correct' names several of the reward functions"):
        trainer_of(tmp_path, "a_grae", functions=(correct, correct), classes={"correct": "correct"})
    trainer = trainer_of(tmp_path, "a_grae", functions=(correct, form), classes={"correct": "form"})
    with pytest.raises(ValueError, match=r"'form' must give 1 to a correct completion, 0 to any other.*it gave 0\.5"):
        trainer.train()


def test_half_precision_rewards_are_computed_with_in_float32(tmp_path):
    trainer = trainer_of(tmp_path, "grpo", functions=(shares,))
    original = GRPOTrainer._calculate_rewards
    halves = []

    def narrow(self, *arguments):
        halves.append(original(self, *arguments).bfloat16())
        return halves[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GRPOTrainer, "_calculate_rewards", narrow)
        trainer.train()
    expected = make("grpo")(halves[-1].float().view(4, 4))
    assert torch.equal(trainer.kept["advantages"].view(4, 4), expected)


@dataclass(frozen=True)
class Centred:
    """A = r − mean(r)."""

    def __call__(self, rewards_PG, context):
        return rewards_PG - rewards_PG.mean(dim=1, keepdim=True)


def test_an_estimator_of_ones_own_in_one_line(tmp_path):
    trainer = trainer_of(tmp_path, "grpo", classes={"base": Centred()})
    trainer.train()
    rewards = torch.tensor(list(trainer._logs["rewards"]["correct"])).view(4, 4)
    torch.testing.assert_close(trainer.kept["advantages"].view(4, 4), Centred()(rewards, None))
    with pytest.raises(
        ValueError, match="alpha cannot change an estimator that is made already; give its name, 'a_grae'"
    ):
        with_advantage(GRPOTrainer, make("a_grae"), alpha=0.5)
    assert issubclass(with_advantage(GRPOTrainer, make("a_grae"), correct="x"), AdvantageMixin)


@pytest.mark.parametrize(
    ("advantage", "scale_rewards", "functions"),
    quick_and_slow(
        [
            ("grpo", "group", [shares]),
            ("grpo", "group", [unsure]),
            ("grpo", "group", [correct, form]),
            ("lite_ppo", "batch", [unsure]),
            ("dr_grpo", "none", [shares]),
        ],
        [("grpo", "group", [correct]), ("lite_ppo", "batch", [correct])],
    ),
)
def test_the_trl_flavor_is_stock_trl_bit_for_bit(tmp_path, advantage, scale_rewards, functions):
    """TRL's own advantages of the same step, before ours replace them, invalid completions included."""
    seen = []

    class Comparing(with_advantage(GRPOTrainer, advantage, flavor="trl")):
        def _replace_advantages(self, batch):
            stock = batch.loss_inputs["advantages"].clone()
            super()._replace_advantages(batch)
            seen.append((stock, batch.loss_inputs["advantages"]))

    settings = {"max_steps": 2, "num_generations": 8, "scale_rewards": scale_rewards}
    trainer = trainer_of(tmp_path, advantage, functions=functions, settings=settings)
    trainer.__class__ = Comparing
    trainer.train()
    assert len(seen) == 2
    for stock, ours in seen:
        assert stock.abs().sum() > 0
        assert torch.equal(stock, ours)


@pytest.mark.parametrize("name", ["prompt", "messages"])
def test_prompts_have_names_by_their_content(name):
    from PIL import Image

    def prompt(colour, text):
        if name == "prompt":
            return f"{text} {colour}"
        image = Image.new("RGB", (2, 2), colour)
        return [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": text}]}]

    names = [prompt_name(prompt(colour, text)) for colour in ("red", "blue") for text in ("a", "b")]
    assert len(set(names)) == 4
    assert names[0] == prompt_name(prompt("red", "a"))


def test_dcpo_keeps_a_record_of_every_prompt(tmp_path):
    """16 completions a batch are 4 of the 8 prompts: two batches see each once, four see each twice."""
    trainer = trainer_of(tmp_path, "dcpo", settings={"max_steps": 4})
    trainer.train()
    records = trainer.advantage_state["dcpo"]
    assert records.keys() == {prompt_name(prompt) for prompt in PROMPTS}
    assert [visits for visits, _, _ in records.values()] == [2] * 8
