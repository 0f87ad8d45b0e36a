"""Tables of `python -m analysis.simulation sequential`: the rule holds its level, and needs fewer seeds than others."""

import numpy as np
import pytest

from analysis.simulation import sequential
from analysis.simulation.__main__ import main


def test_the_fixed_design_is_the_t_test_of_its_seeds() -> None:
    fixed = sequential.designs((3, 12), 0.05)["fixed design"]
    assert fixed.looks == (12,)
    assert fixed.critical_K == pytest.approx([2.200985])  # t(0.975, 11 degrees of freedom), of tables


LOOKS = (3, 5, 8, 12, 16)


def check(*, num_experiments, slack):
    """Assert the levels of all laws and families, and the order of the designs' numbers of seeds."""
    rates = sequential.error_rates(LOOKS, 0.05, num_experiments=num_experiments)
    assert all(rates[law][0] <= 0.05 + slack for law in sequential.LAWS)
    assert all(rates[law][0] > 0.05 for law in sequential.STRONG_SKEW)  # docs/statistics.md says so
    assert rates["skewness 1 (gamma)"][1] > rates["skewness 1 (gamma)"][0]
    family = sequential.family_error(LOOKS, 0.05, num_experiments=num_experiments)
    assert all(rate <= 0.05 + slack for rate in family.values())
    for effect, (ours, _, sequence, fixed) in sequential.power(LOOKS, 0.05, num_experiments=num_experiments).items():
        assert ours[1] < fixed[1] == LOOKS[-1]
        if effect >= 1:
            assert ours[0] > 0.9
            assert ours[1] < sequence[1]
    for at_zero, _, at_it in sequential.equivalence(LOOKS, 0.05, num_experiments=num_experiments).values():
        assert at_it <= 0.025 + slack
        assert at_zero > 0.8


def test_the_rule_holds_its_level():
    check(num_experiments=3000, slack=0.008)


@pytest.mark.slow
def test_the_rule_holds_its_level_in_large():
    check(num_experiments=100_000, slack=0.001)


def test_the_command_prints_its_tables(capsys):
    assert main(["sequential", "looks=3,4,6", "experiments=200"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("looks at 3, 4, 6 seeds, alpha 0.05, 200 experiments a cell")
    assert printed.count("\n\n") == 4
    assert all(law in printed for law in (*sequential.LAWS, *sequential.STRONG_SKEW))


def test_differences_of_every_law_have_mean_0_and_standard_deviation_1():
    for number, law in enumerate({**sequential.LAWS, **sequential.STRONG_SKEW}.values()):
        draws = law(np.random.default_rng([1, number]), (400_000,))
        assert draws.mean() == pytest.approx(0, abs=0.01)
        assert draws.std() == pytest.approx(1, abs=0.04)  # the tails of the log-normal and of t are heavy


def test_power_counts_studies_that_find_the_effect_in_its_direction():
    design = sequential.Design((3, 4), np.array([2.0, 2.0]))
    differences_DS = np.array([[1, 2, 1, 1.0], [-1, -2, -1, 1], [-1, 1, 0, 0]])
    directions_D, num_seeds_D = design.rejections(differences_DS)
    assert directions_D.tolist() == [1, -1, 0]
    assert num_seeds_D.tolist() == [3, 3, 4]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["theory"], "there is no simulation 'theory'"),
        (["sequential", "loks=3"], "loks: no such setting"),
        (["sequential", "looks=2,3"], "looks must be increasing"),
        (["sequential", "alpha=2"], "alpha must lie"),
        (["sequential", "experiments=0"], "experiments must be 1 or more"),
        (["sequential", "looks=3,100,101", "alpha=0.01", "experiments=1"], "alpha = 0.01 for 4 comparisons leaves"),
    ],
)
def test_a_wrong_word_is_one_sentence(words, sentence, capsys):
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


def test_help_is_printed(capsys):
    assert main(["--help"]) == 0
    assert "sequential" in capsys.readouterr().out
