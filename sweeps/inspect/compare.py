"""Comparison of two runs, cells or arms: their different settings, and the difference in Pass@k."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agrae_lab import runs
from agrae_lab.runs.suggestions import close_match
from sweeps.errors import PlanError
from sweeps.planning.run_dirs import arm_in_name, list_run_dirs, read_run_meta

if TYPE_CHECKING:
    import pandas as pd

_SIDES = ("first", "second")
_COLUMNS = (*_SIDES, "difference")
_INTERVAL = ["estimate", "lo", "hi", "method", "scope"]


def find(name: str, root: Path, *, among: Sequence[Path] | None = None) -> list[runs.Run]:
    """Return the runs that a name stands for.

    Args:
        name: a run or cell directory, by its path or its name in the root, or an arm.
        among: the run directories to search; None: all of the root.

    Raises:
        PlanError: nothing has that name, or an arm has several cells.
        agrae_lab.runs.RunError: a run directory that cannot be read.
    """
    for path in (Path(name), root / name):
        if (path / "config.yaml").is_file():
            return [runs.read_run(path)]
        if found := sorted(path.glob("seed-*/config.yaml")):
            return [_read(marker.parent) for marker in found]
    by_arm: dict[str, list[Path]] = {}
    for path in list_run_dirs(root) if among is None else among:
        by_arm.setdefault(_arm(path), []).append(path)
    if name not in by_arm:
        hint = close_match(name, by_arm) or f"the arms are {', '.join(sorted(by_arm)) or 'none'}"
        raise PlanError([f"there is no run, cell or arm {name!r} in {root}; {hint}"])
    if len(cells := sorted({path.parent.name for path in by_arm[name]})) > 1:
        raise PlanError([f"arm {name} has {len(cells)} cells; name one of them: {', '.join(cells)}"])
    return [_read(path) for path in by_arm[name]]


def _arm(path: Path) -> str:
    """Return a run's arm; of one that cannot be read, the arm in its name: only a comparison of that arm needs it."""
    try:
        return read_run_meta(path).arm
    except runs.RunError:
        return arm_in_name(path)


def _read(path: Path) -> runs.Run:
    read_run_meta(path)  # raises the error of a directory with another name, such as a backup's
    return runs.read_run(path)


def settings_that_differ(first: runs.Run, second: runs.Run) -> list[tuple[str, Any, Any]]:
    """Return (key, first value, second value) of each different setting; None if missing.

    Settings of the machine, of the run's place and experiment, and derived keys are left out.
    """
    one, other = (dict(runs.leaves(run.config)) for run in (first, second))
    keys = [
        key
        for key in dict.fromkeys([*one, *other])
        if key.partition(".")[0] not in (*runs.NOT_RESULT_SECTIONS, *runs.DERIVED)
    ]
    return [(key, one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)]


def results(first: Sequence[runs.Run], second: Sequence[runs.Run]) -> Iterator[pd.DataFrame]:
    """Yield a table for every benchmark on which both sides are evaluated, with Pass@k of both and the difference.

    Columns: benchmark, k; estimate, lo, hi, method and scope of the interval (see analysis.estimates.passk_curves) of
    each of first, second, difference (second minus first; paired by problem, and by seed where two or more seeds are
    shared).

    Raises:
        analysis.io.study.FrameError: an evaluation that cannot be read, or two that cannot be compared.
    """
    import pandas as pd

    from analysis.estimates.passk_curves import collect, curve_table, gain_table
    from analysis.io.study import Study

    study = Study("compare", "", (*_named(first, "first"), *_named(second, "second")))
    for benchmark in study.benchmarks:
        evaluations = collect(study, benchmark)
        if evaluations is None or not {"first", "second"} <= evaluations.correct.keys():
            continue
        curves = curve_table(evaluations).drop_duplicates(
            ["arm", "k"]
        )  # keeps an arm's mean, which is before its seeds
        gain = gain_table(evaluations, "first")
        parts = [curves[curves["arm"] == side] for side in _SIDES] + [gain]
        columns = [
            part.set_index("k")[_INTERVAL].add_prefix(f"{name} ") for part, name in zip(parts, _COLUMNS, strict=True)
        ]
        table = pd.concat(columns, axis="columns").assign(benchmark=benchmark)
        yield table.dropna(subset="difference estimate").reset_index()


def print_comparison(
    console: Console, names: tuple[str, str], first: Sequence[runs.Run], second: Sequence[runs.Run]
) -> None:
    """Print the different settings, then the results.

    Raises:
        analysis.io.study.FrameError: as `results`.
    """
    differ = settings_that_differ(first[0], second[0])
    if len(first) > 1 or len(second) > 1:
        differ = [setting for setting in differ if setting[0] != "seed"]
    settings = Table("setting", *map(escape, names), box=None, pad_edge=False)
    for setting in differ:
        settings.add_row(*(Text("–" if cell is None else str(cell)) for cell in setting))
    console.print(settings if differ else "no setting differs")
    found = list(results(first, second))
    for table in found:
        console.print(f"\nPass@k (%) on {table['benchmark'].iloc[0]}, with 95 % intervals", markup=False)
        shown = Table("k", *map(escape, names), "difference", box=None, pad_edge=False)
        for _, row in table.iterrows():
            shown.add_row(str(row["k"]), *(_percent(row, column) for column in _COLUMNS))
        console.print(shown)
        for sentence in interval_sentences(table, (*names, "difference")):
            console.print(sentence, markup=False, soft_wrap=True)
    if not found:
        console.print("the two have no evaluated benchmark in common")


def interval_sentences(table: pd.DataFrame, names: Sequence[str]) -> Iterator[str]:
    """Yield the method and the scope of each column's intervals, with the values of k where they are not all alike.

    Args:
        names: of the columns first, second and difference.
    """
    for column, name in zip(_COLUMNS, names, strict=True):
        groups = table.groupby([f"{column} method", f"{column} scope"], sort=False)["k"]
        for (method, scope), ks in groups:
            at = "" if len(groups) == 1 else f" at k = {', '.join(map(str, ks))}"
            yield f"intervals of {name}{at}: {method}, for {scope}"


def _named(side: Sequence[runs.Run], name: str) -> list[runs.Run]:
    """Return the runs under one arm name, by which analysis groups them."""
    return [replace(run, config={**run.config, "arm": name}) for run in side]


def _percent(row: pd.Series, side: str) -> str:
    estimate, lo, hi = (f"{100 * row[f'{side} {column}']:.1f}" for column in ("estimate", "lo", "hi"))
    return f"{estimate} [{lo}, {hi}]" if lo != "nan" else estimate
