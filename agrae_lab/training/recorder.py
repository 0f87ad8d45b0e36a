"""Records of a run: every completion of every generation batch, and a row of metrics per step.

Legend: P prompts of a generation batch, G completions of each, N = P·G, in the order group by group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from agrae_lab.advantages import diagnose
from agrae_lab.runs import SCHEMA_VERSION, RunError, number_in, read_run, replacing, update_meta
from agrae_lab.training.batch import GenerationBatch
from agrae_lab.training.dynamic_sampling import Draw, completion_text, sampling_metrics

# Column of metrics.parquet → TRL's name for it.
_TRL_METRICS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "epoch": "epoch",
    "kl": "kl",
    "approx_kl": "approx_kl",
    "clip_low": "clip_ratio/low_mean",
    "clip_high": "clip_ratio/high_mean",
    "clip_region": "clip_ratio/region_mean",
}
# Distance of vLLM's token log-probs from the trainer's, nats.
_VLLM_METRICS = {
    "sampling_gap_mean": "sampling/sampling_logp_difference/mean",
    "sampling_gap_max": "sampling/sampling_logp_difference/max",
}


def rollout_table(batch: GenerationBatch) -> pa.Table:
    """Return one row per completion."""
    n, g = len(batch.completions_N), batch.rewards_PG.shape[1]
    component_names = sorted({name for v in batch.verdicts_N for name in v.components})
    components = {f"reward_{name}": [v.components.get(name) for v in batch.verdicts_N] for name in component_names}
    if batch.overlong is not None:
        pairs = zip(batch.verdicts_N, batch.num_tokens_N.tolist(), strict=True)
        components["reward_overlong"] = [batch.overlong_penalty(verdict, num_tokens) for verdict, num_tokens in pairs]
    return pa.table(
        {
            "schema_version": [SCHEMA_VERSION] * n,
            "step": [batch.step] * n,
            "prompt_id": batch.problem_ids_N,
            "group": [i // g for i in range(n)],
            "sample": [i % g for i in range(n)],
            "completion": batch.completions_N,
            "n_tokens": batch.num_tokens_N.tolist(),
            "truncated": batch.truncated_N.tolist(),
            "reward": pa.array(batch.rewards_PG.flatten().double().tolist(), from_pandas=True),
            **components,
            "correct": [v.correct for v in batch.verdicts_N],
            "valid": [v.valid for v in batch.verdicts_N],
            "rule": pa.array([v.rule for v in batch.verdicts_N], pa.string()),
            "advantage": batch.advantages_PG.flatten().double().tolist(),
            "advantage_grpo": batch.grpo_PG.flatten().double().tolist(),
            "mean_logprob": batch.mean_logprob_N.double().tolist(),
            "mean_entropy": batch.mean_entropy_N.double().tolist(),
        }
    )


def dropped_table(batch: GenerationBatch) -> pa.Table:
    """Return one row per completion that dynamic sampling has dropped; `reason` is that of its group."""
    rows = [
        {
            "schema_version": SCHEMA_VERSION,
            "step": batch.step,
            "round": group.round_number,
            "reason": group.reason,
            "prompt_id": draw.problem_id,
            "group": i,
            "sample": j,
            "completion": completion_text(draw.completion),
            "n_tokens": len(draw.completion_ids),
            "reward": batch.reward(draw.verdict, len(draw.completion_ids)),
            **_overlong_cell(batch, draw),
            "correct": draw.verdict.correct,
            "valid": draw.verdict.valid,
            "rule": draw.verdict.rule,
        }
        for i, group in enumerate(batch.sampled.dropped if batch.sampled else ())
        for j, draw in enumerate(group.draws)
    ]
    return pa.Table.from_pylist(rows)


def _overlong_cell(batch: GenerationBatch, draw: Draw) -> dict[str, float | None]:
    """Return the column of the soft overlong penalty, in runs that have it."""
    return {"reward_overlong": batch.overlong_penalty(draw.verdict, len(draw.completion_ids))} if batch.overlong else {}


def step_metrics(batch: GenerationBatch, *, has_other_reward: bool) -> dict[str, Any]:
    """Return the numbers of a step's rollouts.

    entropy: nats; mean over all tokens trained on of the full-softmax entropy of the policy that sampled them, at the
    sampling temperature. omega: mean accuracy of the valid completions (ω); NaN if there is none. mean_reward: mean
    reward of the valid completions, where rewards differ from accuracy. mean_overlong: mean soft
    overlong penalty of the valid completions, without its weight, in runs that have it. fully_solved and
    fully_unsolved: prompts with a valid completion whose valid completions are all correct, or all incorrect.
    undecided_count: invalid completions. p_histogram[k]: prompts with k of G completions correct.

    With dynamic sampling, counts, ω, histogram, rewards and num_tokens are of all that was sampled; entropy, advantages
    and lengths of what is trained on. `sampling_metrics` counts the difference.
    """
    dropped, g = batch.dropped_draws, batch.rewards_PG.shape[1]
    verdicts_N = [*batch.verdicts_N, *(draw.verdict for draw in dropped)]
    n = len(verdicts_N)
    groups = [verdicts_N[i : i + g] for i in range(0, n, g)]
    solved_P = [sum(v.correct for v in group) for group in groups]
    valid_P = [sum(v.valid for v in group) for group in groups]
    correct, invalid = sum(solved_P), n - sum(valid_P)
    tokens = batch.num_tokens_N.sum()
    lengths_N = [*batch.num_tokens_N.tolist(), *(len(draw.completion_ids) for draw in dropped)]
    judged_N = list(zip(verdicts_N, lengths_N, strict=True))
    return {
        "step": batch.step,
        "num_prompts": n // g,
        "num_completions": n,
        "correct_count": correct,
        "incorrect_count": n - correct - invalid,
        "undecided_count": invalid,  # the column's older name
        "fully_solved": sum(0 < k == d for k, d in zip(solved_P, valid_P, strict=True)),
        "fully_unsolved": sum(k == 0 < d for k, d in zip(solved_P, valid_P, strict=True)),
        "solved_at_least_once": sum(k > 0 for k in solved_P),
        "p_histogram": [sum(k == solved for solved in solved_P) for k in range(g + 1)],
        "omega": _mean([float(v.correct) if v.valid else None for v in verdicts_N]),
        **({"mean_reward": _mean([batch.reward(*judged) for judged in judged_N])} if has_other_reward else {}),
        **(
            {"mean_overlong": _mean([batch.overlong_penalty(*judged) for judged in judged_N])} if batch.overlong else {}
        ),
        "entropy": float((batch.mean_entropy_N * batch.num_tokens_N).sum() / tokens),
        **asdict(diagnose(batch.advantages_PG.cpu(), batch.grpo_PG.cpu())),
        "mean_length": float(batch.num_tokens_N.float().mean()),
        "max_length": float(batch.num_tokens_N.max()),
        "truncated_share": float(batch.truncated_N.float().mean()),
        "num_tokens": sum(lengths_N),  # the recorder adds them up
        **(sampling_metrics(batch.sampled) if batch.sampled else {}),
    }


def _mean(values: list[float | None]) -> float:
    """Return the mean of the values that are not None; NaN without any."""
    return float(torch.tensor([math.nan if value is None else value for value in values]).nanmean())


def update_metrics(logs: Mapping[str, Any], *, use_vllm: bool) -> dict[str, float | None]:
    """Return the numbers of a step's updates out of TRL's log; None for those that it does not have."""
    names = _TRL_METRICS | (_VLLM_METRICS if use_vllm else {})
    found = {column: logs.get(name) for column, name in names.items()}
    if "cispo_clip_ratio" in logs:  # CISPO's name for it
        found["clip_high"] = logs["cispo_clip_ratio"]
    if "entropy_coef" in logs:  # with an entropy bonus only
        found["entropy_coefficient"] = logs["entropy_coef"]
    return {column: None if value is None else float(value) for column, value in found.items()}


def _read_whole(path: Path) -> pa.Table:
    """Return the table of a Parquet file, after a check of its pages.

    Raises:
        RunError: it is damaged; names the remedy.
    """
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        run_dir = path.parent if path.name == "metrics.parquet" else path.parents[1]
        reason = str(error).splitlines()[0]
        how = f"Delete it and {run_dir / 'checkpoints'}: the run then trains from the start"
        raise RunError(f"{path} is damaged ({reason}). {how}") from error


class Recorder:
    """Writer of `rollouts/*.parquet` and `metrics.parquet` in one run directory, on the main process only."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._rollouts = run_dir / "rollouts"
        self._metrics = run_dir / "metrics.parquet"
        self._rollouts.mkdir(parents=True, exist_ok=True)
        self._table: pa.Table | None = None  # content of metrics.parquet

    def resume_after(self, step: int) -> None:
        """Drop the records after `step`: they belong to steps that are trained again."""
        if self._metrics.is_file():
            recorded = _read_whole(self._metrics)
            self._table = recorded.filter(pc.field("step") <= step)
        for path in self._rollouts.glob("*-*.parquet"):
            if (recorded_step := number_in(path)) is None:
                continue
            if recorded_step > step:
                path.unlink()
            else:
                _read_whole(path)
        self._write_metrics()

    def record_rollouts(self, batch: GenerationBatch) -> None:
        """Write one step's rollouts, and apart from them those that dynamic sampling has dropped."""
        tables = {"step": rollout_table(batch)} | ({"dropped": dropped_table(batch)} if batch.dropped_draws else {})
        for kind, table in tables.items():
            with replacing(self._rollouts / f"{kind}-{batch.step:06d}.parquet") as temporary:
                pq.write_table(table, temporary, write_page_checksum=True)

    def record_warning(self, text: str) -> None:
        """Add a warning to meta.json, once."""
        warnings = read_run(self._run_dir).meta.get("warnings", [])
        if text not in warnings:
            update_meta(self._run_dir, warnings=[*warnings, text])

    def record_metrics(self, row: dict[str, Any]) -> dict[str, Any]:
        """Append one step's row; return it as written, with `num_tokens` counted from the start of the run."""
        before = self._table["num_tokens"][-1].as_py() if self._table else 0
        row = {"schema_version": SCHEMA_VERSION, **row, "num_tokens": before + row["num_tokens"]}
        last = pa.Table.from_pylist([row])
        # permissive: a column without any value yet is of type null
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
