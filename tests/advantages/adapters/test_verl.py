"""Our estimators in verl's signature, and in verl itself where it is installed.

verl is no dependency: it brings Ray and its own ranges of versions. Without it these tests hold the functions to its
documented signature (verl 0.9: token_level_rewards [N, T], response_mask [N, T], index np.ndarray [N], config,
→ advantages [N, T], returns [N, T]), with a stand-in for its registry.
"""

import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from agrae_lab.advantages import Context, links, make, preset_names
from agrae_lab.advantages.adapters.verl import advantage_function, register

P, G, T = 5, 8, 6


def verl_batch(seed=0):
    """Completions of P prompts in a scattered order; the reward stands at the last token, as verl puts it."""
    generator = torch.Generator().manual_seed(seed)
    lengths_N = torch.randint(1, T + 1, (P * G,), generator=generator)
    rewards_N = torch.bernoulli(torch.full((P * G,), 0.5), generator=generator)
    mask_NT = (torch.arange(T) < lengths_N[:, None]).long()
    rewards_NT = torch.zeros(P * G, T).scatter(1, lengths_N[:, None] - 1, rewards_N[:, None])
    prompts = [f"uid-{i % P}" for i in torch.randperm(P * G, generator=generator).tolist()]
    return {"token_level_rewards": rewards_NT, "response_mask": mask_NT, "index": np.array(prompts, dtype=object)}


def expected(estimator, batch, state=None):
    """Return the advantages [N, T] by hand, row after row, and the new state."""
    rows = [[i for i, p in enumerate(batch["index"]) if p == prompt] for prompt in dict.fromkeys(batch["index"])]
    rewards_PG = batch["token_level_rewards"].sum(1)[torch.tensor(rows)]
    lengths_PG = batch["response_mask"].sum(1)[torch.tensor(rows)]
    advantages_PG, state = estimator.step(rewards_PG, Context(lengths_PG=lengths_PG), state=state)
    result = torch.zeros(P * G, T)
    for prompt, group in enumerate(rows):
        for position, row in enumerate(group):
            result[row] = advantages_PG[prompt, position] * batch["response_mask"][row]
    return result, state


SERVED = [name for name in preset_names() if make(name).requires <= {"lengths"}]


@pytest.mark.parametrize("name", SERVED)
def test_batches_in_any_order_get_the_estimator_s_advantages(name):
    function, state = advantage_function(make(name)), {}
    for seed in range(3):  # a stateful estimator carries its state from batch to batch
        batch = verl_batch(seed)
        advantages, returns = function(**batch, config=None, reward_baselines=None)
        by_hand, state = expected(make(name), batch, state)
        torch.testing.assert_close(advantages, by_hand)
        assert torch.equal(advantages, returns)
        assert (advantages[batch["response_mask"] == 0] == 0).all()


def test_the_batch_is_left_as_it_was():
    batch = verl_batch()
    before = batch["token_level_rewards"].clone()
    advantage_function(make("a_grae"))(**batch)
    assert torch.equal(batch["token_level_rewards"], before)


def test_groups_of_different_sizes_are_refused():
    batch = verl_batch()
    batch["index"][0] = "another"
    with pytest.raises(ValueError, match="same number of completions, got from 1 to 8"):
        advantage_function(make("grpo"))(**batch)


def test_what_verl_does_not_hand_over_is_refused():
    estimators = [make(name) for name in preset_names()]
    estimators += [make("grpo", token=name) for name in links("token")]
    refused = [e for e in estimators if e.requires - {"lengths"}]
    for estimator in refused:
        with pytest.raises(ValueError, match="which verl does not hand to advantage functions"):
            advantage_function(estimator)


@pytest.fixture
def registry(monkeypatch):
    """verl's registry: the real one where verl is installed, else a stand-in with its rule of one function a name."""
    try:
        import verl.trainer.ppo.core_algos as core_algos
    except ImportError:
        core_algos = types.ModuleType("verl.trainer.ppo.core_algos")
        core_algos.ADV_ESTIMATOR_REGISTRY = {}
        core_algos.register_adv_est = lambda name: (
            lambda function: core_algos.ADV_ESTIMATOR_REGISTRY.setdefault(name, function)
        )
        for name in ("verl", "verl.trainer", "verl.trainer.ppo"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, core_algos.__name__, core_algos)
    return core_algos.ADV_ESTIMATOR_REGISTRY


def test_register_enters_all_that_verl_can_serve(registry):
    assert register() == [f"agrae/{name}" for name in SERVED]
    assert set(register()) <= set(registry)  # a second call is no error
    batch = verl_batch()
    torch.testing.assert_close(registry["agrae/a_grae"](**batch)[0], expected(make("a_grae"), batch)[0])


def test_register_takes_names_and_refuses_unknown_ones(registry):
    assert register(["rloo"], flavor="official") == ["agrae/rloo"]
    with pytest.raises(ValueError, match="unknown advantage 'rlo'"):
        register(["rlo"])


def test_verl_is_imported_only_to_register():
    code = "import sys, agrae_lab.advantages.adapters.verl; print('verl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_grpo_equals_verl_s_own():
    core_algos = pytest.importorskip("verl.trainer.ppo.core_algos", reason="verl is not installed: it is no dependency")
    register(["grpo", "rloo", "dr_grpo"], flavor="official")
    batch = verl_batch()
    for ours, theirs, settings in [("grpo", "grpo", {}), ("rloo", "rloo", {})]:
        own = core_algos.get_adv_estimator_fn(theirs)(**batch, **settings)[0]
        torch.testing.assert_close(core_algos.get_adv_estimator_fn(f"agrae/{ours}")(**batch)[0], own)
    dr_grpo = core_algos.compute_grpo_outcome_advantage(**batch, norm_adv_by_std_in_grpo=False)[0]
    torch.testing.assert_close(core_algos.get_adv_estimator_fn("agrae/dr_grpo")(**batch)[0], dr_grpo)
