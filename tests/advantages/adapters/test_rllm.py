"""Our estimators in rllm's signature, and in rllm itself where it is installed.

rllm is no dependency. Without it these tests hold the functions to its signature (rllm 0.3: rewards, a list of an array
a group, algorithm_config, traj_groups → advantages and returns, lists of arrays), with a stand-in for its registry.
"""

import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agrae_lab.advantages import Context, make, preset_names
from agrae_lab.advantages.adapters.rllm import advantage_function, register

SERVED = [name for name in preset_names() if make(name).requires <= {"lengths"}]


def groups_of(sizes, *, seed=0, role="solver", types_of=(SimpleNamespace,) * 3):
    """Return groups of trajectories, each of two steps, with their rewards and lengths [P, G] (NaN and 0 beyond)."""
    group_type, trajectory_type, step_type = types_of
    generator = np.random.default_rng(seed)
    groups = []
    rewards, lengths = torch.full((len(sizes), max(sizes)), torch.nan).double(), torch.zeros(len(sizes), max(sizes))
    for i, size in enumerate(sizes):
        trajectories = []
        for j in range(size):
            counts = generator.integers(1, 5, 2).tolist()
            steps = [step_type(response_ids=[0] * n, advantage=None) for n in counts]
            rewards[i, j], lengths[i, j] = float(generator.random() < 0.5), sum(counts)
            trajectories.append(trajectory_type(steps=steps, reward=rewards[i, j].item()))
        own = {"group_role": role} if group_type is SimpleNamespace else {}
        groups.append(group_type(group_id=f"task-{i}:{role}", trajectories=trajectories, **own))
    return groups, rewards, lengths


def arrays(groups):
    return [np.array([t.reward for t in group.trajectories]) for group in groups]


@pytest.mark.parametrize("sizes", [[8, 8, 8], [8, 5, 8, 2]])
@pytest.mark.parametrize("name", SERVED)
def test_groups_of_any_size_get_the_estimator_s_advantages(name, sizes):
    function, state = advantage_function(make(name)), {}
    for seed in range(3):  # a stateful estimator carries its state from batch to batch
        groups, rewards_PG, lengths_PG = groups_of(sizes, seed=seed)
        advantages, returns = function(rewards=arrays(groups), algorithm_config=None, traj_groups=groups)
        by_hand, state = make(name).step(rewards_PG, Context(lengths_PG=lengths_PG), state=state)
        assert [len(row) for row in advantages] == sizes
        for row, expected, size in zip(advantages, by_hand, sizes, strict=True):
            np.testing.assert_allclose(row, expected[:size].numpy(), rtol=1e-9)
        assert all(a is r for a, r in zip(advantages, returns, strict=True))


def test_each_role_has_a_state_of_its_own():
    function = advantage_function(make("rae"))
    solver, *_ = groups_of([4, 4], seed=1)
    judge, *_ = groups_of([4, 4], seed=2, role="judge")
    first, _ = function(arrays(judge), None, traj_groups=judge)
    function(arrays(solver), None, traj_groups=solver)
    function = advantage_function(make("rae"))
    function(arrays(solver), None, traj_groups=solver)
    after, _ = function(arrays(judge), None, traj_groups=judge)
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(after))


def test_no_groups_give_no_advantages():
    assert advantage_function(make("grpo"))([], None) == ([], [])


def test_what_rllm_does_not_hand_over_is_refused():
    for name in set(preset_names()) - set(SERVED):
        with pytest.raises(ValueError, match="which rllm does not hand to advantage functions"):
            advantage_function(make(name))


@pytest.fixture
def registry(monkeypatch):
    """rllm's registry: the real one where rllm is installed, else a stand-in."""
    try:
        import rllm.trainer.algorithms.advantage as advantage
    except ImportError:
        advantage = types.ModuleType("rllm.trainer.algorithms.advantage")
        advantage.RLLM_ADV_ESTIMATOR_REGISTRY = registry = {}
        advantage.register_rllm_adv_estimator = lambda name: lambda function: registry.setdefault(name, function)
        for name in ("rllm", "rllm.trainer", "rllm.trainer.algorithms"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, advantage.__name__, advantage)
    return advantage.RLLM_ADV_ESTIMATOR_REGISTRY


def test_register_enters_all_that_rllm_can_serve(registry):
    assert register() == [f"agrae/{name}" for name in SERVED]
    assert {f"agrae/{name}" for name in SERVED} <= set(registry)
    with pytest.raises(ValueError, match="unknown advantage 'rlo'"):
        register(["rlo"])


def test_in_rllm_itself():
    """Its own loop over roles and trajectories, with estimators named in its map; RLOO and PRPO equal its own."""
    algorithms = pytest.importorskip("rllm.trainer.algorithms", reason="rllm is not installed: it is no dependency")
    from rllm.types import Step, Trajectory, TrajectoryGroup

    register(["a_grae", "rloo", "prpo"], flavor="official")

    def advantages_under(estimator):
        groups, rewards_PG, _ = groups_of([8, 8, 4], types_of=(TrajectoryGroup, Trajectory, Step))
        config = algorithms.AlgorithmConfig(estimator_map={"solver": estimator})
        algorithms.collect_reward_and_advantage_from_trajectory_groups(groups, config)
        found = [[step.advantage for t in group.trajectories for step in t.steps[:1]] for group in groups]
        return found, rewards_PG

    found, rewards_PG = advantages_under("agrae/a_grae")
    for row, expected in zip(found, make("a_grae", flavor="official")(rewards_PG), strict=True):
        assert row == pytest.approx(expected[: len(row)].tolist())
    for name in ("rloo", "prpo"):
        ours, theirs = (advantages_under(one)[0] for one in (f"agrae/{name}", algorithms.rLLMAdvantageEstimator(name)))
        for row, expected in zip(ours, theirs, strict=True):
            assert row == pytest.approx(expected)
