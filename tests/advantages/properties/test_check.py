"""Tests of `python -m agrae_lab.advantages check`: faults of a user's link are found."""

import itertools

import pytest

from agrae_lab.advantages.__main__ import main

HEAD = """
import torch
from dataclasses import dataclass
from typing import ClassVar
from agrae_lab.advantages.statistics import centred, num_valid, std_of, success_rate

ALL = frozenset({"zero_on_ties", "zero_sum", "sign_preserving", "shift_invariant", "groups_independent"})

@dataclass(frozen=True)
class Mine:
    '''A = something   (nowhere).'''
"""
numbers = itertools.count()


@pytest.fixture
def check(tmp_path, capsys):
    """Return a function from a class body to the exit code and the output."""

    def run(body):
        path = tmp_path / f"estimator_{next(numbers)}.py"
        path.write_text(HEAD + "".join(f"    {line}\n" for line in body.strip().splitlines()))
        code = main(["check", f"{path}:Mine"])
        return code, "".join(capsys.readouterr())

    return run


def line_of(output, law):
    """Return the finding about a law with its details, blanks run together."""
    after = output.split(f" {law} ", 1)[1].split("\n")
    details = itertools.takewhile(lambda line: line.startswith("     "), after[1:])
    return " ".join(" ".join([after[0], *details]).split())


MAX_RL = """
LAWS: ClassVar = ALL - {MINUS}
epsilon: float = 1e-6
def __call__(self, rewards_PG, context):
    return centred(rewards_PG) / (success_rate(rewards_PG) + self.epsilon)
"""


def test_all_that_is_declared_holds(check):
    code, output = check(MAX_RL.replace("MINUS", "'shift_invariant'"))
    assert code == 0
    assert "FAULT" not in output
    assert "A = something (nowhere)" in line_of(output, "docstring")
    assert "as declared" in line_of(output, "zero_sum")
    assert "not declared, and rightly" in line_of(output, "shift_invariant")


def test_a_broken_law_is_shown_by_its_smallest_counter_example(check):
    # rewards 1/2 and 0, halved: 1/4 and 0, p = 1/8, A = ±1; plus 1/2: p = 5/8, A = ±1/5
    code, output = check(MAX_RL.replace("{MINUS}", "frozenset()"))
    assert code == 1
    assert output.rstrip().endswith("broken: shift_invariant")
    found = line_of(output, "shift_invariant")
    assert found.startswith("declared, but broken:")
    for piece in ("rewards [[0.5, 0]]", "advantages [[1, -1]]", "plus 1/2 [[1, 0.5]]", "plus 1/2 [[0.3333, -0.3333]]"):
        assert piece in found


def test_a_law_that_is_kept_but_not_declared_is_named(check):
    code, output = check(MAX_RL.replace("MINUS", "'shift_invariant', 'zero_sum'"))
    assert code == 0
    assert "not declared, yet kept on all" in line_of(output, "zero_sum")


def faults(output):
    return output.rstrip().rsplit("broken: ", 1)[1].split(", ")


@pytest.mark.parametrize(
    ("formula", "fault"),
    [
        ("centred(r) / std_of(centred(r), num_valid(r), ddof=0)", "finite"),  # 0 / 0 where all are equal
        ("centred(r).to(torch.float64)", "finite"),
        ("centred(r).sum(dim=1)", "finite"),
        ("r.sub_(1).nan_to_num()", "pure"),
        ("torch.rand_like(r)", "pure"),
        ("r.nan_to_num() - r.nan_to_num().mean(dim=1, keepdim=True)", "invalid_left_out"),
        ("torch.where(torch.arange(r.shape[1]) == 0, centred(r), 0)", "permutation_equivariant"),
        ("centred(r) + 1", "zero_on_ties"),
        ("centred(r).clamp(min=0)", "zero_sum"),
        ("-centred(r)", "sign_preserving"),
        ("centred(r) / r.nan_to_num().sum().clamp(min=1)", "groups_independent"),
    ],
)
def test_each_law_can_be_found_broken(check, formula, fault):
    code, output = check(f"LAWS: ClassVar = ALL\ndef __call__(self, r, context):\n    return {formula}")
    assert code == 1
    assert fault in faults(output)


def test_an_exception_counts_as_broken_and_is_shown(check):
    code, output = check("LAWS: ClassVar = ALL\ndef __call__(self, r, context):\n    return r @ r")
    assert code == 1
    assert "raises RuntimeError" in line_of(output, "finite")


def test_side_inputs_are_given_and_go_with_the_completions(check):
    code, output = check(
        """
LAWS: ClassVar = frozenset({"shift_invariant", "groups_independent"})
REQUIRES: ClassVar = frozenset({"lengths"})
def __call__(self, r, context):
    lengths = context.lengths_PG * ~r.isnan()
    return r - (lengths * r.nan_to_num()).sum(1, keepdim=True) / lengths.sum(1, keepdim=True).clamp(min=1)
"""
    )
    assert code == 0, output
    assert "not declared, and rightly" in line_of(output, "zero_sum")  # the lengths do differ


STATEFUL = """
LAWS: ClassVar = frozenset()
STATEFUL: ClassVar = True
def __call__(self, r, context, state):
    seen = state or []
    return centred(r) * (1 + len(seen)), RESULT
"""


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("[*seen, 1]", None),
        ("seen.append(1) or seen", "not changed in place"),
        ("[r]", "JSON"),
    ],
)
def test_state(check, result, words):
    code, output = check(STATEFUL.replace("RESULT", result))
    assert code == (1 if words else 0), output
    assert (words or "fits into JSON") in line_of(output, "state")


def test_a_stateful_link_takes_and_returns_its_state(check):
    code, output = check(STATEFUL.replace("context, state)", "context)").replace("state or []", "[]"))
    assert code == 1
    assert "must take its state last and return (advantages, new state)" in line_of(output, "state")


def test_a_link_of_another_slot_is_tried_on_grpo(check):
    body = (
        "SLOT: ClassVar = 'group'\nBREAKS: ClassVar = frozenset(BROKEN)\ndef __call__(self, advantages, r, context):\n"
    )
    double = body + "    return torch.where(advantages > 0, 2 * advantages, advantages)"
    code, output = check(double.replace("BROKEN", "{'zero_sum'}"))
    assert code == 0
    assert "group link 'mine', tried on grpo" in output
    assert check(double.replace("BROKEN", ""))[0] == 1
    code, output = check(double.replace("BROKEN", "{'zero_sum', 'shift_invariant'}"))
    assert "take it out of BREAKS" in line_of(output, "shift_invariant")


CALL = "def __call__(self, r, context):\n    return r\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (CALL + "LAWS: ClassVar = frozenset({'zero_summ'})", "did you mean zero_sum?"),
        (CALL + "LAWS: ClassVar = ['zero_sum']", "LAWS must be a frozenset"),
        (CALL + "REQUIRES: ClassVar = frozenset({'length'})\nLAWS: ClassVar = ALL", "did you mean lengths?"),
        (CALL + "SLOT: ClassVar = 'grup'", "did you mean group?"),
        (CALL + "beta: float", "cannot be made from the defaults of its fields"),
        ("def __call__(self, r, context):\n    return r", "declares no laws"),
    ],
)
def test_what_cannot_be_tried_gets_one_sentence(check, body, words):
    code, output = check(body)
    assert code == 2
    assert words in output
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek"], "did you mean check?"),
        (["check"], "check takes one class"),
        (["check", "no_such_module:Mine"], "there is no module no_such_module"),
        (["check", "agrae_lab.advantages.base.grpo:GRP"], "did you mean GRPO?"),
        (["page", "to=docs"], "page takes out=<directory>"),
        (["show"], "show takes names of estimators; choose from"),
        (["show", "a_gre"], "did you mean a_grae"),
    ],
)
def test_wrong_command_lines(capsys, arguments, words):
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_link_of_the_package_can_be_checked_too(capsys):
    assert main(["check", "agrae_lab.advantages.sample.dynamic:Dynamic"]) == 0
    assert "sample link 'dynamic', tried on grpo" in capsys.readouterr().out
