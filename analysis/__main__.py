"""Make figures, tables, verdicts and a report from run directories.

    python -m analysis runs=<root> [experiment=<name>] [out=<dir>] [options]
    python -m analysis simulation=<dir> [out=<dir>] [formats=...]
    python -m analysis audit <table.csv>

Examples:

    python -m analysis runs=runs/demo                                     # every experiment → runs/demo/figures/
    python -m analysis runs=runs/demo experiment=a_grae formats=pdf,png   # one experiment, figures for a paper

Every experiment under the root gets `<out>/<experiment>/` with report.html (one file), its figures and tables,
and summary.md. Runs that start from different models are kept apart: `<out>/<experiment>/<model>/`.
`<out>/summary.md` judges all claims on the runs of all experiments together.

    out=<dir>                         folder of the results (default: <root>/figures)
    formats=pdf,png                   files of figures beside SVG (default: none)
    published=<model>[/<benchmark>]   show the paper's numbers for that model beside ours
    smooth=<steps>                    draw a centred moving mean over that many steps (odd) above the recorded line
    seed=<n>                          seed of every random draw (default: 0)
    --intersect                       where problems or n differ, compare arms on what all of them have

`simulation=<dir>` draws the records of `python -m agrae_lab.advantages.simulator`, by default into `<dir>/figures`.
`audit` checks a published Pass@k table; `python -m analysis audit --help` describes it.

Exit status: 0 done; 1 some data were refused or are incomplete, the rest is done; 2 the command cannot be carried out.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from agrae_lab.runs import Experiment, RunError, replacing
from analysis import audit, figures, simulation, tables
from analysis.arguments import SIMULATION_KEYS, Request, UsageError, formats, parse, read_words
from analysis.claims import judge
from analysis.estimates.answers import answers, too_few_samples
from analysis.estimates.control_gains import control_gains
from analysis.estimates.passk_curves import LEFT_OUT, collect
from analysis.io.gaps import gap_sentences
from analysis.io.parquet import FrameError
from analysis.io.study import Study, load_study, merge_studies, on_sound_runs, split_by_model
from analysis.presentation.discovery import make
from analysis.presentation.render import Rendered, lay_out, render, render_table
from analysis.presentation.table_layout import Layout
from analysis.report import html, terminal
from analysis.report.html.completions import Sample, sample_completions
from analysis.report.markdown import summary
from analysis.report.result import NOT_COMPARABLE, Result
from analysis.tables import main as table_main

Key = tuple[str, str, str]  # of a task: kind, study, name

_SECONDS_BETWEEN_LINES = 30.0


def main(arguments: Sequence[str], *, num_workers: int = 1) -> int:
    """Run the command in `num_workers` processes and return the exit status."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if arguments and arguments[0] == "audit":
        return audit.main(arguments[1:])
    try:
        given = read_words(arguments)
        if "simulation" in given:
            return draw_simulation(given)
        request = parse(given)
    except (UsageError, RunError) as error:
        print(error, file=sys.stderr)
        return 2
    return report(request, num_workers=num_workers)


def report(request: Request, *, num_workers: int) -> int:
    """Write figures, tables, verdicts and reports of a root of runs, and return the exit status."""
    studies = _load(request, request.experiments)
    together = merge_studies(
        _load(request, request.everything, split=False),
        name="All experiments",
        question=f"The paper's claims on the runs of {', '.join(e.name for e in request.everything)} together.",
    )
    unions = split_by_model(replace(together, view=request.view))
    tasks = _tasks(request, studies, unions)
    done = dict(zip(tasks, carry_out(list(tasks.values()), num_workers=num_workers), strict=True))
    results = [done["verdicts", study.name, ""] for study in studies]
    judged = [replace(done["verdicts", union.name, ""], passk=done["passk", union.name, ""]) for union in unions]
    for result in results:
        _collect(result, done)
        write(result, done["completions", result.study.name, ""], request.out / result.study.name)
    request.out.mkdir(parents=True, exist_ok=True)
    with replacing(request.out / "summary.md") as path:
        path.write_text("\n".join(map(summary, judged)), encoding="utf-8")
    terminal.show(results, judged, request.out)
    return 1 if any(result.refused for result in (*results, *judged)) else 0


def _tasks(request: Request, studies: Sequence[Study], unions: Sequence[Study]) -> dict[Key, Callable[[], Any]]:
    """Return the work of the command: (kind, study, name) → a function that does it."""
    tasks: dict[Key, Callable[[], Any]] = {}
    for study in (*studies, *unions):
        tasks["verdicts", study.name, ""] = partial(evaluate, study)
    for union in unions:
        tasks["passk", union.name, ""] = partial(_lay_out_passk, union)
    for study in studies:
        folder = request.out / study.name
        tasks["completions", study.name, ""] = partial(sample_completions, study)
        for figure in figures.discover():
            tasks["figure", study.name, figure.NAME] = partial(_draw, figure.NAME, study, folder, request.formats)
        for table in tables.discover():
            tasks["table", study.name, table.NAME] = partial(_tabulate, table.NAME, study, folder)
    return tasks


def carry_out(tasks: Sequence[Callable[[], Any]], *, num_workers: int) -> list[Any]:
    """Return the results of the tasks, in their order."""
    if num_workers == 1:
        return [task() for task in tasks]
    # fork, since forked workers need no imports; safe here, since this process has no threads yet
    with ProcessPoolExecutor(num_workers, mp_context=multiprocessing.get_context("fork")) as pool:
        return [result for _, result in zip(_progress(len(tasks)), pool.map(_call, tasks), strict=False)]


def _progress(total: int) -> Iterator[int]:
    """Count to `total` and print progress: on a terminal in one line, elsewhere a line every half a minute."""
    overwrites, last = sys.stderr.isatty(), time.monotonic()
    for done in range(total):
        if overwrites or time.monotonic() - last > _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            end = "\r" if overwrites else "\n"
            print(f"{done} of {total} figures, tables and verdicts", end=end, file=sys.stderr, flush=True)
        yield done
    if overwrites:
        print("\033[K", end="", file=sys.stderr, flush=True)


def evaluate(study: Study) -> Result:
    """Return the answers and verdicts of a study, its notes and its refused data."""
    result = Result(study, refused=[*study.refused, *gap_sentences(study)])
    comparable: list[str] = []
    for benchmark in study.benchmarks:
        try:
            evaluations, left_out = on_sound_runs(partial(collect, benchmark=benchmark), study)
        except FrameError as error:
            result.refused.append(f"Pass@k on {benchmark}: {error}")
            evaluations = None
        else:
            comparable.append(benchmark)
            result.refused += left_out
        with suppress(FrameError):  # named above; under each setting the evaluations may be comparable all the same
            result.answers += on_sound_runs(partial(answers, benchmarks=[benchmark]), study)[0]
        if evaluations is not None:
            result.unanswered += filter(None, [too_few_samples(evaluations, study.comparison)])
            result.notes += evaluations.notes
            result.refused += [note for note in evaluations.notes if LEFT_OUT in note]
    without = [
        name for name in study.benchmarks if name not in (*comparable, *(one.benchmark for one in result.answers))
    ]
    result.unanswered += [f"No answer on {name}: {NOT_COMPARABLE}" for name in without]
    result.control_gains, _ = on_sound_runs(partial(control_gains, benchmarks=comparable), study)
    try:
        result.verdicts, left_out = on_sound_runs(partial(judge, benchmarks=comparable), study)
        result.refused += left_out
    except FrameError as error:
        result.refused.append(f"verdicts: {error}")
    return result


def write(result: Result, completions: Sample, folder: Path) -> None:
    """Write summary.md and report.html into the folder of the figures and tables."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"summary.md": summary(result), "report.html": html.report_page(result, completions, folder)}
    for name, text in texts.items():
        with replacing(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def draw_simulation(given: Mapping[str, str]) -> int:
    """Draw the figures of a simulation's directory and return the exit status.

    Raises:
        UsageError: another key beside `simulation`, `out` and `formats`, or no readable simulation.
    """
    if others := sorted(given.keys() - set(SIMULATION_KEYS)):
        raise UsageError(
            f"simulation= takes out= and formats= only, not {', '.join(others)}; draw runs in a command of their own"
        )
    path = Path(given["simulation"])
    try:
        recorded = simulation.load_simulation(path)
    except FrameError as error:
        raise UsageError(str(error)) from error
    out, wanted = Path(given.get("out", path / "figures")), formats(given, default="png,pdf")
    for module in simulation.FIGURES:
        drawn = render(module, recorded, out, formats=wanted)
        print(f"{module.NAME}: {out / drawn.name}.{wanted[0] if wanted else 'svg'}")
    return 0


def _load(request: Request, experiments: Sequence[Experiment], *, split: bool = True) -> list[Study]:
    studies = [replace(load_study(request.root, experiment), view=request.view) for experiment in experiments]
    return [part for study in studies for part in split_by_model(study)] if split else studies


def _collect(result: Result, done: Mapping[Key, Any]) -> None:
    """Put the study's figures and tables into its result."""
    own = [(kind, rendered) for (kind, study, _), rendered in done.items() if study == result.study.name]
    result.figures = [rendered for kind, rendered in own if kind == "figure"]
    result.tables = [rendered for kind, rendered in own if kind == "table"]
    result.passk = next((table.layout for table in result.tables if table.name == table_main.NAME), None)
    by_reason: dict[str, list[str]] = {}
    for rendered in (*result.figures, *result.tables):
        result.refused += rendered.left_out
        if rendered.refused:
            by_reason.setdefault(rendered.reason, []).append(rendered.name)
    result.refused += [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    result.refused = list(dict.fromkeys(result.refused))


def _draw(name: str, study: Study, folder: Path, formats: Sequence[str]) -> Rendered:
    return make(figures.find(name), lambda figure: render(figure, study, folder, formats=formats))


def _tabulate(name: str, study: Study, folder: Path) -> Rendered:
    return make(tables.find(name), lambda table: render_table(table, study, folder))


def _lay_out_passk(study: Study) -> Layout | None:
    return lay_out(table_main, study)[1].layout


def _call(task: Callable[[], Any]) -> Any:
    return task()


def _settle_interpreter() -> None:
    """Set this process up for many small tables: texts as Python strings, and few searches for garbage."""
    pd.options.mode.string_storage = "python"
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


if __name__ == "__main__":
    _settle_interpreter()
    sys.exit(main(sys.argv[1:], num_workers=len(os.sched_getaffinity(0))))
