"""Groups, problems and tokens that dynamic sampling, filters and masks have dropped, against training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from agrae_lab.runs import Run
from analysis.estimates.step_series import rows_of, with_means
from analysis.figures._steps import describe_steps, draw_steps, summarize_steps
from analysis.io.study import Study
from analysis.io.training_records import read_metrics
from analysis.presentation.captions import each
from analysis.presentation.style import PERCENT, sort_arms

NAME = "dropped"
QUESTION = "What do dynamic sampling, filters and masks drop, and what does it cost?"
PAPER = ""
COLUMNS = 3
EMPTY = "nothing was dropped: no group, problem or completion"

_ROUNDS = "sampling_rounds"
_REASONS = ("solved", "unsolved", "invalid", "surplus")


@dataclass(frozen=True)
class Quantity:
    """A panel: its title, the metrics that it needs, its value by step, and the key of a config that brings it about.

    is_dropped: the value is above 0 only where something was dropped.
    """

    panel: str
    columns: tuple[str, ...]
    value: Callable[[pd.DataFrame], pd.Series]
    key: tuple[str, str]
    axis: str
    is_dropped: bool = True

    @property
    def is_share(self) -> bool:
        """True for a share, which is shown in percent."""
        return self.axis.endswith("(%)")


def _share(name: str, of: str = "num_prompts") -> Callable[[pd.DataFrame], pd.Series]:
    return lambda frame: frame[name] / frame[of]


def _kept(frame: pd.DataFrame) -> pd.Series:
    return 1 - frame[[f"dropped_{reason}" for reason in _REASONS]].sum(axis=1) / frame["num_prompts"]


def _token_share(frame: pd.DataFrame) -> pd.Series:
    """Return the share of a step's tokens; num_tokens counts from the start of the run."""
    return frame["dropped_tokens"] / frame["num_tokens"].diff().fillna(frame["num_tokens"])


_SAMPLING, _GROUPS = ("train", _ROUNDS), "Sampled groups (%)"
QUANTITIES = (
    Quantity("Dropped, all correct", ("dropped_solved", "num_prompts"), _share("dropped_solved"), _SAMPLING, _GROUPS),
    Quantity(
        "Dropped, all incorrect",
        ("dropped_unsolved", "num_prompts"),
        _share("dropped_unsolved"),
        _SAMPLING,
        _GROUPS,
    ),
    Quantity(
        "Groups trained on",
        ("num_prompts", *(f"dropped_{reason}" for reason in _REASONS)),
        _kept,
        _SAMPLING,
        _GROUPS,
        is_dropped=False,
    ),
    Quantity(
        "Rounds of sampling", (_ROUNDS,), lambda frame: frame[_ROUNDS], _SAMPLING, "Rounds a step", is_dropped=False
    ),
    Quantity("Tokens dropped", ("dropped_tokens", "num_tokens"), _token_share, _SAMPLING, "Sampled tokens (%)"),
    Quantity(
        "Problems passed over",
        ("passed_over",),
        lambda frame: frame["passed_over"],
        ("train", "skip_window"),
        "Problems a step",
    ),
    Quantity(
        "Completions masked",
        ("truncated_share",),
        lambda frame: frame["truncated_share"],
        ("loss", "mask_truncated"),
        "Completions (%)",
    ),
)


def table(study: Study) -> pd.DataFrame:
    """Return the rows of series_table in a panel for each quantity.

    An arm is in a panel if its config brings the quantity about. No rows where nothing was dropped.
    """
    parts = [(quantity, _rows(study, quantity)) for quantity in QUANTITIES]
    if not any(quantity.is_dropped and (rows["value"] > 0).any() for quantity, rows in parts if len(rows)):
        return pd.DataFrame()
    return pd.concat([rows for _, rows in parts if len(rows)], ignore_index=True)


def _rows(study: Study, quantity: Quantity) -> pd.DataFrame:
    """Return the rows of a panel."""
    section, key = quantity.key
    runs = tuple(run for run in study.runs if (run.config.get(section) or {}).get(key))

    def value_of(run: Run) -> pd.Series:
        return quantity.value(read_metrics(run, quantity.columns).set_index("step")).astype(float)

    chosen = replace(study, runs=runs)
    rows = rows_of(chosen, value_of)
    if rows.empty:
        return rows
    rows = with_means(chosen, rows).assign(panel=quantity.panel)
    return rows.assign(hi=rows["hi"].clip(upper=1.0)) if quantity.is_share else rows


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then lines, seeds and interval."""
    panels = [panel[0].lower() + panel[1:] for panel in table["panel"].unique()]
    return f"By training step: {'; '.join(panels)}. {summarize_steps(table, intervals=False)}"


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return definitions and each arm's means over its steps, then smoothing, unfinished runs and collapses."""
    return [*_definitions(table), *_means(table), *describe_steps(table)]


def _definitions(table: pd.DataFrame) -> list[str]:
    shown = set(table["panel"])
    sampling = [
        "Groups are shares of those that a step sampled, in all of its rounds.",
        "All correct and all incorrect are of the completions that are not invalid.",
        "The rest of what is not trained on is mixed groups beyond the batch, and invalid ones.",
        "Tokens dropped were sampled and not trained on.",
    ]
    return [
        *(sampling if "Groups trained on" in shown else []),
        "Passed over: problems that others replaced, since their last group was not mixed."
        if "Problems passed over" in shown
        else "",
        "Masked in the loss: completions without an end token; they count in advantages, p and ω."
        if "Completions masked" in shown
        else "",
        "An arm without such a setting drops nothing and is not drawn.",
        "p and ω are of all that was sampled.",
    ]


def _means(table: pd.DataFrame) -> list[str]:
    """Return a sentence with the means over steps and seeds of the dropped tokens."""
    tokens = table[(table["panel"] == "Tokens dropped") & (table["seed"] != "mean")]
    if tokens.empty:
        return []
    shares = (100 * tokens.groupby("arm")["value"].mean()).round(1)
    ordered = shares.reindex(sort_arms(list(shares.index)))
    return [f"Mean share of tokens dropped, %: {each(ordered)}."]


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one panel's lines from 0 on; shares in percent."""
    quantity = next(quantity for quantity in QUANTITIES if quantity.panel == table["panel"].iloc[0])
    draw_steps(table, ax, intervals=False)  # those of few seeds reach beyond what a share can be
    ax.set_ylabel(quantity.axis)
    ax.set_ylim(bottom=0)
    if quantity.is_share:
        ax.yaxis.set_major_formatter(PERCENT)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    return ax
