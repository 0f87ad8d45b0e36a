"""ΣA and Σ|A| of a group under every estimator: measured in the rollouts, and the closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from agrae_lab.runs import Run
from analysis.io.study import Study, has_binary_rewards
from analysis.io.training_records import read_groups
from analysis.presentation.captions import each
from analysis.presentation.style import label, sort_arms
from analysis.presentation.table_layout import NO_VALUE, Block, Cell, Layout, Row
from analysis.statistics import update_mass
from analysis.statistics.intervals import Interval, block_interval, t_interval

NAME = "table_update_mass"
QUESTION = "Do the advantages that moved the policy have the sums that theory gives them?"
PAPER = "Table 1"

_SUM, _MASS = "ΣA", "Σ|A|"
_COLUMNS = {_SUM: "adv_sum", _MASS: "adv_abs_sum"}
_SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}
_DIGITS = 3


def table(study: Study) -> pd.DataFrame:
    """Return rows: arm, quantity (ΣA or Σ|A|); values are means over steps of a step's mean over groups with 0 < p < 1.

    estimate, lo, hi: measured. closed_form: the same mean of the closed form at each group's p and its step's ω.
    largest_difference: between the two, over all groups. formula, formula_latex and settings are text for the layout.
    """
    rows = [row for arm, runs in study.arms.items() for row in _arm_rows(arm, runs)]
    return pd.DataFrame(rows)


def _arm_rows(arm: str, runs: Sequence[Run]) -> list[dict[str, Any]]:
    done = [run for run in runs if run.status == "done"]
    groups = {run.seed: _mixed_groups(run) for run in done or runs}
    groups = {seed: frame for seed, frame in groups.items() if len(frame)}
    if not groups:
        return []
    advantage = runs[0].config["advantage"]
    about = {
        "arm": arm,
        "settings": _settings(advantage),
        "groups": sum(map(len, groups.values())),
        "group_size": int(next(iter(groups.values()))["size"].iloc[0]),
        "seeds": len(groups),
        "unfinished": not done,
    }
    formulas = (None if not has_binary_rewards(runs[0]) else update_mass.formulas(advantage)) or (None, None)
    rows = []
    for (quantity, column), formula in zip(_COLUMNS.items(), formulas, strict=True):
        interval = _over_steps([frame.groupby("step")[column].mean() for frame in groups.values()])
        closed = pd.concat([frame[f"closed_{column}"] for frame in groups.values()])
        difference = pd.concat([frame[column] for frame in groups.values()]) - closed
        by_step = [frame.groupby("step")[f"closed_{column}"].mean() for frame in groups.values()]
        rows.append(
            {
                **about,
                "quantity": quantity,
                "formula": formula.text if formula else "",
                "formula_latex": formula.latex if formula else "",
                **interval.columns,
                "closed_form": _over_steps(by_step).estimate,
                "largest_difference": difference.abs().max(),
            }
        )
    return rows


def _mixed_groups(run: Run) -> pd.DataFrame:
    """Return a run's groups with 0 < p < 1, and the closed forms at their p and their step's ω; NaN without one."""
    groups = read_groups(run)
    steps = groups.groupby("step")
    decided = steps["size"].sum() - steps["invalid"].sum()
    omega = groups["step"].map(steps["correct"].sum() / decided)
    mixed = (groups["invalid"] == 0) & (groups["p"] > 0) & (groups["p"] < 1)
    kept = groups[mixed]
    forms = None
    if len(kept) and has_binary_rewards(run):
        forms = update_mass.masses(
            run.config["advantage"],
            kept["p"].to_numpy(),
            group_size=int(kept["size"].iloc[0]),
            omega=omega[mixed].to_numpy(),
        )
    positive, negative = forms or (np.nan, np.nan)
    return kept.assign(closed_adv_sum=positive - negative, closed_adv_abs_sum=positive + negative)


def _over_steps(by_step: Sequence[pd.Series]) -> Interval:
    """Return the mean over the steps that all seeds recorded; its interval is over seeds, for one seed over blocks."""
    wide = pd.concat(by_step, axis=1).dropna()
    values_TS = wide.to_numpy()
    num_steps, num_seeds = values_TS.shape
    if num_steps == 0:
        return Interval(np.nan, np.nan, np.nan, "", "")
    if num_seeds > 1:
        bounds = t_interval(values_TS.mean(axis=0))
        return Interval(*bounds, "t over seeds", "the method (its training seeds)", num_seeds)
    bounds = block_interval(values_TS[:, 0], np.full(num_steps, 1 / num_steps))
    return Interval(*bounds, "moving blocks over steps", "this run, not the method")


def _settings(advantage: Mapping[str, Any]) -> str:
    """Return the run's values of the formula's symbols, such as `β = 10`."""
    found = {
        symbol: link[name]
        for link in (advantage["sample"], advantage["group"])
        for name, symbol in _SYMBOLS.items()
        if name in link
    }
    return ", ".join(f"{symbol} = {value:g}" for symbol, value in found.items())


def layout(table: pd.DataFrame) -> Layout:
    """Return arms down, with a block for each quantity."""
    arms = sort_arms(list(table["arm"].unique()))
    blocks = []
    for quantity in _COLUMNS:
        rows = {row["arm"]: row for _, row in table[table["quantity"] == quantity].iterrows()}
        lines = tuple(Row(_name(arm, rows[arm]), _cells(rows[arm])) for arm in arms)
        blocks.append(Block(f"{quantity} of a group", lines))
    return Layout(
        caption=_caption(table),
        head=("", "closed form", "measured", "computed", "differ by at most", "groups"),
        blocks=tuple(blocks),
        notes=_notes(table),
    )


def _name(arm: str, row: pd.Series) -> str:
    settings = f", {row['settings']}" if row["settings"] else ""
    return f"{label(arm)}{settings}{' (unfinished)' if row['unfinished'] else ''}"


def _cells(row: pd.Series) -> tuple[Cell, ...]:
    interval = "" if np.isnan(row["lo"]) else f"[{_number(row['lo'])}, {_number(row['hi'])}]"
    return (
        Cell(row["formula"] or NO_VALUE, math=row["formula_latex"]),
        Cell(_number(row["estimate"]), interval),
        Cell(_number(row["closed_form"])),
        Cell(NO_VALUE if np.isnan(row["largest_difference"]) else f"{row['largest_difference']:.0e}"),
        Cell(f"{row['groups']:,}"),
    )


def _number(value: float) -> str:
    if np.isnan(value):
        return NO_VALUE
    return f"{value:z.{_DIGITS}f}".replace("-", "−")


def _caption(table: pd.DataFrame) -> str:
    size = ", ".join(f"{size}" for size in sorted(table["group_size"].unique()))
    return (
        f"ΣA and Σ|A| of a group (G = {size}), mean over the training groups with 0 < p < 1, with 95 % intervals. "
        f"Seeds: {each(table.drop_duplicates('arm').set_index('arm')['seeds'])}."
    )


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    notes = [
        "Computed: the closed form at each group's success rate p and its batch's mean accuracy ω; a = min(1, ω/α)."
    ]
    notes += [
        f"Interval: {method}; scope: {scope}."
        for method, scope in table.dropna(subset="lo")[["method", "scope"]].drop_duplicates().to_numpy()
    ]
    if table["lo"].isna().any():
        notes.append("No interval if nothing varies beyond rounding, or if steps are too few.")
    if unknown := [label(arm) for arm in table.loc[table["closed_form"].isna(), "arm"].unique()]:
        notes.append(f"{NO_VALUE}: no closed form is known ({', '.join(unknown)}).")
    return tuple(notes)
