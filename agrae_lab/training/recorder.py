"""The rollout recorder: every completion of every generation batch, and a row of metrics per step.

Legend: P prompts of a generation batch, G completions of each, N = P·G, in the order group by group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch import Tensor

from agrae_lab.advantages import diagnose
from agrae_lab.runs import SCHEMA_VERSION, read_run, replacing, update_meta
from agrae_lab.tasks import Verdict


@dataclass(frozen=True)
class GenerationBatch:
    """One step's rollouts, gathered from all processes. Tensors are on the CPU."""

    step: int
    prompt_ids: Sequence[str]  # [N]
    completions: Sequence[str]  # [N]
    verdicts: Sequence[Verdict]  # [N]
    is_shaped: bool  # whether rewards are more than accuracy
    rewards_PG: Tensor
    advantages_PG: Tensor
    grpo_PG: Tensor
    num_tokens_N: Tensor
    truncated_N: Tensor
    mean_logprob_N: Tensor
    mean_entropy_N: Tensor

    @property
    def num_generations(self) -> int:
        return self.rewards_PG.shape[1]


def rollout_table(batch: GenerationBatch) -> pa.Table:
    """One row per completion."""
    n, g = len(batch.completions), batch.num_generations
    part_names = sorted({name for v in batch.verdicts for name in v.components})
    parts = {f"reward_{name}": [v.components.get(name) for v in batch.verdicts] for name in part_names}
    return pa.table(
        {
            "schema_version": [SCHEMA_VERSION] * n,
            "step": [batch.step] * n,
            "prompt_id": list(batch.prompt_ids),
            "group": [i // g for i in range(n)],
            "sample": [i % g for i in range(n)],
            "completion": list(batch.completions),
            "n_tokens": batch.num_tokens_N.tolist(),
            "truncated": batch.truncated_N.tolist(),
            "reward": pa.array(batch.rewards_PG.flatten().double().tolist(), from_pandas=True),
            **parts,
            "correct": [v.correct for v in batch.verdicts],
            "valid": [v.valid for v in batch.verdicts],
            "rule": pa.array([v.rule for v in batch.verdicts], pa.string()),
            "advantage": batch.advantages_PG.flatten().double().tolist(),
            "advantage_grpo": batch.grpo_PG.flatten().double().tolist(),
            "mean_logprob": batch.mean_logprob_N.double().tolist(),
            "mean_entropy": batch.mean_entropy_N.double().tolist(),
        }
    )


def step_metrics(batch: GenerationBatch) -> dict[str, Any]:
    """What the rollouts of a step say, as one row.

    entropy: nats; mean over all sampled tokens of the full-softmax entropy of the policy that sampled them, at the
    sampling temperature. omega: mean accuracy of the decided completions (ω); NaN if there is none. mean_reward: theirs
    too, where rewards are shaped, and so another number. fully_solved and fully_unsolved: prompts with a decided
    completion, all of whose decided completions are correct, or none. p_histogram[k]: prompts with k of G completions
    correct.
    """
    n, g = len(batch.completions), batch.num_generations
    groups = [batch.verdicts[i : i + g] for i in range(0, n, g)]
    solved_P = [sum(v.correct for v in group) for group in groups]
    decided_P = [sum(v.valid for v in group) for group in groups]
    correct, undecided = sum(solved_P), n - sum(decided_P)
    tokens = batch.num_tokens_N.sum()
    accuracy_N = batch.rewards_PG.new_tensor([float(v.correct) if v.valid else math.nan for v in batch.verdicts])
    return {
        "step": batch.step,
        "num_prompts": n // g,
        "num_completions": n,
        "correct_count": correct,
        "incorrect_count": n - correct - undecided,
        "undecided_count": undecided,
        "fully_solved": sum(0 < k == d for k, d in zip(solved_P, decided_P, strict=True)),
        "fully_unsolved": sum(k == 0 < d for k, d in zip(solved_P, decided_P, strict=True)),
        "solved_at_least_once": sum(k > 0 for k in solved_P),
        "p_histogram": [sum(k == solved for solved in solved_P) for k in range(g + 1)],
        "omega": float(accuracy_N.nanmean()),
        **({"mean_reward": float(batch.rewards_PG.nanmean())} if batch.is_shaped else {}),
        "entropy": float((batch.mean_entropy_N * batch.num_tokens_N).sum() / tokens),
        **asdict(diagnose(batch.advantages_PG, batch.grpo_PG)),
        "mean_length": float(batch.num_tokens_N.float().mean()),
        "max_length": float(batch.num_tokens_N.max()),
        "truncated_share": float(batch.truncated_N.float().mean()),
        "num_tokens": int(tokens),  # of this step; the recorder adds them up
    }


class Recorder:
    """Writes `rollouts/step-*.parquet` and `metrics.parquet` of one run directory, from the main process only."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._rollouts = run_dir / "rollouts"
        self._metrics = run_dir / "metrics.parquet"
        self._rollouts.mkdir(parents=True, exist_ok=True)
        self._table: pa.Table | None = None  # metrics.parquet as it stands

    def resume_after(self, step: int) -> None:
        """Keep what was recorded up to `step`; later records belong to work that was lost and is done again."""
        if self._metrics.is_file():
            recorded = pq.read_table(self._metrics)
            self._table = recorded.filter(pc.field("step") <= step)
        for path in self._rollouts.glob("step-*.parquet"):
            if int(path.stem.removeprefix("step-")) > step:
                path.unlink()
        self._write_metrics()

    def record_rollouts(self, batch: GenerationBatch) -> None:
        path = self._rollouts / f"step-{batch.step:06d}.parquet"
        with replacing(path) as temporary:
            pq.write_table(rollout_table(batch), temporary, write_page_checksum=True)

    def record_warning(self, text: str) -> None:
        """Add to the warnings in meta.json, once."""
        warnings = read_run(self._run_dir).meta.get("warnings", [])
        if text not in warnings:
            update_meta(self._run_dir, warnings=[*warnings, text])

    def record_metrics(self, row: dict[str, Any]) -> dict[str, Any]:
        """Append one step's row; returns it as written, `num_tokens` counted from the start of the run."""
        before = self._table["num_tokens"][-1].as_py() if self._table else 0
        row = {"schema_version": SCHEMA_VERSION, **row, "num_tokens": before + row["num_tokens"]}
        last = pa.Table.from_pylist([row])
        # permissive: a value that no row has had yet is of type null
        tables = [self._table, last] if self._table else [last]
        self._table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        self._write_metrics()
        return row

    def _write_metrics(self) -> None:
        if self._table:
            with replacing(self._metrics) as temporary:
                pq.write_table(self._table, temporary, write_page_checksum=True)
        else:
            self._metrics.unlink(missing_ok=True)
