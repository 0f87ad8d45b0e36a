"""Sentences shared by the captions of figures and tables: reward, evaluation setting, seeds, intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from agrae_lab.runs import Run
from analysis.io.configurations import group_by_configuration
from analysis.io.study import ACCURACY, reward_name
from analysis.presentation.style import label
from analysis.statistics.evaluations import BASE_MODEL
from analysis.statistics.intervals import FEW_SEEDS, missing_reason

RECORDED, PUBLISHED = "recorded", "published"  # column `source` of tables that hold both

# Weights of the trainer's rewards (agrae_lab/tasks/rewards.py; a test compares the numbers).
REWARDS = {
    ACCURACY: "accuracy",
    "code": "0.9·accuracy + 0.1·format (the authors' code)",
    "paper": "0.1·accuracy + 0.9·format (the paper's text)",
    "random": "a fair coin (control)",
    "constant": "1 for every completion (control)",
    "format": "format alone (control)",
    "inverted": "1 − accuracy (control)",
}

_COUNTS = dict.fromkeys(("seeds", "n", "problems"), "Int64")
_FLAGS = ("no_within_variance", "unfinished")


def stack(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several sources in one frame. Published rows have no counts, and their flags are off."""
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame()
    rows = pd.concat(
        [frame.assign(**{flag: frame.get(flag, False) for flag in _FLAGS}) for frame in frames], ignore_index=True
    )
    texts = {name: rows[name].astype(object).fillna("") for name in ("method", "scope", "seed") if name in rows}
    return rows.assign(**texts).astype({name: kind for name, kind in _COUNTS.items() if name in rows})


def describe_reward(runs: Sequence[Run]) -> str:
    """Return a sentence on the reward in training, or "" where it was accuracy only."""
    pairs = {(run.arm, _reward_words(run)) for run in runs}
    several = {arm for arm, count in Counter(arm for arm, _ in pairs).items() if count > 1}
    arms: dict[str, dict[str, None]] = {}  # words of a reward → its arms
    for name, (run, *_) in group_by_configuration(runs).items():
        arms.setdefault(_reward_words(run), {})[name if run.arm in several else run.arm] = None
    if not arms.keys() - {REWARDS[ACCURACY]}:
        return ""
    named_arms = {words: "" if len(arms) == 1 else f" in {', '.join(map(label, own))}" for words, own in arms.items()}
    rewards = "; ".join(f"{words}{named}" for words, named in named_arms.items())
    return f"Reward in training: {rewards}. Pass@k, p, ω and what is called correct are of accuracy alone."


def _reward_words(run: Run) -> str:
    """Return a run's reward in words."""
    name, train = reward_name(run), run.config.get("train") or {}
    share, weight = train.get("overlong_share"), train.get("overlong_weight", 1.0)
    penalty = (
        "" if share is None else f" + {weight:g}·(soft overlong penalty of the last {100 * share:g}% of the tokens)"
    )
    return f"{REWARDS.get(name, name)}{penalty}"


def describe_setting(table: pd.DataFrame) -> str:
    """Return sentences on n, problems, sampling, seeds, and the method and scope of intervals.

    Args:
        table: columns of curve_table.
    """
    sentences = []
    evaluated = table.drop_duplicates("benchmark")
    for (n, temperature, top_p), rows in evaluated.groupby(["n", "temperature", "top_p"], sort=False):
        names = ", ".join(f"{name} ({count} problems)" for name, count in rows[["benchmark", "problems"]].to_numpy())
        sentences.append(f"{names}: n = {n} samples each, T = {temperature:g}, top_p = {top_p:g}.")
    trained = table[table["seeds"] > 0].drop_duplicates(["benchmark", "arm"])
    seeds = trained["seeds"]
    if len(trained):
        sentences.append(f"Seeds: {_each_on(trained)}.")
    intervals = table[table["method"] != ""]
    bounded = intervals.dropna(subset="lo")
    ways = list(bounded.groupby(["method", "scope"], sort=False))
    for (method, scope), rows in ways:
        arms = "" if len(ways) == 1 else f" ({', '.join(map(label, rows['arm'].unique()))})"
        sentences.append(f"Interval: {method}{arms}; scope: {scope}.")
    if (seeds == 1).any():
        sentences.append("One seed says nothing of the method: for that, run more.")
    if len(several := seeds[seeds > 1]) and several.min() < FEW_SEEDS:
        sentences.append(f"Fewer than {FEW_SEEDS} seeds: read intervals over seeds with care.")
    return " ".join(sentences)


def describe_missing(table: pd.DataFrame, *, missing_values: str = "interval") -> list[str]:
    """Return one sentence with the reasons for missing intervals, or [] where none is missing.

    Args:
        missing_values: the values that a row without an interval lacks, such as "interval and no p".
    """
    missing = table[table["estimate"].notna() & table["lo"].isna()]
    reasons = [missing_reason(str(method)) for method in missing["method"].unique() if method]
    return [f"No {missing_values} where {' or where '.join(map(_clause, reasons))}."] if reasons else []


def _clause(reason: str) -> str:
    return reason.replace("all problems alike", "all problems are alike").replace("seeds alike", "seeds are alike")


def _each_on(trained: pd.DataFrame) -> str:
    """Return the arms' numbers of seeds as text, by benchmark where they differ."""
    alike: dict[str, list[str]] = {}
    for benchmark, rows in trained.groupby("benchmark", sort=False):
        alike.setdefault(each(rows.set_index("arm")["seeds"]), []).append(str(benchmark))
    if len(alike) == 1:
        return next(iter(alike))
    return "; ".join(f"{counts} on {', '.join(names)}" for counts, names in alike.items())


def published_of(rows: pd.DataFrame) -> str:
    """Return model and benchmarks of published rows, such as `Qwen2.5-Math-7B (AIME 2025, AMC23)`."""
    return "; ".join(f"{model} ({', '.join(part['on'].unique())})" for model, part in rows.groupby("model", sort=False))


def each(counts: pd.Series) -> str:
    """Return counts by arm as text: `1,024 each`, or every arm with its count where they differ."""
    if counts.nunique() == 1 and len(counts) > 1:
        return f"{counts.iloc[0]:,} each"
    return ", ".join(f"{label(arm)} {count:,}" for arm, count in counts.items())


def summarize_setting(table: pd.DataFrame) -> str:
    """Return one sentence for a caption: benchmarks, n, seeds and the scope of the intervals.

    Args:
        table: Rows with the columns of curve_table.
    """
    evaluated = table.drop_duplicates("benchmark")
    names = [f"{row.benchmark} ({row.problems} problems, n = {row.n})" for row in evaluated.itertuples()]
    seeds = table.loc[table["seeds"] > 0, "seeds"]
    counts = "–".join(str(int(count)) for count in sorted({seeds.min(), seeds.max()})) if len(seeds) else ""
    trained = f"; seeds per arm: {counts}" if counts else ""
    scopes = table.loc[table["lo"].notna() & (table["scope"] != ""), "scope"].unique()
    trained_scopes = [scope for scope in scopes if scope != BASE_MODEL] or list(scopes)
    scope = f"; intervals describe {' and '.join(trained_scopes)}" if trained_scopes else ""
    return f"Data: {', '.join(names)}{trained}{scope}."
