"""What each command does: takes the parsed command line, returns the exit code."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.execution.display import make_console
from sweeps.inspect import preview
from sweeps.inspect.status import Row, as_json, print_status, status_rows, watch
from sweeps.launch import study as study_launch
from sweeps.launch.cells import freeze_of, launch
from sweeps.launch.study import How
from sweeps.planning.drift import read_code
from sweeps.planning.freeze import Plan, make_plan
from sweeps.planning.glance import run_dirs
from sweeps.planning.plan import plan_study
from sweeps.planning.study_directory import Ledger, cell_id
from sweeps.spec import experiments
from sweeps.spec.axes import label, settings_of
from sweeps.spec.compose import config_dir
from sweeps.spec.read import is_study
from sweeps.spec.study import Study
from sweeps.targets import names_study, root_of, split, study_of


def plan(given: Namespace) -> int:
    """`plan`: starts and writes nothing."""
    console = make_console()
    with config_dir(given.config_dir):
        if not names_study(given.words):
            preview.print_plan(console, _plan_experiments(given), num_slots=given.slots)
            return 0
        study, ledger = study_of(given.words, given.config_dir)
        study_launch.check_engine(study)
        if study.search is not None:
            preview.print_search(console, study, ledger, freeze=freeze_of(given.train_module), num_slots=given.slots)
            return 0
        code = read_code(given.train_module)
        planned = plan_study(study, ledger, train_module=given.train_module, code=code)
        preview.print_study(console, planned, num_slots=given.slots)
    return 0


def run(given: Namespace) -> int:
    """`run`: begins or continues."""
    with config_dir(given.config_dir):
        if names_study(given.words):
            return study_launch.launch_study(*study_of(given.words, given.config_dir), _how(given))
        freeze_of(given.train_module)  # registers config groups
        cells = experiments.experiment_cells(*split(given.words))
        for option in ("storage", "allow_drift"):
            if getattr(given, option):
                raise PlanError([f"--{option.replace('_', '-')} is for studies; leave it out"])
        return launch(cells, num_slots=given.slots, train_module=given.train_module, preload=given.preload)


def retry(given: Namespace) -> int:
    """`retry`: what failed, and nothing else."""
    with config_dir(given.config_dir):
        study, ledger = study_of(given.words, given.config_dir)
        return study_launch.retry_study(study, ledger, _how(given), diverged=given.diverged)


def status(given: Namespace) -> int:
    """`status`: of a study's runs, or of all in a root."""
    console = make_console()
    where, _, _ = _directories(given)
    if given.watch:
        watch(console, lambda: _rows(given))
        return 0
    rows = _rows(given)
    if given.json:
        print(json.dumps(as_json(rows), indent=2))
    elif rows:
        print_status(console, rows)
    else:
        print(f"there are no runs in {where}")
    return 0


def collect(given: Namespace) -> int:
    """`collect`: one table."""
    from sweeps.inspect.collect import collect, write_table

    where, found, cells = _directories(given)
    out = given.out or where / "runs.parquet"
    if out.suffix not in (".parquet", ".csv"):
        raise PlanError([f"--out {out} must end in .parquet or .csv"])
    with _frames_are_read():
        table = collect(found, cells=cells)
    write_table(table, out)
    print(f"{out}: {len(table)} runs, {len(table.columns)} columns")
    return 0


def compare(given: Namespace) -> int:
    """`compare`: two sides."""
    from sweeps.inspect.compare import find, print_comparison

    names = [word for word in given.words if not word.startswith("root=")]  # an arm's name may have a '=' in it
    roots = [word for word in given.words if word.startswith("root=")]
    among = None
    if len(names) == 3 and is_study(names[0]):
        study, ledger = study_of([names.pop(0), *roots], given.config_dir)
        root, among = ledger.root, [ledger.root / key for key in _cells(study, ledger)]
    else:
        root = root_of(roots, given.config_dir)
    if len(names) != 2:
        raise PlanError([f"compare takes two runs, cells or arms, got {', '.join(names)}"])
    first, second = (find(name, root, among=among) for name in names)
    with _frames_are_read():
        print_comparison(make_console(), (names[0], names[1]), first, second)
    return 0


def export(given: Namespace) -> int:
    """`export`: a study to be handed on."""
    from sweeps.inspect.export import export

    study, ledger = study_of(given.words, given.config_dir)
    found = [ledger.root / key for key in _cells(study, ledger)]
    if not found:
        raise PlanError([_not_launched(study, ledger)])
    out = given.out or Path(f"{study.name}.tar.gz")
    print(f"{out}: {export(ledger, found, out)} files")
    return 0


def gc(given: Namespace) -> int:
    """`gc`: what could go, and on request goes."""
    from sweeps.inspect.gc import find_waste, print_waste, remove, total

    where, found, _ = _directories(given)
    everything = not names_study(given.words)
    waste = find_waste(where if everything else where.parents[1], found, everything=everything)
    if not waste:
        print(f"{where} has nothing that could go")
        return 0
    print_waste(make_console(), waste)
    if given.yes:
        print(f"removed: {total(remove(waste))}")
    else:
        print(f"nothing was removed: {total(waste)} go with --yes")
    return 0


@contextmanager
def _frames_are_read() -> Iterator[None]:
    from analysis.io.parquet import FrameError

    try:
        yield
    except FrameError as error:
        raise runs.RunError(str(error)) from error


def _how(given: Namespace) -> How:
    return How(
        num_slots=given.slots,
        allow_drift=given.allow_drift,
        storage=given.storage,
        train_module=given.train_module,
        preload=given.preload,
    )


def _plan_experiments(given: Namespace) -> Plan:
    freeze = freeze_of(given.train_module)  # first, since it registers config groups
    return make_plan(experiments.experiment_cells(*split(given.words)), freeze)


def _rows(given: Namespace) -> list[Row]:
    _, found, cells = _directories(given)
    return status_rows(found, cells=cells)


def _directories(given: Namespace) -> tuple[Path, list[Path], Mapping[str, str]]:
    """A study's directory or a root, its run directories, and run key → cell for a study.

    Raises:
        PlanError: several names, or a study that was never launched there.
    """
    if names_study(given.words):
        study, ledger = study_of(given.words, given.config_dir)
        if ledger.study() is None:
            raise PlanError([_not_launched(study, ledger)])
        cells = _cells(study, ledger)
        return ledger.path, [ledger.root / key for key in cells], cells
    if len(given.words) != 1:
        raise PlanError([f"{given.command} takes one study or root, got {', '.join(given.words)}"])
    root = Path(given.words[0].removeprefix("root="))
    return root, run_dirs(root), {}


def _cells(study: Study, ledger: Ledger) -> dict[str, str]:
    """Run key → cell in words, of all that was frozen and that the study still has."""
    frozen = ledger.frozen()
    if study.search is None:
        wanted = [cell_id(settings, seed) for settings in settings_of(study) for seed in study.seeds]
        frozen = {cell: frozen[cell] for cell in wanted if cell in frozen}
    return {one.run: label(one.settings) for one in frozen.values()}


def _not_launched(study: Study, ledger: Ledger) -> str:
    return f"study {study.name} has not been launched in {ledger.root}; root=<directory> names another"
