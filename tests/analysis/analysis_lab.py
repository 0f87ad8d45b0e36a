"""Run directories as the contract lays them out, with realistic numbers, written in well under a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from agrae_lab.runs import SCHEMA_VERSION, Experiment, Run, read_run, run_dir_for, update_meta

BENCHMARK = "countdown_test"
NONE = {"name": "none"}
GRPO_BASE = {"name": "grpo", "ddof": 0, "epsilon": 0.0}
HOSTILE = ['a "quoted", \n line', "$\\frac{1}{2}$ | <b>", "\u202e\x00 {x} %s", "=cmd()", "𝔘nicode 🧮"]

# sample link, group link, entropy and share correct at start, middle, end, shift and spread of the problems' logits
ARMS: dict[str, tuple[dict, dict, tuple, tuple, float, float]] = {
    "grpo": (NONE, NONE, (1.2, 0.5, 0.25), (0.2, 0.42, 0.5), 1.6, 1.5),
    "positive_dominant": (NONE, {"name": "scale_positive", "beta": 10.0}, (1.2, 0.2, 0.1), (0.2, 0.45, 0.47), 1.8, 2.0),
    "negative_dominant": (NONE, {"name": "scale_positive", "beta": 0.1}, (1.2, 1.3, 1.5), (0.2, 0.3, 0.38), 1.0, 1.05),
    "hard_focused": ({"name": "hard_focused", "gamma": 0.5}, NONE, (1.2, 0.7, 0.4), (0.2, 0.38, 0.56), 1.6, 1.3),
    "easy_focused": (
        {"name": "easy_focused", "gamma": 0.5, "easy_form": "sqrt_of_failure"},
        NONE,
        (1.2, 0.4, 0.2),
        (0.2, 0.5, 0.48),
        1.5,
        1.6,
    ),
    "a_grae": (
        {"name": "dynamic", "easy_form": "sqrt_of_failure"},
        {"name": "attenuate", "alpha": 1.0},
        (1.2, 0.75, 0.74),
        (0.2, 0.45, 0.6),
        1.8,
        1.2,
    ),
}
EXPERIMENTS = {
    "group_symmetry": ("grpo", "positive_dominant", "negative_dominant"),
    "sample_symmetry": ("grpo", "hard_focused", "easy_focused"),
    "a_grae": ("grpo", "a_grae"),
}


def rng_for(*key: object) -> np.random.Generator:
    return np.random.default_rng([*map(ord, repr(key))])


def samples_frame(correct_P: np.ndarray, num_samples: int, *, ids: list[str] | None = None) -> pd.DataFrame:
    """samples.parquet with `correct_P[i]` correct samples of problem i, shuffled, and one greedy row each."""
    num_problems = len(correct_P)
    ids = ids or [f"problem-{i:03d}" for i in range(num_problems)]
    correct = np.arange(num_samples)[None, :] < np.asarray(correct_P)[:, None]
    sampled = pd.DataFrame(
        {
            "problem_id": np.repeat(ids, num_samples),
            "decoding": "sample",
            "sample": np.tile(np.arange(num_samples), num_problems),
            "correct": correct.ravel(),
            "mean_entropy": np.nan,
        }
    )
    greedy = pd.DataFrame(
        {"problem_id": ids, "decoding": "greedy", "sample": -1, "correct": correct[:, 0], "mean_entropy": 0.3}
    )
    frame = pd.concat([sampled, greedy], ignore_index=True)
    frame["completion"] = [HOSTILE[i % len(HOSTILE)] for i in range(len(frame))]
    constants = {"schema_version": SCHEMA_VERSION, "benchmark": BENCHMARK, "valid": True, "n_tokens": 9}
    frame = frame.assign(**constants, truncated=False, temperature=0.6, top_p=0.95)
    return frame.sample(frac=1.0, random_state=0).reset_index(drop=True)


def correct_counts(arm: str, seed: int, *, num_problems: int, num_samples: int) -> np.ndarray:
    """Binomial counts; all models share the problems' difficulty."""
    difficulty_P = rng_for("difficulty").normal(-3.0, 1.8, num_problems)
    shift, spread = (0.0, 1.1) if arm == "base" else ARMS[arm][4:]
    own = rng_for(arm, seed)
    logit_P = difficulty_P * spread + shift + own.normal(0, 0.3, num_problems) + own.normal(0, 0.1)
    return own.binomial(num_samples, 1 / (1 + np.exp(-logit_P)))


def metrics_frame(arm: str, seed: int, *, num_steps: int, num_prompts: int, group_size: int) -> pd.DataFrame:
    rng = rng_for(arm, seed, "metrics")
    batch_noise_T = rng_for("batches", seed).normal(
        0, 0.02, num_steps
    )  # the prompts of a step are the same for all arms
    at = np.linspace(0, 1, num_steps)
    _, _, entropy, share, _, _ = ARMS[arm]
    share_T = np.interp(at, [0, 0.5, 1], share) + batch_noise_T + rng.normal(0, 0.015, num_steps)
    total = num_prompts * group_size
    correct_T = np.round(share_T * total).astype(int)
    unsolved_T = rng.binomial(num_prompts, (1 - share_T) ** 3)
    solved_T = rng.binomial(num_prompts - unsolved_T, share_T**3)
    greedy_T = np.where(np.arange(num_steps) % 6 == 0, share_T + 0.05, np.nan)
    entropy_T = np.interp(at, [0, 0.5, 1], entropy) + rng.normal(0, 0.02, num_steps)
    middle = rng.multinomial(num_prompts - unsolved_T - solved_T, np.full(group_size - 1, 1 / (group_size - 1)))
    histograms = list(np.column_stack([unsolved_T, middle, solved_T]))
    mass_T = group_size * (num_prompts - unsolved_T - solved_T) * 0.8
    positive = ARMS[arm][1].get("beta", 1.0)
    return pd.DataFrame(
        {
            "schema_version": SCHEMA_VERSION,
            "step": np.arange(1, num_steps + 1),
            "num_completions": total,
            "correct_count": correct_T,
            "incorrect_count": total - correct_T,
            "fully_solved": solved_T,
            "fully_unsolved": unsolved_T,
            "num_prompts": num_prompts,
            "omega": correct_T / total,
            "p_histogram": histograms,
            "adv_positive_mass": positive * mass_T / 2,
            "adv_negative_mass": mass_T / 2,
            "grpo_abs_sum": mass_T,
            "entropy": entropy_T,
            "greedy_accuracy": greedy_T,
            "greedy_entropy": np.where(np.isnan(greedy_T), np.nan, entropy_T / 2),
        }
    )


def rollouts_frame(arm: str, seed: int, step: int, *, num_prompts: int, group_size: int, share: float) -> pd.DataFrame:
    """Rewards of P groups and their advantages by the formulas of the paper (Eq. 3, 12, 13; Table 1)."""
    rng = rng_for(arm, seed, step)
    p_P1 = np.clip(rng.normal(share, 0.3, (num_prompts, 1)), 0, 1)
    rewards = (rng.random((num_prompts, group_size)) < p_P1).astype(float)
    p, omega = rewards.mean(axis=1, keepdims=True), rewards.mean()
    inside = (p > 0) & (p < 1)
    safe = np.where(inside, p, 0.5)
    grpo = np.where(inside, (rewards - p) / np.sqrt(safe * (1 - safe)), 0.0)
    sample, group = ARMS[arm][:2]
    weight = {
        "none": 1.0,
        "hard_focused": 0.5 / np.sqrt(safe),
        "easy_focused": 0.5 / np.sqrt(1 - safe),
        "dynamic": omega / 2 / np.sqrt(safe) + (1 - omega) / 2 / np.sqrt(1 - safe),
    }[sample["name"]]
    positive = {"none": 1.0, "scale_positive": group.get("beta", 1.0), "attenuate": min(1.0, omega)}[group["name"]]
    advantage = grpo * weight * np.where(grpo > 0, positive, 1.0)
    rows = num_prompts * group_size
    return pd.DataFrame(
        {
            "schema_version": SCHEMA_VERSION,
            "step": step,
            "prompt_id": np.repeat([f"train-{i}" for i in range(num_prompts)], group_size),
            "group": np.repeat(np.arange(num_prompts), group_size),
            "sample": np.tile(np.arange(group_size), num_prompts),
            "completion": [HOSTILE[i % len(HOSTILE)] for i in range(rows)],
            "reward": rewards.ravel(),
            "correct": rewards.ravel() > 0.5,
            "valid": True,
            "advantage": advantage.ravel(),
            "advantage_grpo": grpo.ravel(),
        }
    )


class Root:
    """A root of runs under construction."""

    def __init__(
        self,
        path: Path,
        *,
        num_problems: int = 40,
        num_samples: int = 64,
        num_steps: int = 36,
        all_rollouts: bool = False,
    ) -> None:
        self.path, self.all_rollouts = path, all_rollouts  # else of three steps: fewer files to write
        self.num_problems, self.num_samples, self.num_steps = num_problems, num_samples, num_steps
        self.num_prompts, self.group_size = 16, 8

    def config(self, arm: str, seed: int, /, **changes: Any) -> dict[str, Any]:
        sample, group = ARMS[arm][:2]
        return {
            "schema_version": SCHEMA_VERSION,
            "root": str(self.path),
            "arm": arm,
            "seed": seed,
            "world": "nano",
            "advantage": {
                "name": arm, "flavor": "paper", "base": GRPO_BASE, "sample": sample, "group": group, "match": NONE
            },
            "train": {"num_steps": self.num_steps, "num_prompts": self.num_prompts, "num_generations": self.group_size},
            "evaluation": {"num_samples": self.num_samples, "benchmarks": {BENCHMARK: {}}},
            **changes,
        }  # fmt: skip

    def run(self, arm: str, /, seed: int = 0, *, status: str = "done", steps: int | None = None, **changes: Any) -> Run:
        """Write one run; an unfinished one has no evaluation, and `steps` of its steps."""
        config = self.config(arm, seed, **changes)
        path = run_dir_for(config)
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        key = "base/0a1b2c3d/" + BENCHMARK + "/samples.parquet"
        update_meta(path, status=status, error=None, config_hash=path.parent.name[-8:], base_eval={BENCHMARK: key})
        sizes = {"num_prompts": self.num_prompts, "group_size": self.group_size}
        metrics = metrics_frame(arm, seed, num_steps=self.num_steps, **sizes).head(steps or self.num_steps)
        metrics.to_parquet(path / "metrics.parquet")
        (path / "rollouts").mkdir(exist_ok=True)
        for step in metrics["step"] if self.all_rollouts else (1, 2, 3):
            share = float(metrics["omega"].iloc[step - 1])
            frame = rollouts_frame(arm, seed, step, share=share, **sizes)
            frame.to_parquet(path / f"rollouts/step-{step:06d}.parquet")
        if status == "done":
            self.samples(arm, seed, path / f"eval/{BENCHMARK}-1234abcd/samples.parquet")
        if not (self.path / key).exists():
            self.samples("base", 0, self.path / key)
        return read_run(path)

    def samples(self, arm: str, seed: int, path: Path) -> None:
        if path.parent.parent.name == "eval" and "-" not in path.parent.name:  # where a benchmark has none yet
            path = path.parent.with_name(f"{path.parent.name}-1234abcd") / path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        counts = correct_counts(arm, seed, num_problems=self.num_problems, num_samples=self.num_samples)
        samples_frame(counts, self.num_samples).to_parquet(path)

    def experiment(self, name: str, runs: list[Run], question: str = "Which arm | explores?") -> None:
        Experiment(name, question, tuple(run.key for run in runs)).write(self.path)


def description(figure: Any, table: pd.DataFrame) -> str:
    """Return a figure's caption and details as one text."""
    details = figure.details(table) if hasattr(figure, "details") else ()
    return " ".join(filter(None, (figure.caption(table), *details)))
