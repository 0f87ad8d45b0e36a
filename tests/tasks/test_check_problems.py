"""`python -m agrae_lab.tasks check`: gold answers that no answer could equal are named, at load and by the command."""

import json

import pytest

from agrae_lab.tasks import load_problems, load_task
from agrae_lab.tasks.__main__ import main
from agrae_lab.verify.golds import gold_fault, gold_faults

GOOD = ["7", r"\frac{1}{2}", "3e8", r"\text{even}", "2516_8", "(1, 2)", r"[0,\infty)", "x^2-1", "y = 2x+3", "5:30", "m"]
HEAVY = ["9^{9^{9^9}}", "1" * 501, "(" * 30, r"\binom{10^9}{500}"]
UNFIT = [r"\frac{1}{2", "5}", r"\,"]
UNREAD = [r"\frac{x}{", r"x \begin{foo} y"]


def write(path, answers):
    rows = [{"id": f"p{i}", "problem": "q", "answer": answer} for i, answer in enumerate(answers)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("gold", GOOD)
def test_usual_golds_have_no_fault(gold):
    assert gold_fault(gold) is None


@pytest.mark.parametrize("gold", [*HEAVY, *UNFIT])
def test_heavy_and_broken_golds_have_one(gold):
    assert gold_fault(gold)


def test_what_math_verify_cannot_read_or_end_is_found_by_the_command_alone():
    endless = r"x\binom{10^9+1}{500000000}"
    unread, heavy, good = gold_faults([UNREAD[1], endless, "x^2-1"])
    assert "cannot be parsed: only an answer with the same text" in unread
    assert "math-verify does not end on it" in heavy
    assert good is None
    assert gold_fault(UNREAD[1]) is None


def test_the_command_names_each_fault_and_says_how_many(tmp_path, capsys):
    assert main(["check", str(write(tmp_path / "good.jsonl", GOOD))]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/good.jsonl: 11 problems, no gold answers to mend\n"
    path = write(tmp_path / "bad.jsonl", ["7", HEAVY[0], UNFIT[0]])
    assert main(["check", str(path)]) == 1
    heavy, unfit, total = capsys.readouterr().out.splitlines()
    assert heavy.startswith(
        f"{path}, id p1: the answer '9^{{9^{{9^9}}}}' is too heavy to compare (a number of more than 20000 d"
    )
    assert unfit.startswith(f"{path}, id p2: the answer '\\\\frac{{1}}{{2' cannot stand in a box")
    assert total == f"{path}: 3 problems, 2 gold answers to mend"


def test_the_command_says_what_it_needs(tmp_path, capsys):
    for words in ([], ["check"], ["chek", "x.jsonl"]):
        with pytest.raises(SystemExit) as told:
            main(words)
        assert told.value.code == 2
        assert "usage: python -m agrae_lab.tasks" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "nowhere.jsonl")]) == 2
    assert "nowhere.jsonl does not exist" in capsys.readouterr().err


def test_a_load_refuses_what_can_never_be_right(tmp_path):
    path = write(tmp_path / "bad.jsonl", ["7", HEAVY[0]])
    with pytest.raises(
        ValueError, match=r"bad\.jsonl, id p1: the answer '9\^.*' is too heavy to compare .*leave the row"
    ):
        load_problems(load_task("math"), "train", file=path)
