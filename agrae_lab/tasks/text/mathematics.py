"""Tasks of mathematics: MATH, GSM8K, AMC, AIME, Minerva, OlympiadBench, or any file with `problem` and `answer`.

The tasks differ in their problems alone (problems.py). Prompt template and verifier are settings of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agrae_lab.tasks.base import Problem, Verdict
from agrae_lab.tasks.problems import COLUMNS
from agrae_lab.tasks.prompts import CHAT, TEMPLATES, make_prompt, opens_thought
from agrae_lab.verify import Judgement, judge, judge_officially

VERIFIERS = ("math_verify", "official")


@dataclass
class MathTask:
    """A task of problems.SPLITS with a prompt template and a verifier.

    verifier: `math_verify` compares values; `official` is the authors' text comparison with their target.

    Raises:
        ValueError: the template or verifier is unknown.
    """

    name: str
    prompt_template: str = CHAT
    verifier: str = "math_verify"
    columns: tuple[str, ...] = field(default=COLUMNS, init=False)
    components: tuple[str, ...] = field(
        default=("accuracy", "format"), init=False
    )  # the default reward is accuracy alone

    def __post_init__(self) -> None:
        for key, choices in (("prompt_template", tuple(TEMPLATES)), ("verifier", VERIFIERS)):
            if (value := getattr(self, key)) not in choices:
                raise ValueError(f"task.{key} must be one of {', '.join(choices)}, got {value!r}")

    def prompt(self, problem: Problem) -> str | list[dict[str, str]]:
        return make_prompt(self.prompt_template, problem["problem"])

    def verify(self, completion: str, problem: Problem) -> Verdict:
        return self.verify_all([completion], [problem])[0]

    def verify_all(self, completions: Sequence[str], problems: Sequence[Problem]) -> list[Verdict]:
        """Judge a batch; math-verify runs in parallel processes."""
        if self.verifier == "official":
            targets = [problem.get("target", problem["answer"]) for problem in problems]
            return [_verdict(judge_officially(c, t)) for c, t in zip(completions, targets, strict=True)]
        golds, questions = ([problem[column] for problem in problems] for column in ("answer", "problem"))
        thinking = opens_thought(self.prompt_template)
        return [_verdict(j) for j in judge(completions, golds, questions=questions, thinking=thinking)]


def _verdict(judgement: Judgement) -> Verdict:
    if not judgement.valid:
        return Verdict.invalid(judgement.rule)
    correct = judgement.outcome == "correct"
    components = {"accuracy": float(correct), "format": float(judgement.boxed)}
    return Verdict(correct, float(correct), components=components, answer=judgement.answer, rule=judgement.rule)
