"""Draw the Pareto front of a search with several objectives.

    python -m analysis.pareto <root>/studies/<name> [<out>]

Examples:

    python -m analysis.pareto runs/lr/studies/tune               # → runs/lr/studies/tune/figures/pareto.png
    python -m analysis.pareto runs/lr/studies/tune paper/figures

The command reads trials.csv of the study and the runs that it names. Figures go to <study>/figures by default.

Exit status: 0 drawn; 1 the runs cannot be compared; 2 the folder holds no search with two objectives or more.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from agrae_lab.runs import Run, RunError, read_run
from analysis.estimates.passk_curves import bounded_share, collect
from analysis.io.parquet import FrameError
from analysis.io.study import BASE, Study
from analysis.presentation.render import render
from analysis.presentation.style import LABELS, PERCENT
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.intervals import FEW_SEEDS, t_interval

NAME = "pareto"
QUESTION = "Which settings does no other beat in every objective?"

_COLUMNS = ("trial", "status", "front", "feasible", "runs")
_PASS = re.compile(r"pass@(\d+)/(.+)")
_LOOKS: dict[str, dict[str, Any]] = {
    "dominated": {"marker": "o", "markerfacecolor": "none", "markersize": 2.5, "alpha": 0.6},
    "infeasible": {"marker": "x", "alpha": 0.6},
    "front": {"marker": "o"},
}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito


@dataclass(frozen=True)
class Trials:
    """Records of a search: one row per trial (see sweeps/search/table.py), and the runs that are still there."""

    name: str
    frame: pd.DataFrame
    runs: tuple[Run, ...]

    @property
    def objectives(self) -> dict[str, str]:
        """Metric → "maximize" or "minimize"."""
        words = (column.split(" ", 1) for column in self.frame.columns)
        return {rest[0]: word for word, *rest in words if word in ("maximize", "minimize")}


@dataclass(frozen=True)
class Estimate:
    """Value of a trial in one objective. Bounds are NaN and the method is empty where there is no interval."""

    value: float
    lo: float
    hi: float
    method: str


def load_trials(path: Path) -> Trials:
    """Return the trials of a study's directory.

    Raises:
        FrameError: it holds no trials, or fewer than two objectives.
    """
    file = path / "trials.csv"
    try:
        frame = pd.read_csv(file, keep_default_na=False, dtype=str)
    except (OSError, ValueError) as error:
        raise FrameError(f"{path}: not the directory of a search, {file.name} cannot be read ({error})") from error
    if missing := [name for name in _COLUMNS if name not in frame.columns]:
        raise FrameError(f"{file}: the columns {', '.join(missing)} are missing; run the search again")
    runs = []
    for key in dict.fromkeys(" ".join(frame["runs"]).split()):
        try:
            runs.append(read_run(path.resolve().parents[1] / key))
        except RunError:  # a run was moved or removed: its trial is drawn without an interval
            continue
    trials = Trials(path.name, frame, tuple(runs))
    if len(trials.objectives) < 2:
        raise FrameError(f"{file}: one objective, so the front is one point; see the row with front = yes")
    return trials


def table(trials: Trials) -> pd.DataFrame:
    """Return one row per trial and pair of objectives (panel).

    Columns: trial, group (front, dominated, infeasible or base), choice, x and y with their intervals, settings, and
    the numbers of the caption.
    """
    done = trials.frame[trials.frame["status"] == "done"]
    if done.empty:
        return pd.DataFrame()
    choice = _first_choice(trials.frame)
    shared: dict[str, Any] = {
        "search": trials.name,
        "trials": int((~trials.frame["status"].isin(["requeued", "taken up"])).sum()),  # "taken up" in older files
        "done": len(done),
        "seeds": sum(column.startswith("seed ") for column in done.columns) // _num_metrics(done),
    }
    known = {metric: _estimates(trials, done, metric) for metric in trials.objectives}
    rows = []
    for x, y in itertools.combinations(trials.objectives, 2):
        for name in known[x]:
            row = {"panel": _panel(x, y), "x_metric": x, "y_metric": y, "trial": name}
            if name in known[y]:
                rows.append(
                    row
                    | _axis_columns("x", known[x][name])
                    | _axis_columns("y", known[y][name])
                    | _trial_columns(done, name, choice)
                )
    return pd.DataFrame(rows).assign(**shared)


def caption(table: pd.DataFrame) -> str:
    """Return the marks and the number of trials, then the value of a trial."""
    first = table.iloc[0]
    of_seeds = f"the mean over {first['seeds']} training seeds" if first["seeds"] > 1 else "that of one training seed"
    crosses = "; crosses: those that break a constraint" if (table["group"] == "infeasible").any() else ""
    return (
        f"Trials of the search {first['search']}, {first['done']} of {first['trials']} with values: filled and "
        f"numbered the front, hollow those that another dominates{crosses}. A trial's value is {of_seeds}."
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the front's bias, then the intervals."""
    front = table[table["group"] == "front"]
    methods = sorted({*front["x_method"], *front["y_method"]} - {""})
    sentences = [
        "The front was selected by these same values, so they overstate its points: before any comparison, run these "
        "settings again with other seeds and evaluate them on other problems."
    ]
    if not methods:
        sentences.append("No intervals.")
    elif not _draws_intervals(table):
        sentences.append(f"95 % intervals ({'; '.join(methods)}) are in the CSV only: two seeds make them very wide.")
    else:
        sentences.append(f"Bars: 95 % intervals of single trials ({'; '.join(methods)}), cut off at the frame.")
    if 1 < table["seeds"].iloc[0] < FEW_SEEDS:
        sentences.append(f"Fewer than {FEW_SEEDS} seeds: read intervals over seeds with care.")
    return sentences


def _draws_intervals(table: pd.DataFrame) -> bool:
    """Return True unless the intervals are of two seeds, whose t has one degree of freedom."""
    return bool(table["seeds"].iloc[0] != 2)


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the trials of one pair of objectives, the line of the front, and the base model."""
    ax.margins(0.15)
    front = table[table["group"] == "front"].sort_values(["x", "y"])
    ax.plot(front["x"], front["y"], color="0.5", linewidth=0.6, zorder=1)
    base = table[table["group"] == BASE]
    if len(base):
        ax.plot(base["x"], base["y"], marker="s", color="#7F7F7F", linestyle="none", label=LABELS[BASE])
    trials = table[table["group"] != BASE]
    for (choice, rows), colour in zip(trials.groupby("choice"), itertools.cycle(_COLOURS), strict=False):
        name = str(choice).replace("_", " ") or "trials"
        for group, look in _LOOKS.items():
            some, style = rows[rows["group"] == group], {"color": colour, "linestyle": "none", **look}
            ax.plot(some["x"], some["y"], **style)
        ax.plot([], [], marker="o", color=colour, linestyle="none", label=name)
    ax.autoscale_view()
    ax.autoscale(False)  # an interval of few seeds may be far wider than the front
    if _draws_intervals(table):
        style = {"fmt": "none", "ecolor": "0.55", "elinewidth": 0.5, "zorder": 1}
        x_bars, y_bars = (front[[f"{axis}_below", f"{axis}_above"]].T for axis in "xy")
        ax.errorbar(front["x"], front["y"], xerr=x_bars, yerr=y_bars, **style)
    sides: Any = itertools.cycle([((3, 3), "left"), ((-3, -7), "right")])  # neighbours are close: names take turns
    text: dict[str, Any] = {"textcoords": "offset points", "fontsize": 6, "color": "0.25"}
    for ((x, y), rows), (offset, side) in zip(front.groupby(["x", "y"]), sides, strict=False):
        ax.annotate(", ".join(map(str, rows["trial"])), (x, y), offset, horizontalalignment=side, **text)
    for axis, metric in ((ax.xaxis, table["x_metric"].iloc[0]), (ax.yaxis, table["y_metric"].iloc[0])):
        if _PASS.fullmatch(metric):
            axis.set_major_formatter(PERCENT)
        axis.set_label_text(_label(metric))
    return ax


def main(arguments: Sequence[str]) -> int:
    """Draw the front and return the exit status."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if not 1 <= len(arguments) <= 2:
        print("name a study's directory: python -m analysis.pareto <root>/studies/<name> [<out>]", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    out = Path(arguments[1]) if len(arguments) == 2 else path / "figures"
    try:
        trials: Any = load_trials(path)
    except FrameError as error:
        print(error, file=sys.stderr)
        return 2
    rendered = render(sys.modules[__name__], trials, out)
    print(f"{NAME}: {rendered.reason or out / f'{NAME}.png'}")
    return 1 if rendered.refused else 0


def _estimates(trials: Trials, done: pd.DataFrame, metric: str) -> dict[str, Estimate]:
    """Return trial → estimate, and that of the base model where it is evaluated."""
    study = Study(trials.name, "", trials.runs)
    by_arm = _pass_estimates(study, metric)
    arm_of = {run.key: arm for arm, runs in study.arms.items() for run in runs}
    found = {}
    for _, row in done.iterrows():
        arm = arm_of.get(row["runs"].split()[0], "")
        found[str(row["trial"])] = by_arm.get(arm) or _seed_estimate(
            row, f"{trials.objectives[metric]} {metric}", metric
        )
    return found | ({BASE: by_arm[BASE]} if BASE in by_arm else {})


def _seed_estimate(row: pd.Series, column: str, metric: str) -> Estimate:
    seeds = [float(row[name]) for name in row.index if re.fullmatch(rf"seed \d+ {re.escape(metric)}", name)]
    _, lo, hi = t_interval(np.array(seeds))
    return Estimate(float(row[column]), lo, hi, "t over seeds" if np.isfinite(lo) else "")


def _pass_estimates(study: Study, metric: str) -> dict[str, Estimate]:
    """Return arm → Pass@k with the same interval as in all other figures; {} for another metric."""
    passed = _PASS.fullmatch(metric)
    evaluations = collect(study, passed[2]) if passed else None
    if passed is None or evaluations is None:
        return {}
    arms = list(evaluations.correct)
    intervals = contrast_intervals(evaluations, [{arm: {int(passed[1]): 1.0}} for arm in arms], bands=False)
    shares = [bounded_share(interval, evaluations.num_problems) for interval in intervals]
    return {
        arm: Estimate(share.estimate, share.lo, share.hi, share.method if np.isfinite(share.lo) else "")
        for arm, share in zip(arms, shares, strict=True)
    }


def _axis_columns(axis: str, found: Estimate) -> dict[str, Any]:
    below, above = found.value - found.lo, found.hi - found.value
    bounds = {f"{axis}_lo": found.lo, f"{axis}_hi": found.hi, f"{axis}_below": below, f"{axis}_above": above}
    return {axis: found.value, **bounds, f"{axis}_method": found.method}


def _trial_columns(done: pd.DataFrame, name: str, choice: str | None) -> dict[str, str]:
    if name == BASE:
        return {"group": BASE, "choice": "", "settings": ""}
    row = done[done["trial"] == name].iloc[0]
    params = {column.removeprefix("param "): row[column] for column in done.columns if column.startswith("param ")}
    settings = " ".join(f"{key}={value}" for key, value in params.items() if value)
    group = "front" if row["front"] == "yes" else "infeasible" if row["feasible"] == "no" else "dominated"
    return {"group": group, "choice": row[choice] if choice else "", "settings": settings}


def _first_choice(frame: pd.DataFrame) -> str | None:
    """Return the first searched key whose values are words; it decides the colours."""
    for column in frame.columns:
        if column.startswith("param ") and pd.to_numeric(frame[column], errors="coerce").isna().all():
            return column
    return None


def _num_metrics(frame: pd.DataFrame) -> int:
    return len({column.split(" ", 2)[2] for column in frame.columns if column.startswith("seed ")})


def _panel(x: str, y: str) -> str:
    """Return the title of a panel: the benchmark where both axes are Pass@k on it, else both metrics."""
    both = [_PASS.fullmatch(metric) for metric in (x, y)]
    names = {passed[2] for passed in both if passed}
    return names.pop() if all(both) and len(names) == 1 else f"{y} against {x}"


def _label(metric: str) -> str:
    passed = _PASS.fullmatch(metric)
    return f"Pass@{passed[1]} (%)" if passed else metric.removeprefix("metrics.").replace("_", " ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
