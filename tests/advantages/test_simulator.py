"""The behaviour-space simulator: its updates, what it records, what it refuses, and its command."""

import csv
import json
import math

import pytest
import torch

from agrae_lab.advantages import make, preset_names, theory
from agrae_lab.advantages.simulator import BehaviourSpace, behaviour_space, check_simulable, simulate
from agrae_lab.advantages.simulator.__main__ import main
from agrae_lab.advantages.simulator.dynamics import draw, steps
from agrae_lab.advantages.simulator.example import CORRECT, DRAWS, PROBABILITIES, gradient, logit_update_rows
from agrae_lab.advantages.simulator.space import generator_for

SMALL = {"num_prompts": 30, "num_trajectories": 12}


def small(dtype=torch.float64, seed=0):
    return behaviour_space(**SMALL, seed=seed, dtype=dtype)


def first_moments(name, count=3, space=None, **settings):
    settings = {"num_generations": 8, "learning_rate": 0.2, "seed": 0} | settings
    stream = steps(make(name), space or small(), **settings)
    return [next(stream) for _ in range(count)]


def of_mixed_groups(moment):
    p_P = moment.rewards_PG.mean(dim=1)
    return (p_P > 0) & (p_P < 1)


# Updates


@pytest.mark.parametrize("name", ["grpo", "positive_dominant", "negative_dominant", "a_grae", "w_reinforce"])
def test_every_update_is_the_gradient_of_the_objective(name):
    """The draws are taken again from the same stream; the gradient is automatic differentiation's."""
    generator = generator_for(0, "draws")
    for moment in first_moments(name):
        draws = draw(moment.logits_PN.softmax(1), num_generations=8, generator=generator)
        expected = 0.2 * gradient(moment.logits_PN, draws, moment.advantages_PG)
        torch.testing.assert_close(moment.next_logits_PN - moment.logits_PN, expected, rtol=1e-9, atol=1e-9)
        assert (moment.correct_PN.gather(1, draws) == (moment.rewards_PG == 1)).all()


@pytest.mark.parametrize(("name", "sign"), [("grpo", 0), ("negative_dominant", 1), ("positive_dominant", -1)])
def test_unsampled_logits_stay_rise_or_fall(name, sign):
    for moment in first_moments(name):
        change = (moment.next_logits_PN - moment.logits_PN)[of_mixed_groups(moment)]
        unsampled = change[~moment.sampled_PN[of_mixed_groups(moment)]]
        assert len(unsampled) > 20
        assert unsampled.abs().max() < 1e-12 if sign == 0 else (unsampled.sign() == sign).all()


def test_overconfident_wrong_trajectories_rise_exactly_where_the_condition_says():
    """Suppressed positives: among wrong trajectories drawn once or more, some rise, and the condition knows which."""
    space = behaviour_space(num_prompts=400, num_trajectories=12, overconfident_share=1.0, dtype=torch.float64)
    (moment,) = first_moments("negative_dominant", count=1, space=space)
    drawn_wrong_PN = moment.sampled_PN & ~moment.correct_PN & of_mixed_groups(moment)[:, None]
    change_PN = moment.next_logits_PN - moment.logits_PN
    policy_PN = moment.logits_PN.softmax(1)
    total_P1 = moment.advantages_PG.sum(dim=1, keepdim=True)
    summed_PN = change_PN / 0.2 + total_P1 * policy_PN  # A_i, the sum over the draws of i
    condition_PN = theory.wrong_trajectory_rises(policy_PN, advantage=summed_PN, advantage_sum=total_P1)
    assert ((change_PN > 0) == condition_PN)[drawn_wrong_PN].all()
    assert (condition_PN & drawn_wrong_PN).any()
    assert policy_PN[condition_PN & drawn_wrong_PN].min() > policy_PN[~condition_PN & drawn_wrong_PN].median()


def test_mean_logits_never_move():
    for moment in first_moments("positive_dominant"):
        torch.testing.assert_close(moment.next_logits_PN.mean(1), torch.zeros(30).double(), rtol=0, atol=1e-9)


def test_prompts_are_independent_under_a_group_local_estimator():
    """Another start for the other prompts changes nothing, and one batch of all is what each is alone."""
    space = small()
    other = BehaviourSpace(torch.cat([space.logits_PN[:1], -space.logits_PN[1:]]), space.correct_PN)
    a, b = (first_moments("hard_focused", space=s)[-1].next_logits_PN for s in (space, other))
    assert torch.equal(a[0], b[0])
    assert not torch.equal(a[1:], b[1:])


def test_draws_have_the_frequencies_of_the_policy():
    policy = torch.tensor([0.0, 0.5, 0.3, 0.0, 0.2, 0.0]).expand(5000, 6)
    draws = draw(policy, num_generations=8, generator=torch.Generator().manual_seed(0))
    frequency = draws.flatten().bincount(minlength=6) / draws.numel()
    assert (frequency[policy[0] == 0] == 0).all()
    error = (policy[0] * (1 - policy[0]) / draws.numel()).sqrt()
    assert ((frequency - policy[0]).abs() <= 4 * error).all()


# Randomness


def test_the_same_seed_gives_the_same_bits():
    a, b = (simulate(make("a_grae"), small(torch.float32), num_steps=20, seed=3) for _ in range(2))
    assert str(a.rows()) == str(b.rows())  # NaN is not equal to itself
    assert str(simulate(make("a_grae"), small(torch.float32), num_steps=20, seed=4).rows()) != str(a.rows())


def test_estimators_share_their_luck():
    """From the same start the first draws are the same, whatever the estimator."""
    grpo, other = (first_moments(name, count=1)[0] for name in ("grpo", "negative_dominant"))
    assert torch.equal(grpo.rewards_PG, other.rewards_PG)
    assert torch.equal(grpo.sampled_PN, other.sampled_PN)


def test_a_stateful_estimator_remembers_within_a_simulation_and_not_beyond_it():
    class Counting:
        name, requires, is_token_level, min_group_size = "counting", frozenset(), False, 1

        def step(self, rewards_PG, context=None, *, state=None):
            count = (state or {}).get("counting", 0) + 1
            return torch.full_like(rewards_PG, count), {"counting": count}

    for _ in range(2):
        records = simulate(Counting(), small(), num_generations=2, num_steps=4, record_every=1)
        assert (records.adv_sum_R / (30 * 2)).tolist() == [1, 2, 3, 4]


# Records


def test_what_is_recorded_by_hand():
    """Two prompts of three trajectories; the second has no correct one. Every number from the definitions."""
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64)
    correct = torch.tensor([[False, True, True], [False, False, False]])
    space = BehaviourSpace(probabilities.log(), correct)
    settings = {"num_generations": 2, "learning_rate": 0.5, "seed": 0}
    (row,) = simulate(make("psr"), space, num_steps=1, ks=(1, 3), **settings).rows()
    (moment,) = first_moments("psr", count=1, space=space, **settings)
    entropies = [-sum(p * math.log(p) for p in row) for row in probabilities.tolist()]
    assert row["step"] == 1
    assert row["pass_at_1"] == pytest.approx(0.5 / 2)
    assert row["pass_at_3"] == pytest.approx((1 - 0.5**3) / 2)
    assert row["entropy"] == pytest.approx(sum(entropies) / 2)
    assert row["effective_trajectories"] == pytest.approx(sum(map(math.exp, entropies)) / 2)
    assert row["top_wrong_prob"] == pytest.approx((0.5 + 0.8) / 2)
    num_correct = int(moment.rewards_PG[0].sum())
    assert row["omega"] == pytest.approx(num_correct / 4)
    assert row["adv_sum"] == row["adv_abs_sum"] == num_correct
    assert row["unsolved_share"] == (1 if num_correct == 0 else 0.5)
    left = [i for i in (1, 2) if not moment.sampled_PN[0, i]]
    assert left, "this seed leaves a correct trajectory out"
    before, after = moment.logits_PN[0], moment.next_logits_PN[0]
    for name in ("unsampled", "never_sampled"):
        assert row[f"{name}_correct_prob"] == pytest.approx(float(probabilities[0, left].sum()) / 2)
        change = (after.softmax(0) - before.softmax(0))[left].sum() / 2
        assert row[f"{name}_correct_prob_change"] == pytest.approx(float(change))
        assert row[f"{name}_correct_logit"] == pytest.approx(float(before[left].mean()))
        assert row[f"{name}_correct_logit_change"] == pytest.approx(float((after - before)[left].mean()))
    assert row["never_sampled_correct_share"] == pytest.approx(len(left) / 2)


def test_pass_at_k_is_the_share_of_samples_of_k_with_a_correct_one():
    """Against all N^k ordered samples of k, each with its probability."""
    space = small()
    records = simulate(make("grpo"), space, num_steps=1, ks=(1, 2, 3))
    policy, n = space.logits_PN.softmax(1), SMALL["num_trajectories"]
    for i, k in enumerate(records.ks):
        samples = torch.cartesian_prod(*[torch.arange(n)] * k).view(-1, k)
        weights = torch.stack([row[samples].prod(dim=1) for row in policy])
        solved = torch.stack([row[samples].any(dim=1) for row in space.correct_PN])
        torch.testing.assert_close(records.pass_at_k_RK[0, i], (weights * solved).sum(dim=1).mean())


def test_pass_at_k_at_the_ends():
    logits = torch.tensor([[40.0, -40.0], [-40.0, 40.0]])
    never, always = torch.tensor([[False, False]] * 2), torch.tensor([[True, True]] * 2)
    for mask, expected in ((never, 0.0), (always, 1.0)):
        records = simulate(make("grpo"), BehaviourSpace(logits, mask), num_steps=1)
        assert (records.pass_at_k_RK == expected).all()


def test_never_sampled_trajectories_only_become_fewer_and_nan_where_there_is_none():
    records = simulate(make("positive_dominant"), small(), num_steps=60, record_every=1)
    share = records.never_sampled_correct_share_R
    assert (share.diff() <= 0).all()
    assert share[0] > share[-1]
    all_correct = BehaviourSpace(torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool))
    records = simulate(make("grpo"), all_correct, num_generations=64, num_steps=1)
    assert records.never_sampled_correct_share_R[0] == 0
    assert records.never_sampled_correct_prob_R.isnan().all()
    assert records.unsampled_correct_logit_change_R.isnan().all()


def test_which_steps_are_recorded():
    assert simulate(make("grpo"), small(), num_steps=12, record_every=5).step_R.tolist() == [1, 6, 11, 12]
    assert simulate(make("grpo"), small(), num_steps=1, record_every=5).step_R.tolist() == [1]


def test_grpo_learns():
    rows = simulate(make("grpo"), small(), num_steps=300, learning_rate=0.1).rows()
    assert rows[-1]["pass_at_1"] > 0.8 > rows[0]["pass_at_1"]
    assert rows[-1]["entropy"] < rows[0]["entropy"]


# Every estimator


@pytest.mark.parametrize("name", preset_names())
def test_every_estimator_runs_or_is_refused(name):
    estimator = make(name)
    if estimator.requires or estimator.is_token_level:
        with pytest.raises(ValueError, match=f"advantage '{name}'"):
            simulate(estimator, small())
        return
    records = simulate(estimator, small(torch.float32), num_steps=5, record_every=1)
    assert records.entropy_R.dtype == torch.float32
    assert len(records.rows()) == 5
    missing = ("unsampled", "never_sampled")  # NaN is their word for "there is none"
    assert all(math.isfinite(v) for row in records.rows() for k, v in row.items() if not k.startswith(missing))


class Needy:
    name, is_token_level, min_group_size = "needy", False, 1
    requires = frozenset({"lengths", "entropies"})


class TokenLevel:
    name, is_token_level, min_group_size = "fine", True, 1
    requires = frozenset()


@pytest.mark.parametrize(
    ("estimator", "num_generations", "message"),
    [
        (Needy(), 8, "advantage 'needy' needs token entropies and completion lengths, which a simulated trajectory"),
        (TokenLevel(), 8, "advantage 'fine' gives every token its own advantage"),
        (make("grpo"), 1, "advantage 'grpo' needs num_generations of at least 2, got 1"),
        (make("psr"), 0, "advantage 'psr' needs num_generations of at least 1, got 0"),
    ],
)
def test_what_cannot_be_simulated_is_refused(estimator, num_generations, message):
    with pytest.raises(ValueError, match=message):
        check_simulable(estimator, num_generations=num_generations)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"record_every": 0}, "record_every must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0 and finite, got 0.0"),
        ({"learning_rate": math.inf}, "learning_rate must be above 0 and finite"),
        ({"ks": ()}, "at least one k"),
        ({"ks": (0, 1)}, r"every k at least 1, got \(0, 1\)"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        simulate(make("grpo"), small(), **settings)


# Behaviour spaces


def test_the_family_of_starts():
    space = behaviour_space(num_prompts=400, num_trajectories=20, overconfident_share=0.5, overconfidence=0.9)
    policy = space.logits_PN.softmax(1)
    counts = space.correct_PN.sum(dim=1)
    assert counts[0] == 1
    assert counts[-1] == 10
    assert (counts.diff() >= 0).all()
    top, where = policy.max(dim=1)
    head = (top - 0.9).abs() < 1e-5
    assert 0.4 < head.float().mean() < 0.6
    assert not space.correct_PN.gather(1, where[:, None])[head].any()
    torch.testing.assert_close(space.logits_PN.mean(dim=1), torch.zeros(400), rtol=0, atol=1e-5)
    again = behaviour_space(num_prompts=400, num_trajectories=20, overconfident_share=0.5, overconfidence=0.9)
    assert torch.equal(space.logits_PN, again.logits_PN)
    assert not torch.equal(space.logits_PN, behaviour_space(num_prompts=400, num_trajectories=20, seed=1).logits_PN)


def test_no_overconfident_heads_if_none_are_wanted():
    plain, heads = (behaviour_space(**SMALL, overconfident_share=share).logits_PN for share in (0.0, 0.5))
    changed = (plain - heads).abs().amax(dim=1) > 1e-6
    assert 0 < changed.sum() < 30
    assert torch.equal(plain[~changed], heads[~changed])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_prompts": 0}, "at least 1 prompt and 2 trajectories, got 0 and 64"),
        ({"num_trajectories": 1}, "got 1000 and 1"),
        ({"overconfident_share": 1.5}, r"share of prompts in \[0, 1\], got 1.5"),
        ({"overconfidence": 1.0}, "strictly between 0 and 1, got 1.0"),
    ],
)
def test_spaces_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        behaviour_space(**settings)


@pytest.mark.parametrize(
    ("logits", "correct", "message"),
    [
        (torch.zeros(3), torch.zeros(3, dtype=torch.bool), r"got shape \[3\]"),
        (torch.zeros(3, 1), torch.zeros(3, 1, dtype=torch.bool), r"N ≥ 2"),
        (torch.zeros(3, 2, dtype=torch.long), torch.zeros(3, 2, dtype=torch.bool), "finite and float32 or float64"),
        (torch.full((3, 2), math.nan), torch.zeros(3, 2, dtype=torch.bool), "finite and float32 or float64"),
        (torch.zeros(3, 2), torch.zeros(3, 3, dtype=torch.bool), r"the logits' shape \[3, 2\]"),
        (torch.zeros(3, 2), torch.zeros(3, 2), "must be bool"),
    ],
)
def test_a_space_that_does_not_fit_together_is_refused(logits, correct, message):
    with pytest.raises(ValueError, match=message):
        BehaviourSpace(logits, correct)


# The example and the command


def test_the_example_shows_every_case():
    rows = logit_update_rows([make("grpo"), make("negative_dominant")])
    assert len(rows) == 2 * len(PROBABILITIES)
    assert sum(PROBABILITIES) == pytest.approx(1.0)
    assert all(row["update"] == pytest.approx(row["update_closed_form"], abs=1e-12) for row in rows)
    symmetric, suppressed = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    assert {(row["num_draws"] > 0, row["correct"]) for row in rows} == {(a, b) for a in (0, 1) for b in (0, 1)}
    for a, b in zip(symmetric, suppressed, strict=True):
        if a["num_draws"] == 0:
            assert a["update"] == pytest.approx(0.0, abs=1e-12)
            assert b["update"] > 0
    assert suppressed[0]["update"] > 0 > symmetric[0]["update"]  # the over-confident wrong one, drawn twice
    assert DRAWS.count(0) == 2
    assert 0 not in CORRECT


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


FEW = ["num_prompts=20", "num_trajectories=8", "num_steps=6", "record_every=5"]


def test_the_command_writes_tables_that_belong_together(tmp_path, capsys):
    assert main(["negative_dominant", "grpo", f"out={tmp_path}", *FEW, "seed=2", "learning_rate=0.1"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "simulation.csv", "logit_updates.csv", "update_mass.csv", "simulation.json"
    }  # fmt: skip
    rows = read(tmp_path / "simulation.csv")
    assert [(row["estimator"], row["step"]) for row in rows] == [
        (name, step) for name in ("negative_dominant", "grpo") for step in ("1", "6")
    ]
    space = behaviour_space(num_prompts=20, num_trajectories=8, seed=2)
    records = simulate(make("grpo"), space, num_steps=6, record_every=5, seed=2, learning_rate=0.1)
    for written, row in zip(rows[2:], records.rows(), strict=True):
        assert written == {"estimator": "grpo", **{k: str(v) for k, v in row.items()}}
    about = json.loads((tmp_path / "simulation.json").read_text())
    assert about["seed"] == 2
    assert about["torch"] == torch.__version__
    assert about["estimators"]["grpo"] == make("grpo").settings()
    mass = read(tmp_path / "update_mass.csv")
    assert sum(int(row["groups"]) for row in mass if row["estimator"] == "grpo") == 20
    for row in mass:
        if row["estimator"] == "grpo":
            p = torch.tensor(float(row["p"]))
            assert float(row["abs_sum"]) == pytest.approx(float(theory.abs_sum_grpo(p, num_generations=8)), abs=1e-5)
    assert f"simulation={tmp_path}" in capsys.readouterr().out


def test_the_command_again_writes_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        main([f"out={tmp_path / folder}", *FEW])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    names = [row["estimator"] for row in read(tmp_path / "a/simulation.csv")]
    assert list(dict.fromkeys(names)) == ["grpo", "positive_dominant", "negative_dominant", "a_grae"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "out is missing"),
        (["grp", "out={}"], "unknown advantage 'grp'"),
        (["out={}", "steps=3"], "unknown setting steps; choose from out, seed, num_prompts"),
        (["out={}", "num_steps=many"], "num_steps must be a whole number, got 'many'"),
        (["out={}", "learning_rate=x"], "learning_rate must be a number, got 'x'"),
        (["out={}", "num_generations=1"], "advantage 'grpo' needs num_generations of at least 2"),
        (["out={}", "num_prompts=0"], "at least 1 prompt"),
    ],
)
def test_what_cannot_be_carried_out_is_one_sentence_and_writes_nothing(arguments, message, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([argument.format(out) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()
