"""`python -m analysis runs=<root> [experiment=<name>] [out=<dir>]`: figures, tables, verdicts.

`python -m analysis simulation=<dir> [out=<dir>]` draws what `python -m agrae_lab.advantages.simulator` recorded.

For every experiment under the root, `<out>/<experiment>/` receives the figures, passk_table.{csv,md} and summary.md;
`<out>/summary.md` judges all claims on the runs of all experiments together. A simulation's figures go to `<out>/`.
out is `<root>/figures`, or `<dir>/figures`, unless given.
Exit status: 0; 1 if some data were refused (the rest is done); 2 if the command cannot be carried out.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from agrae_lab.runs import Experiment, RunError, list_experiments, replacing

from . import figures, simulation
from .claims import Verdict, judge
from .curves import collect, curve_table
from .frames import FrameError, Study, load_study, merge_studies
from .render import Rendered, render
from .report import cells, markdown_table, passk_table, run_state, summary, verdict_line

KEYS = ("runs", "experiment", "out")
SIMULATION_KEYS = ("simulation", "out")
_PRINTED_KS = (1, 4, 16, 64, 256)  # the files have all; these fit a terminal


class UsageError(ValueError):
    """The command cannot be carried out; the message says what would be right."""


@dataclass
class Result:
    """What a study came to."""

    study: Study
    verdicts: list[Verdict] = field(default_factory=list)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    figures: list[Rendered] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def main(arguments: Sequence[str], *, num_workers: int = 1) -> int:
    """Run the command, drawing figures in `num_workers` processes; returns the exit status."""
    try:
        given = read_keys(arguments)
        if "simulation" in given:
            return draw_simulation(given)
        root, experiments, out = parse(given)
        everything = [load_study(root, experiment) for experiment in list_experiments(root)]
    except (UsageError, RunError) as error:
        print(error, file=sys.stderr)
        return 2
    studies = [load_study(root, experiment) for experiment in experiments]
    drawn = draw_all(studies, out, num_workers=num_workers)
    results = [evaluate(study) for study in studies]
    for result in results:
        result.figures = drawn[result.study.name]
        result.refused += [f"{figure.name}: {figure.reason}" for figure in result.figures if figure.refused]
        write(result, out / result.study.name)
    names = ", ".join(study.name for study in everything)
    question = f"The paper's claims on the runs of {names} together."
    union = evaluate(merge_studies(everything, name="All experiments", question=question))
    out.mkdir(parents=True, exist_ok=True)
    write_summary(union, out)
    show(results, union, out)
    return 1 if any(result.refused for result in (*results, union)) else 0


def draw_all(studies: Sequence[Study], out: Path, *, num_workers: int) -> dict[str, list[Rendered]]:
    """Every figure of every study, in the study's folder; study name → figures."""
    tasks = [(module.NAME, study, out / study.name) for study in studies for module in figures.discover()]
    if num_workers == 1:
        rendered = [_draw(task) for task in tasks]
    else:
        # forked while this process has read nothing yet and so has no threads: the imports are not paid again
        with ProcessPoolExecutor(num_workers, mp_context=multiprocessing.get_context("fork")) as pool:
            rendered = list(pool.map(_draw, tasks))
    drawn: dict[str, list[Rendered]] = {study.name: [] for study in studies}
    for (_, study, _), figure in zip(tasks, rendered, strict=True):
        drawn[study.name].append(figure)
    return drawn


def _draw(task: tuple[str, Study, Path]) -> Rendered:
    name, study, folder = task
    module = next(module for module in figures.discover() if name == module.NAME)
    return render(module, study, folder)


def draw_simulation(given: Mapping[str, str]) -> int:
    """The figures of a simulation's directory; returns the exit status.

    Raises:
        UsageError: keys beside `simulation` and `out`, or a directory that holds no whole simulation.
    """
    if others := sorted(given.keys() - set(SIMULATION_KEYS)):
        raise UsageError(f"simulation= goes with out= alone, not with {', '.join(others)}=; draw runs by themselves")
    path = Path(given["simulation"])
    try:
        recorded = simulation.load_simulation(path)
    except FrameError as error:
        raise UsageError(str(error)) from error
    out = Path(given.get("out", path / "figures"))
    for module in simulation.FIGURES:
        print(f"{module.NAME}: {out / render(module, recorded, out).name}.png")
    return 0


def read_keys(arguments: Sequence[str]) -> dict[str, str]:
    """`key=value` arguments as a dict.

    Raises:
        UsageError: not of that form, or an unknown key.
    """
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in {*KEYS, *SIMULATION_KEYS} or not equals or not value:
            forms = "; or ".join(", ".join(f"{key}=..." for key in keys) for keys in (KEYS, SIMULATION_KEYS))
            raise UsageError(f"cannot read {argument!r}; give {forms}")
        given[key] = value
    return given


def parse(given: Mapping[str, str]) -> tuple[Path, list[Experiment], Path]:
    """Root, experiments to analyse, output folder.

    Raises:
        UsageError: no runs, or no such root or experiment.
        RunError: an experiment file cannot be read.
    """
    if "runs" not in given:
        raise UsageError("say where the runs are: python -m analysis runs=<root>")
    root = Path(given["runs"])
    if not root.is_dir():
        raise UsageError(f"there is no directory {root}; runs= names the root that the runs were written to")
    experiments = list_experiments(root)
    if not experiments:
        raise UsageError(f"{root} lists no experiments: it has no experiments/*.json; runs= names a root of runs")
    if (name := given.get("experiment")) is not None:
        choices = ", ".join(experiment.name for experiment in experiments)
        experiments = [experiment for experiment in experiments if experiment.name == name]
        if not experiments:
            raise UsageError(f"{root} has no experiment {name!r}; choose from {choices}")
    return root, experiments, Path(given.get("out", root / "figures"))


def evaluate(study: Study) -> Result:
    """Verdicts and Pass@k table; what is refused is noted and the rest goes on."""
    result = Result(study)
    curves = []
    for benchmark in study.benchmarks:
        try:
            if (evaluations := collect(study, benchmark)) is not None:
                curves.append(curve_table(evaluations))
                result.notes += evaluations.notes
        except FrameError as error:
            result.refused.append(f"Pass@k on {benchmark}: {error}")
    result.table = passk_table(curves)
    try:
        result.verdicts = judge(study)
    except FrameError as error:
        result.refused.append(f"verdicts: {error}")
    return result


def write(result: Result, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "passk_table.csv") as path:
        result.table.to_csv(path, index=False)
    with replacing(folder / "passk_table.md") as path:
        path.write_text(markdown_table(result.table))
    write_summary(result, folder)


def write_summary(result: Result, folder: Path) -> None:
    text = summary(
        result.study,
        verdicts=result.verdicts,
        table=result.table,
        figures=result.figures,
        refused=result.refused,
        notes=result.notes,
    )
    with replacing(folder / "summary.md") as path:
        path.write_text(text)


def show(results: Sequence[Result], union: Result, out: Path) -> None:
    """Print Pass@k, verdicts, what is missing, and where everything is."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for benchmark, rows in union.table.groupby("benchmark"):
        first = rows.iloc[0]
        title = f"Pass@k (%) on {benchmark}: {first['problems']} problems, n = {first['n']}"
        table = Table(title=title, box=None, padding=(0, 1, 0, 0), header_style="underline")
        for header in ("arm", "seeds", *map(str, _PRINTED_KS)):
            table.add_column(header, no_wrap=header != "arm", overflow="fold")
        for name, seeds, *values in cells(rows, _PRINTED_KS):
            table.add_row(name, seeds, *(_two_lines(value) for value in values))
        console.print(table)
    for verdict in union.verdicts:
        console.print(verdict_line(verdict))
    for run in union.study.unfinished:
        console.print(f"unfinished: {run_state(run)}")
    for note in union.study.settings_differ:
        console.print(f"note: {note}")
    for problem in union.study.problems:
        console.print(f"left out: {problem}")
    for result in (*results, union):
        for reason in result.refused:
            console.print(f"refused in {result.study.name}: {reason}")
        for figure in result.figures:
            if figure.reason and not figure.refused:
                console.print(f"not drawn in {result.study.name}: {figure.name}: {figure.reason}")
    for result in results:
        console.print(f"{result.study.name}: {out / result.study.name / 'summary.md'}")
    console.print(f"all claims: {out / 'summary.md'}")


def _two_lines(cell: str) -> str:
    """`12.3 [10.1, 14.5]` → 12.3 above 10.1–14.5, to fit a terminal."""
    return cell.replace(" [", "\n").replace(", ", "–").removesuffix("]")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], num_workers=len(os.sched_getaffinity(0))))
