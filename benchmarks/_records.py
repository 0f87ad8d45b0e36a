"""Synthetic run directories of the paper's size: `python -m benchmarks._records <folder>`.

The files have a real run's columns and row groups. Advantages are computed by the estimators; the correctness of
completions follows a model of the problems' difficulty and the arms' learning.

Legend: P problems or prompts, n samples of a problem, G completions of a prompt, N = P·G.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from agrae_lab.advantages import diagnose, make
from agrae_lab.runs import SCHEMA_VERSION, Experiment, Run, read_run, run_dir_for, update_meta

BENCHMARK = "math_test"
MODEL = "Qwen2.5-Math-7B"
BASE_EVALUATION = f"base/{BENCHMARK}-0a1b2c3d/samples.parquet"
INVALID = 2e-4  # share of completions

# arm → logit gained over the base model; entropy at the end, nats; how far the training sharpens what is known
ARMS = {
    "grpo": (1.5, 0.25, 1.5),
    "positive_dominant": (1.4, 0.08, 1.9),
    "negative_dominant": (1.0, 1.4, 1.05),
    "hard_focused": (1.4, 0.5, 1.3),
    "easy_focused": (1.5, 0.2, 1.7),
    "a_grae": (1.7, 0.7, 1.2),
    "a_grae_sample_only": (1.7, 0.35, 1.4),
    "a_grae_group_only": (1.4, 0.9, 1.15),
    "dr_grpo": (1.5, 0.3, 1.45),
    "w_reinforce": (1.2, 1.1, 1.1),
    "rloo": (1.5, 0.25, 1.5),
}
_WORDS = ("so", "we", "let", "x", "=", "\\frac{3}{4}", "then", "the", "sum", "of", "angles", "is", "\\boxed{12}", "+")
_FIRST_ENTROPY = 1.2  # nats


@dataclass(frozen=True)
class Sizes:
    """Sizes of the records. The base model is one of the evaluated arms; the first runs have rollouts."""

    arms: int = 1 + len(ARMS)
    problems: int = 5000
    samples: int = 256
    runs: int = 10
    steps: int = 140
    prompts: int = 1024
    generations: int = 8

    @property
    def evaluation_rows(self) -> int:
        return self.arms * self.problems * self.samples

    @property
    def training_rows(self) -> int:
        return self.runs * self.steps * self.prompts * self.generations


PAPER = Sizes()


def write_records(root: Path, sizes: Sizes) -> list[Run]:
    """Write a root of runs with one experiment, `paper_scale`; equal sizes give equal records."""
    evaluation = Evaluation(sizes)
    evaluation.write(root / BASE_EVALUATION, "base")
    runs = []
    for i, arm in enumerate(list(ARMS)[: sizes.arms - 1]):
        config = config_of(arm, root, sizes)
        path = run_dir_for(config)
        (path / "rollouts").mkdir(parents=True)
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        update_meta(path, status="done", error=None, base_eval={BENCHMARK: BASE_EVALUATION})
        write_training(path, arm, sizes, with_rollouts=i < sizes.runs)
        evaluation.write(path / "eval" / f"{BENCHMARK}-1234abcd" / "samples.parquet", arm)
        runs.append(read_run(path))
    question = "What does the analysis cost at the paper's size?"
    Experiment("paper_scale", question, tuple(run.key for run in runs)).write(root)
    return runs


def config_of(arm: str, root: Path, sizes: Sizes) -> dict[str, Any]:
    """Return the part of a resolved config that the analysis reads, with the paper's settings."""
    return {
        "schema_version": SCHEMA_VERSION,
        "root": str(root),
        "arm": arm,
        "seed": 0,
        "model": {"path": MODEL, "dtype": "bfloat16"},
        "task": {"name": "math", "train_file": None},
        "train": {
            "num_steps": sizes.steps,
            "num_prompts": sizes.prompts,
            "num_generations": sizes.generations,
            "learning_rate": 1e-6,
            "temperature": 1.0,
            "validate_every": 7,
        },
        "evaluation": {
            "num_samples": sizes.samples,
            "temperature": 0.6,
            "top_p": 0.95,
            "benchmarks": {BENCHMARK: {"task": "math", "file": None, "limit": None}},
        },
        "advantage": make(arm).settings(),
        "loss": {"name": "grpo", "clip_low": 0.2, "clip_high": 0.2, "kl_coefficient": 0.0},
    }


class Evaluation:
    """Writer of samples.parquet of one benchmark, with the same problems for all arms."""

    def __init__(self, sizes: Sizes) -> None:
        self._samples = sizes.samples
        self._problems = sizes.problems
        rng = _rng("problems")
        self._hardness_P = rng.normal(0.3, 2.6, sizes.problems)
        ids = pa.array([f"math-{i:05d}" for i in range(sizes.problems)])
        self._ids = ids.take(rng.permutation(sizes.problems))  # evaluated by the length of their prompts
        self._answers = pa.array([f"{value}" for value in rng.integers(-500, 500, sizes.problems * 8)])
        self._texts = _texts(rng)

    def write(self, path: Path, arm: str) -> None:
        rng = _rng("evaluation", arm)
        gain, _, sharpened = (0.0, 0.0, 1.0) if arm == "base" else ARMS[arm]
        logit_P = gain - self._hardness_P * sharpened + rng.normal(0, 0.4, self._problems)
        chance_P = 1 / (1 + np.exp(-logit_P))
        tables = [self._table(rng, chance_P, num_samples) for num_samples in (None, self._samples)]
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(tables), path, compression="zstd")

    def _table(self, rng: np.random.Generator, chance_P: np.ndarray, num_samples: int | None) -> pa.Table:
        """Return the sampled rows, problem by problem; the greedy ones if `num_samples` is None."""
        of_problem_N = np.repeat(np.arange(self._problems), num_samples or 1)
        n = len(of_problem_N)
        valid_N = rng.random(n) >= INVALID
        correct_N = (rng.random(n) < chance_P[of_problem_N]) & valid_N
        # the first of a problem's answers is right; wrong ones are not all alike
        answer_N = of_problem_N * 8 + np.where(correct_N, 0, np.minimum(rng.geometric(0.4, n), 7))
        truncated_N = ~correct_N & (rng.random(n) < 0.02)
        greedy = num_samples is None
        return pa.table(
            {
                **_constants(n, schema_version=SCHEMA_VERSION, benchmark=BENCHMARK),
                "problem_id": self._ids.take(of_problem_N),
                **_constants(n, decoding="greedy" if greedy else "sample"),
                "sample": np.full(n, -1) if num_samples is None else np.tile(np.arange(num_samples), self._problems),
                "completion": self._texts.take(rng.integers(len(self._texts), size=n)),
                "correct": correct_N,
                "valid": valid_N,
                "answer": self._answers.take(pa.array(answer_N, mask=truncated_N)),
                "n_tokens": np.where(truncated_N, 4096, rng.integers(80, 2000, n)),
                "truncated": truncated_N,
                "mean_entropy": rng.gamma(4, 0.1, n) if greedy else pa.nulls(n, pa.float64()),
                **_constants(n, temperature=0.0 if greedy else 0.6, top_p=1.0 if greedy else 0.95),
            }
        )


def write_training(path: Path, arm: str, sizes: Sizes, *, with_rollouts: bool) -> None:
    """Write metrics.parquet, and rollouts/ if requested."""
    estimator, grpo, texts = make(arm), make("grpo"), _texts(_rng("training"))
    gain, entropy, _ = ARMS[arm]
    rows = []
    for step in range(1, sizes.steps + 1):
        done = step / sizes.steps
        prompts_P = _rng("prompts", step).integers(7500, size=sizes.prompts)  # the same for all arms
        hardness_P = np.random.default_rng(0).normal(0.3, 2.6, 7500)[prompts_P]
        rng = _rng(arm, step)
        chance_P1 = 1 / (1 + np.exp(hardness_P - gain * np.sqrt(done)))[:, None]
        valid_PG = rng.random((sizes.prompts, sizes.generations)) >= INVALID
        correct_PG = (rng.random(valid_PG.shape) < chance_P1) & valid_PG
        rewards_PG = torch.tensor(np.where(valid_PG, correct_PG.astype(np.float32), np.nan), dtype=torch.float32)
        advantages_PG, grpo_PG = estimator(rewards_PG), grpo(rewards_PG)
        mean_entropy = _FIRST_ENTROPY + (entropy - _FIRST_ENTROPY) * np.sqrt(done) + rng.normal(0, 0.02)
        metrics = {
            "step": step,
            **_tallies(correct_PG, valid_PG),
            "omega": float(rewards_PG.nanmean()),
            "entropy": mean_entropy,
            **vars(diagnose(advantages_PG, grpo_PG)),
            "mean_length": 700.0 + 300 * done,
            "num_tokens": step * 8_000_000,
        }
        rows.append(metrics | _other_metrics(rng, step, metrics["omega"], mean_entropy))
        if with_rollouts:
            advantages = {"advantage": advantages_PG, "advantage_grpo": grpo_PG}
            table = _rollouts(rng, step, prompts_P, correct_PG, valid_PG, advantages, texts)
            pq.write_table(table, path / f"rollouts/step-{step:06d}.parquet")
    pq.write_table(pa.Table.from_pylist(rows), path / "metrics.parquet")


def _tallies(correct_PG: np.ndarray, valid_PG: np.ndarray) -> dict[str, Any]:
    solved_P, valid_P = correct_PG.sum(axis=1), valid_PG.sum(axis=1)
    prompts, generations = correct_PG.shape
    correct, invalid = int(solved_P.sum()), int((~valid_PG).sum())
    return {
        "num_prompts": prompts,
        "num_completions": prompts * generations,
        "correct_count": correct,
        "incorrect_count": prompts * generations - correct - invalid,
        "undecided_count": invalid,
        "fully_solved": int(((solved_P == valid_P) & (solved_P > 0)).sum()),
        "fully_unsolved": int(((solved_P == 0) & (valid_P > 0)).sum()),
        "solved_at_least_once": int((solved_P > 0).sum()),
        "p_histogram": np.bincount(solved_P, minlength=generations + 1).tolist(),
    }


def _other_metrics(rng: np.random.Generator, step: int, omega: float, entropy: float) -> dict[str, Any]:
    validated = (step - 1) % 7 == 0
    return {
        "schema_version": SCHEMA_VERSION,
        "greedy_accuracy": min(omega + 0.05, 1.0) + rng.normal(0, 0.005) if validated else None,
        "greedy_entropy": entropy / 2 if validated else None,
        "max_length": 3072.0,
        "truncated_share": 0.02,
        "loss": rng.normal(0, 0.01),
        "grad_norm": rng.gamma(4, 0.05),
        "learning_rate": 1e-6,
        "epoch": step / 7,
    }


def _rollouts(
    rng: np.random.Generator,
    step: int,
    prompts_P: np.ndarray,
    correct_PG: np.ndarray,
    valid_PG: np.ndarray,
    advantages: dict[str, torch.Tensor],
    texts: pa.Array,
) -> pa.Table:
    n, generations = correct_PG.size, correct_PG.shape[1]
    reward_N = pa.array(correct_PG.ravel().astype(np.float64), mask=~valid_PG.ravel())
    ids = pa.array([f"math-train-{i:05d}" for i in prompts_P])
    truncated_N = ~correct_PG.ravel() & (rng.random(n) < 0.02)
    return pa.table(
        {
            **_constants(n, schema_version=SCHEMA_VERSION, step=step),
            "prompt_id": ids.take(np.repeat(np.arange(len(ids)), generations)),
            "group": np.repeat(np.arange(len(ids)), generations),
            "sample": np.tile(np.arange(generations), len(ids)),
            "completion": texts.take(rng.integers(len(texts), size=n)),
            "n_tokens": np.where(truncated_N, 3072, rng.integers(80, 2000, n)),
            "truncated": truncated_N,
            "reward": reward_N,
            "reward_accuracy": reward_N,
            "correct": correct_PG.ravel(),
            "valid": valid_PG.ravel(),
            **{name: values_PG.flatten().double().numpy() for name, values_PG in advantages.items()},
            "mean_logprob": -rng.gamma(4, 0.1, n),
            "mean_entropy": rng.gamma(4, 0.1, n),
        }
    )


def _constants(length: int, **values: Any) -> dict[str, pa.Array]:
    return {name: pa.repeat(value, length) for name, value in values.items()}


def _texts(rng: np.random.Generator) -> pa.Array:
    words = np.array(_WORDS, dtype=object)
    return pa.array([" ".join(words[rng.integers(len(words), size=rng.integers(5, 40))]) for _ in range(5000)])


def _rng(*key: object) -> np.random.Generator:
    return np.random.default_rng([*map(ord, repr(key))])


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit("give a new folder for the records: python -m benchmarks._records <folder>")
    write_records(Path(sys.argv[1]), PAPER)
