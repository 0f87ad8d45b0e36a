"""Commands of `python -m sweeps`: each takes the parsed command line and returns the exit code."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agrae_lab import runs
from sweeps import engines
from sweeps.errors import PlanError
from sweeps.execution.display import make_console
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.slots import check_installed, check_num_slots
from sweeps.inspect import preview
from sweeps.inspect.accuracy import print_accuracy
from sweeps.inspect.status import UNREADABLE, Row, as_json, cells_of_root, print_status, status_rows, watch
from sweeps.launch import protocol as protocol_launch
from sweeps.launch import study as study_launch
from sweeps.launch.cells import ALL_DONE, SOME_NOT_DONE, launch, load_freeze
from sweeps.launch.study import LaunchOptions
from sweeps.planning.drift import read_code
from sweeps.planning.freeze import Plan, make_plan
from sweeps.planning.plan import plan_study
from sweeps.planning.run_dirs import list_run_dirs, readable_runs
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec import experiments
from sweeps.spec.axes import label
from sweeps.spec.compose import config_dir
from sweeps.spec.read import is_study
from sweeps.spec.study import Study
from sweeps.targets import check_root_to_read, find_root, find_study, named_root, names_study, split_words


def plan(given: Namespace) -> int:
    """Preview a launch; start and write nothing."""
    console = make_console()
    check_num_slots(given.slots)
    with config_dir(given.config_dir, given.user_configs):
        if not names_study(given.words):
            freeze = load_freeze(given.train_module)  # first: it registers config groups
            cells = experiments.experiment_cells(*split_words(given.words))
            engines.load(given.engine or "local").check({}, RetryPolicy())
            launch_plan = make_plan(cells, freeze)
            _check_installed(launch_plan, given.engine or "local")
            preview.print_plan(console, launch_plan, num_slots=given.slots, engine=given.engine or "local")
            return 0
        study, directory = _study_to_launch(given)
        study_launch.check_engine(study)
        if study.protocol is not None:
            protocol_launch.print_plan(study, directory, train_module=given.train_module)
            return 0
        if study.search is not None:
            preview.print_search(
                console, study, directory, freeze=load_freeze(given.train_module), num_slots=given.slots
            )
            return 0
        code = read_code(given.train_module)
        planned = plan_study(study, directory, train_module=given.train_module, code=code)
        _check_installed(planned.launch_plan, study.resources.engine)
        preview.print_study(console, planned, num_slots=given.slots)
    return 0


def _check_installed(launch_plan: Plan, engine: str) -> None:
    """Check that this machine has the packages of the unfinished runs, if it is to execute them."""
    if engine == "local":
        check_installed(run.config for run in launch_plan.todo)


def run(given: Namespace) -> int:
    """Start or resume a study or experiments."""
    with config_dir(given.config_dir, given.user_configs):
        if names_study(given.words):
            study, directory = _study_to_launch(given)
            _refuse_protocol(study)
            code = study_launch.launch_study(study, directory, _launch_options(given))
            if study.search is None:
                found = readable_runs(directory.root / key for key in _cells(study, directory))
                print_accuracy(make_console(), found, experiment=study.name)
            return code
        load_freeze(given.train_module)  # registers config groups
        cells = experiments.experiment_cells(*split_words(given.words))
        for option in ("storage", "allow_drift"):
            if getattr(given, option):
                raise PlanError([f"--{option.replace('_', '-')} is for studies; leave it out"])
        options = {"num_slots": given.slots, "engine": given.engine or "local"}
        return launch(cells, **options, train_module=given.train_module, preload=given.preload)


def protocol(given: Namespace) -> int:
    """Tune, freeze and confirm a study with a protocol, or resume it."""
    with config_dir(given.config_dir, given.user_configs):
        study, directory = _study_to_launch(given)
        if study.protocol is None:
            raise PlanError([f"study {study.name} has no protocol; add one (docs/sweeps.md), or use `run`"])
        return protocol_launch.launch_protocol(study, directory, _launch_options(given))


def retry(given: Namespace) -> int:
    """Execute the failed runs of a study again, and no others."""
    with config_dir(given.config_dir, given.user_configs):
        study, directory = _study_to_launch(given)
        _refuse_protocol(study)
        return study_launch.retry_study(study, directory, _launch_options(given), diverged=given.diverged)


def status(given: Namespace) -> int:
    """Print the status of a study's runs, or of all runs in a root; return 1 if one cannot be read."""
    console, inspected = make_console(), _inspected(given)
    rows = watch(console, lambda: _rows(_inspected(given))) if given.watch else _rows(inspected)
    if given.json:
        print(json.dumps(as_json(rows), indent=2))
    elif not rows:
        print(f"there are no runs in {inspected.path}")
    elif not given.watch:  # which has shown them
        print_status(console, rows)
    return _report_unreadable(str(row.error) for row in rows if row.status == UNREADABLE)


def collect(given: Namespace) -> int:
    """Write all runs as one table; return 1 if one cannot be read."""
    from sweeps.inspect.collect import collect, write_table

    inspected = _inspected(given)
    out = given.out or inspected.path / "runs.parquet"
    if out.suffix not in (".parquet", ".csv"):
        raise PlanError([f"--out {out} must end in .parquet or .csv"])
    if not inspected.run_dirs:
        raise PlanError([f"there are no runs in {inspected.path}, so there is no table to write"])
    with _frame_errors_as_run_errors():
        table = collect(inspected.run_dirs, cells=inspected.cells)
    write_table(table, out)
    print(f"{out}: {len(table)} runs, {len(table.columns)} columns")
    return _report_unreadable(table.loc[table["status"] == UNREADABLE, "error"])


def _report_unreadable(errors: Iterable[str]) -> int:
    """Print why runs cannot be read, in full, and return the exit code."""
    found = list(errors)
    for error in found:
        print(error, file=sys.stderr)
    return SOME_NOT_DONE if found else ALL_DONE


def compare(given: Namespace) -> int:
    """Compare two runs, cells or arms."""
    from sweeps.inspect.compare import find, print_comparison

    roots = [word for word in given.words if named_root(word) is not None]
    names = [word for word in given.words if word not in roots]  # not split_words: an arm's name may contain '='
    among = None
    if len(names) == 3 and is_study(names[0]):
        study, directory = find_study([names.pop(0), *roots], given.config_dir)
        root, among = directory.root, [directory.root / key for key in _cells(study, directory)]
    else:
        root = find_root(roots, given.config_dir)
    if len(names) != 2:
        raise PlanError([f"compare needs two runs, cells or arms, got {', '.join(names) or 'none'}"])
    if not all(Path(name).is_dir() for name in names):
        check_root_to_read(root)
    first, second = (find(name, root, among=among) for name in names)
    with _frame_errors_as_run_errors():
        print_comparison(make_console(), (names[0], names[1]), first, second)
    return 0


def export(given: Namespace) -> int:
    """Copy a study without checkpoints and models."""
    from sweeps.inspect.export import export

    study, directory = find_study(given.words, given.config_dir)
    found = [directory.root / key for key in _cells(study, directory)]
    if not found:
        raise PlanError([_not_launched(study, directory)])
    out = given.out or Path(f"{study.name}.tar.gz")
    print(f"{out}: {export(directory, found, out)} files")
    return 0


def gc(given: Namespace) -> int:
    """List removable files, and remove them on request."""
    from sweeps.inspect.gc import find_removable, print_removable, remove, total

    inspected = _inspected(given)
    everything = inspected.path == inspected.root
    removable = find_removable(inspected.root, inspected.run_dirs, everything=everything)
    if not removable:
        print(f"{inspected.path} has nothing to remove")
        return 0
    print_removable(make_console(), removable)
    if given.yes:
        print(f"removed: {total(remove(removable))}")
    else:
        print(f"nothing was removed; --yes removes {total(removable)}")
    return 0


@contextmanager
def _frame_errors_as_run_errors() -> Iterator[None]:
    from analysis.io.parquet import FrameError

    try:
        yield
    except FrameError as error:
        raise runs.RunError(str(error)) from error


def _refuse_protocol(study: Study) -> None:
    if study.protocol is not None:
        raise PlanError([f"study {study.name} has a protocol; start or resume it by `python -m sweeps protocol`"])


def _study_to_launch(given: Namespace) -> tuple[Study, StudyDirectory]:
    """Return the study that the words name, on the engine of --engine if that is given, and its directory."""
    study, directory = find_study(given.words, given.config_dir)
    if given.engine not in (None, study.resources.engine):  # another engine has other options
        study = replace(study, resources=replace(study.resources, engine=given.engine, options={}))
    return study, directory


def _launch_options(given: Namespace) -> LaunchOptions:
    return LaunchOptions(
        num_slots=given.slots,
        allow_drift=given.allow_drift,
        storage=getattr(given, "storage", None),
        train_module=given.train_module,
        preload=given.preload,
    )


@dataclass(frozen=True)
class _Inspected:
    """Study or root that a command inspects, and its run directories."""

    root: Path
    path: Path  # the study's directory, or the root
    run_dirs: list[Path]
    cells: Mapping[str, str]  # run key → cell label


def _rows(inspected: _Inspected) -> list[Row]:
    return status_rows(inspected.run_dirs, cells=inspected.cells)


def _inspected(given: Namespace) -> _Inspected:
    """Return the study or the root that the words name.

    Raises:
        PlanError: several names, a root that does not exist, or a study that was never launched there.
    """
    if names_study(given.words):
        study, directory = find_study(given.words, given.config_dir)
        if directory.study() is None:
            raise PlanError([_not_launched(study, directory)])
        cells = _cells(study, directory)
        return _Inspected(directory.root, directory.path, [directory.root / key for key in cells], cells)
    if len(given.words) != 1:
        raise PlanError([f"{given.command} needs one study or root, got {', '.join(given.words)}"])
    (word,) = given.words
    root = Path(word) if named_root(word) is None else find_root([word], given.config_dir)
    check_root_to_read(root)
    found = list_run_dirs(root)
    return _Inspected(root, root, found, cells_of_root(found) if given.command == "status" else {})


def _cells(study: Study, directory: StudyDirectory) -> dict[str, str]:
    """Return run key → cell label, of all frozen cells that the study still has."""
    return {cell.run: label(cell.settings) for cell in directory.frozen_cells_of(study)}


def _not_launched(study: Study, directory: StudyDirectory) -> str:
    return f"study {study.name} has not been launched in {directory.root}; name its root by root=<directory>"
