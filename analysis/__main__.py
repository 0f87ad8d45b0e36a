"""`python -m analysis runs=<root> [experiment=<name>] [out=<dir>] …`: figures, tables, verdicts, a report.

For every experiment under the root, `<out>/<experiment>/` receives report.html, which can be sent as it is, and what it
is made of: figures, tables, passk_table.{csv,md} and summary.md. Runs that start from different models are told apart:
`<out>/<experiment>/<model>/`. `<out>/summary.md` judges all claims on the runs of all experiments together.
out is `<root>/figures` unless given. Further words:

    formats=pdf,png                   files of figures beside SVG, which reports need (none)
    published=<model>[/<benchmark>]   the paper's numbers for that model beside ours
    smooth=<steps>                    a centred moving mean over so many steps, drawn over the recorded line
    seed=<n>                          of every random draw, the completions shown among them (0)
    --intersect                       compare arms on what all of them have, where problems or n differ

`python -m analysis simulation=<dir> [out=<dir>]` draws what `python -m agrae_lab.advantages.simulator` recorded, into
`<dir>/figures` unless told. `python -m analysis audit <table.csv>` checks a published Pass@k table.

Exit status: 0; 1 if some data were refused or are incomplete (the rest is done); 2 if the command cannot be carried
out.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from agrae_lab.runs import Experiment, RunError, replacing
from analysis import audit, figures, simulation, tables
from analysis.arguments import SIMULATION_KEYS, Request, UsageError, formats, parse, read_words
from analysis.claims import judge
from analysis.estimates.passk_curves import LEFT_OUT, collect, curve_table
from analysis.io.gaps import gap_sentences
from analysis.io.parquet import FrameError
from analysis.io.study import Study, load_study, merge_studies, on_sound_runs, split_by_model
from analysis.presentation.render import Rendered, render, render_table
from analysis.report import html, terminal
from analysis.report.html.completions import Sample, sample_completions
from analysis.report.markdown import passk_markdown, summary
from analysis.report.result import Result, passk_table

_SECONDS_BETWEEN_LINES = 30.0


def main(arguments: Sequence[str], *, num_workers: int = 1) -> int:
    """Run the command in `num_workers` processes; returns the exit status."""
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
    """Everything that is asked for of a root of runs; returns the exit status."""
    studies = _load(request, request.experiments)
    together = merge_studies(
        _load(request, request.everything, split=False),
        name="All experiments",
        question=f"The paper's claims on the runs of {', '.join(e.name for e in request.everything)} together.",
    )
    unions = split_by_model(replace(together, view=request.view))
    tasks: dict[tuple[str, str, str], Callable[[], Any]] = {}  # (what, study, name) → its work
    for study in (*studies, *unions):
        tasks["verdicts", study.name, ""] = partial(evaluate, study)
    for study in studies:
        folder = request.out / study.name
        tasks["completions", study.name, ""] = partial(sample_completions, study)
        for module in figures.discover():
            tasks["figure", study.name, module.NAME] = partial(_draw, module.NAME, study, folder, request.formats)
        for module in tables.discover():
            tasks["table", study.name, module.NAME] = partial(_tabulate, module.NAME, study, folder)
    done = dict(zip(tasks, carry_out(list(tasks.values()), num_workers=num_workers), strict=True))
    results = [done["verdicts", study.name, ""] for study in studies]
    judged = [done["verdicts", union.name, ""] for union in unions]
    for result in results:
        _collect(result, done)
        write(result, done["completions", result.study.name, ""], request.out / result.study.name)
    request.out.mkdir(parents=True, exist_ok=True)
    with replacing(request.out / "summary.md") as path:
        path.write_text("\n".join(map(summary, judged)))
    terminal.show(results, judged, request.out)
    return 1 if any(result.refused for result in (*results, *judged)) else 0


def carry_out(tasks: Sequence[Callable[[], Any]], *, num_workers: int) -> list[Any]:
    """The tasks' answers, in their order."""
    if num_workers == 1:
        return [task() for task in tasks]
    # forked while this process has read nothing yet and so has no threads: the imports are not paid again
    with ProcessPoolExecutor(num_workers, mp_context=multiprocessing.get_context("fork")) as pool:
        return [answer for _, answer in zip(_progress(len(tasks)), pool.map(_call, tasks), strict=False)]


def _progress(total: int) -> Iterator[int]:
    """Count to `total`; on a terminal with a line that is overwritten, elsewhere with one every half a minute."""
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
    """Verdicts and Pass@k table; what is refused is noted and the rest goes on."""
    result = Result(study, refused=[*study.refused, *gap_sentences(study)])
    curves = []
    for benchmark in study.benchmarks:
        try:
            evaluations, left_out = on_sound_runs(partial(collect, benchmark=benchmark), study)
            result.refused += left_out
        except FrameError as error:
            result.refused.append(f"Pass@k on {benchmark}: {error}")
            continue
        if evaluations is not None:
            curves.append(curve_table(evaluations))
            result.notes += evaluations.notes
            result.refused += [note for note in evaluations.notes if LEFT_OUT in note]
    result.table = passk_table(curves)
    try:
        result.verdicts, left_out = on_sound_runs(judge, study)
        result.refused += left_out
    except FrameError as error:
        result.refused.append(f"verdicts: {error}")
    return result


def write(result: Result, completions: Sample, folder: Path) -> None:
    """passk_table.{csv,md}, summary.md and report.html, beside the figures and tables that are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "passk_table.csv") as path:
        result.table.to_csv(path, index=False)
    texts = {
        "passk_table.md": passk_markdown(result.table),
        "summary.md": summary(result),
        "report.html": html.report_page(result, completions, folder),
    }
    for name, text in texts.items():
        with replacing(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def draw_simulation(given: Mapping[str, str]) -> int:
    """The figures of a simulation's directory; returns the exit status.

    Raises:
        UsageError: keys beside `simulation` and `out`, or a directory that holds no whole simulation.
    """
    if others := sorted(given.keys() - set(SIMULATION_KEYS)):
        raise UsageError(
            f"simulation= goes with out= and formats= alone, not with {', '.join(others)}; draw runs by themselves"
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


def _collect(result: Result, done: Mapping[tuple[str, str, str], Any]) -> None:
    """Put the study's figures and tables into its result."""
    mine = [(what, answer) for (what, study, _), answer in done.items() if study == result.study.name]
    result.figures = [answer for what, answer in mine if what == "figure"]
    result.tables = [answer for what, answer in mine if what == "table"]
    by_reason: dict[str, list[str]] = {}
    for made in (*result.figures, *result.tables):
        result.refused += made.left_out
        if made.refused:
            by_reason.setdefault(made.reason, []).append(made.name)
    result.refused += [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    result.refused = list(dict.fromkeys(result.refused))


def _draw(name: str, study: Study, folder: Path, formats: Sequence[str]) -> Rendered:
    module = next(module for module in figures.discover() if name == module.NAME)
    return render(module, study, folder, formats=formats)


def _tabulate(name: str, study: Study, folder: Path) -> Rendered:
    return render_table(next(module for module in tables.discover() if name == module.NAME), study, folder)


def _call(task: Callable[[], Any]) -> Any:
    return task()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], num_workers=len(os.sched_getaffinity(0))))
