"""Plan of a study: its cells compared with the runs on disk, the unfinished runs, and the drift since the freeze."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agrae_lab import runs
from sweeps.planning.drift import Code, code_changes, config_changes
from sweeps.planning.factors import warning_of_runs
from sweeps.planning.freeze import Plan, check_comparison, freeze_all, plan_runs
from sweeps.planning.run_dirs import read_run_meta
from sweeps.planning.study_directory import FrozenCell, StudyDirectory, cell_id
from sweeps.spec.axes import Settings, label, study_cells
from sweeps.spec.compose import Composer
from sweeps.spec.experiments import Cell
from sweeps.spec.objectives import check_study_metrics
from sweeps.spec.read import as_data
from sweeps.spec.study import Study


@dataclass(frozen=True)
class StudyPlan:
    """Cells and runs of a study, and the drift since its freeze. Nothing is written."""

    study: Study
    directory: StudyDirectory
    cells: tuple[FrozenCell, ...]  # every cell and seed, in the order in which the runs start
    all_runs: tuple[runs.Run, ...]  # the runs of these cells, each once (cells with equal configs share a run)
    num_new: int  # pairs of cell and seed that are frozen for the first time
    drift: tuple[str, ...]  # a sentence for each change since the cells that are not new were frozen

    @cached_property
    def run_by_key(self) -> Mapping[str, runs.Run]:
        """Return the mapping from run key to run."""
        return {run.key: run for run in self.all_runs}

    @property
    def warning(self) -> str | None:
        """Return the warning of arms that differ from the reference in several factors, before runs start."""
        return warning_of_runs(self.all_runs, self.study.comparison) if self.launch_plan.todo else None

    @cached_property
    def launch_plan(self) -> Plan:
        """Return the runs with a manifest under the study's name, which analysis reads."""
        arms = {run.key: run.arm for run in self.all_runs}
        manifest = runs.Experiment(self.study.name, self.study.question, tuple(arms), arms, self.study.comparison)
        return Plan(self.all_runs, ((self.directory.root, manifest),))


def plan_study(
    study: Study, directory: StudyDirectory, *, train_module: str, code: Code, retry: Collection[str] = ()
) -> StudyPlan:
    """Compare the frozen cells with today's configs, and compose the new ones.

    A frozen cell keeps the settings of its training, whatever the YAML says now; sections that do not change the
    weights follow the YAML while those settings are today's. Changed problems, start model or training code make an
    unfinished cell a new run, since a run cannot resume under others. An unchanged study of finished cells is not
    composed at all.

    Args:
        train_module: module with `freeze` (see freeze.py), imported only to compose a cell: torch takes seconds.
        retry: keys of runs to execute again, whatever their status.

    Raises:
        PlanError: a bad cell, or a study directory or run directory of something else.
    """
    points = [(settings, seed) for seed in study.seeds for settings in study_cells(study)]  # seed by seed
    directory.check_same(study, [cell_id(*point) for point in points])
    frozen_by_id = _frozen_cells_on_disk(directory)
    frozen_cells = [frozen_by_id.get(cell_id(*point)) for point in points]  # None: a new cell and seed
    run_by_key = {
        cell.run: _pending_if_retried(read_run_meta(directory.root / cell.run), retry)
        for cell in frozen_cells
        if cell is not None
    }
    is_finished = [cell is not None and run_by_key[cell.run].status in runs.FINAL_STATUSES for cell in frozen_cells]
    if all(is_finished) and directory.study() == study:
        arms = _known_arms(directory.root, study.name)
        all_runs = tuple(run.in_arm(arms.get(run.key, run.arm)) for run in run_by_key.values())
        return StudyPlan(study, directory, tuple(filter(None, frozen_cells)), all_runs, 0, ())
    freeze = importlib.import_module(train_module).freeze  # the import registers config groups
    configs = freeze_all(cells_to_compose(study, points, root=directory.root), freeze)
    check_study_metrics(study, configs)
    recorded = [
        None if frozen is None else _recorded_config(today, frozen, directory.root)
        for today, frozen in zip(configs, frozen_cells, strict=True)
    ]
    drift = _drift(frozen_cells, is_finished, recorded, configs, codes=directory.codes(), now=code)
    cells, todo = [], []
    for point, today, frozen, was, finished in zip(points, configs, frozen_cells, recorded, is_finished, strict=True):
        config = _config_to_run(today, was)
        if frozen is not None and finished and not _lacks_evaluations(config, frozen):
            cells.append(frozen)
        else:
            cells.append(_freeze_cell(point, config, code))
            todo.append(config)
    run_by_key |= {run.key: _pending_if_retried(run, retry) for run in plan_runs(todo)}
    arms = {cell.run: today["arm"] for cell, today in zip(reversed(cells), reversed(configs), strict=True)}
    all_runs = tuple(run_by_key[key].in_arm(arms[key]) for key in dict.fromkeys(cell.run for cell in cells))
    check_comparison(study.comparison, (run.arm for run in all_runs), where=study.name)
    return StudyPlan(study, directory, tuple(cells), all_runs, frozen_cells.count(None), drift)


def _pending_if_retried(run: runs.Run, retry: Collection[str]) -> runs.Run:
    """Return the run, as pending if its key is in `retry`."""
    return replace(run, meta={**run.meta, "status": "pending"}) if run.key in retry else run


def _known_arms(root: Path, name: str) -> Mapping[str, str]:
    """Return run key → arm of a study that was launched before."""
    manifest = root / "experiments" / f"{name}.json"
    return runs.Experiment.read(manifest).arms if manifest.is_file() else {}


def code_drift(cells: Iterable[FrozenCell], codes: Mapping[str, Code], now: Code) -> list[str]:
    """Return a sentence for each difference between today's code and the codes that the cells were frozen under."""
    fingerprints = dict.fromkeys(cell.code for cell in cells)
    return [sentence for fingerprint in fingerprints for sentence in code_changes(codes[fingerprint], now)]


def _frozen_cells_on_disk(directory: StudyDirectory) -> dict[str, FrozenCell]:
    """Return the frozen cells whose config.yaml still exists, by cell id."""
    return {
        identifier: cell
        for identifier, cell in directory.frozen_cells().items()
        if (directory.root / cell.run / "config.yaml").is_file()
    }


def cells_to_compose(study: Study, points: Sequence[tuple[Settings, int]], *, root: Path) -> list[Cell]:
    """Return the `Cell` to compose of each pair of settings and seed."""
    composer = Composer(study.shared_overrides)
    experiment = {"name": study.name, "question": study.question or None}
    if study.comparison is not None:
        experiment |= {key: as_data(study)[key] or None for key in asdict(study.comparison)}
    common = {"root": str(root), "experiment": experiment}

    def compose(settings: Settings, seed: int) -> DictConfig:
        config = composer.compose({**settings, "seed": seed})
        for key, value in common.items():
            OmegaConf.update(config, key, value, merge=True)
        return config

    return [
        Cell(f"{study.name}: {label(settings)} seed={seed}", partial(compose, settings, seed))
        for settings, seed in points
    ]


_FINGERPRINTS = ("data_fingerprints", "model_fingerprint", "code")  # a run resumes only if these are unchanged


def _recorded_config(today: dict[str, Any], frozen: FrozenCell, root: Path) -> dict[str, Any]:
    """Return today's config if a frozen cell would be trained by it as it was, else the one of its run."""
    return today if runs.training_hash(today) == frozen.config_hash else dict(runs.read_run(root / frozen.run).config)


def _config_to_run(today: dict[str, Any], was: dict[str, Any] | None) -> dict[str, Any]:
    """Return today's config for a new cell; for a frozen one its own, with what may change from launch to launch."""
    if was is None or was is today:
        return today
    return {**was, **{key: today[key] for key in (*runs.NOT_RESULT_SECTIONS, *_FINGERPRINTS) if key in today}}


def _drift(
    cells: Sequence[FrozenCell | None],
    is_finished: Sequence[bool],
    recorded: Sequence[dict[str, Any] | None],
    configs: Sequence[dict[str, Any]],
    *,
    codes: Mapping[str, Code],
    now: Code,
) -> tuple[str, ...]:
    """Return a sentence for each change since the cells were frozen; all sequences have an entry for each cell.

    Finished cells keep what made them. For these, code or problems that some cell was frozen under are no drift: an
    earlier launch has accepted them.
    """
    code_is_known = now.fingerprint in codes
    compared = [c for c, finished in zip(cells, is_finished, strict=True) if c and not (finished and code_is_known)]
    fingerprints = ({key: config[key] for key in _FINGERPRINTS if key in config} for config in recorded if config)
    leaves = (leaf for sections in fingerprints for leaf in runs.leaves(sections))
    known = {(key, repr(value)) for key, value in leaves if not key.startswith("code.")}
    accepted = known | ({("code", "")} if code_is_known else set())
    sentences = code_drift(compared, codes, now)
    for was, today, finished in zip(recorded, configs, is_finished, strict=True):
        if was is not None and was is not today:
            sentences += config_changes(was, today, accepted=accepted if finished else ())
    return tuple(dict.fromkeys(sentences))


def _lacks_evaluations(config: Mapping[str, Any], frozen: FrozenCell) -> bool:
    """Return True if the config asks for evaluations that the finished run of its cell lacks."""
    same = runs.training_hash(config) == frozen.config_hash
    return same and not runs.is_finished(runs.read_run(runs.run_dir_for(config)), config)


def _freeze_cell(point: tuple[Settings, int], config: Mapping[str, Any], code: Code) -> FrozenCell:
    run = runs.Run(runs.run_dir_for(config), dict(config))
    return FrozenCell(*point, run.key, runs.training_hash(config), code.fingerprint)
