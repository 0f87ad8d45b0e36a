"""The table of cases: gold answers and completions of every kind, their sources, our verdict and math-verify's own.

cases.jsonl: kind, gold, completion, correct (our verdict), math_verify (that of plain math-verify), source, and where
they matter question and thinking.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from agrae_lab.verify import judge

PATH = Path(__file__).with_name("cases.jsonl")
CASES = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]

PLAIN = r"""
import json, logging, sys
logging.disable(logging.ERROR)
from math_verify import parse, verify
for line in open(sys.argv[1], encoding="utf-8"):
    case = json.loads(line)
    print(int(verify(parse(f"${case['gold']}$"), parse(case["completion"]))))
"""


def outcomes(cases):
    """Each case on its own: its question and its thought are its own."""
    return [
        judge(
            [case["completion"]],
            [case["gold"]],
            questions=[case["question"]] if "question" in case else None,
            thinking=case.get("thinking", False),
        )[0]
        for case in cases
    ]


def test_every_case_gets_its_verdict():
    judged = outcomes(CASES)
    assert all(judgement.rule for judgement in judged)
    wrong = [
        (case["kind"], case["gold"], case["completion"], judgement.outcome, judgement.rule)
        for case, judgement in zip(CASES, judged, strict=True)
        if judgement.outcome != ("correct" if case["correct"] else "incorrect")
    ]
    assert wrong == []


def test_the_table_is_large_enough_and_every_kind_has_right_and_wrong_cases():
    assert len(CASES) >= 150
    assert len({(c["gold"], c["completion"], c.get("question"), c.get("thinking")) for c in CASES}) == len(CASES)
    assert min(Counter(case["kind"] for case in CASES).values()) >= 5
    assert all(case["source"] for case in CASES)
    for kind in {case["kind"] for case in CASES}:
        assert {case["correct"] for case in CASES if case["kind"] == kind} == {True, False}, kind


@pytest.mark.parametrize("each", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_math_verifys_column_is_what_math_verify_says(each, tmp_path):
    cases = CASES[::each]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
    ran = subprocess.run(
        [sys.executable, "-c", PLAIN, str(tmp_path / "cases.jsonl")], capture_output=True, text=True, check=True
    )
    said = [line == "1" for line in ran.stdout.split()]
    assert said == [case["math_verify"] for case in cases]
