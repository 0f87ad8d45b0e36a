"""A study against what is on disk: its cells, which of their runs are still to do, and what has changed meanwhile."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agrae_lab import runs
from sweeps.planning.drift import Code, code_changes, config_changes
from sweeps.planning.freeze import Plan, freeze_all, plan_runs
from sweeps.planning.glance import glance
from sweeps.planning.study_directory import Frozen, Ledger, cell_id
from sweeps.spec.axes import Settings, label, settings_of
from sweeps.spec.compose import Composer
from sweeps.spec.experiments import Cell
from sweeps.spec.study import Study


@dataclass(frozen=True)
class StudyPlan:
    """What launching a study comes down to. Making it writes nothing."""

    study: Study
    ledger: Ledger
    cells: tuple[Frozen, ...]  # every cell with every seed, in the order in which the runs are to start
    planned: tuple[runs.Run, ...]  # the different runs that they come to
    num_new: int  # cells that were not frozen before
    drift: tuple[str, ...]  # what has changed since the others were

    @cached_property
    def run_of(self) -> Mapping[str, runs.Run]:
        """Run key → run."""
        return {run.key: run for run in self.planned}

    @cached_property
    def plan(self) -> Plan:
        """The runs, under the study's name for analysis."""
        keys = tuple(dict.fromkeys(cell.run for cell in self.cells))
        arms = {run.key: run.arm for run in self.planned if run.key in keys}
        manifest = runs.Experiment(self.study.name, self.study.question, keys, arms)
        return Plan(self.planned, ((self.ledger.root, manifest),))


def plan_study(
    study: Study, ledger: Ledger, *, train_module: str, code: Code, again: Collection[str] = ()
) -> StudyPlan:
    """Hold every cell that is not finished to what it was frozen as, and compose those that are new.

    A cell that was frozen goes on as it was, whatever the YAML says now; only where its problems have changed, with
    which it could not go on, is it a new run. Finished cells alone are not composed at all.

    Args:
        train_module: has `freeze` (see freeze.py), imported only if something is to be composed: torch takes seconds.
        again: keys of runs that are to be executed again, whatever became of them.

    Raises:
        PlanError: a cell is bad, or the ledger or a run directory belongs to something else.
    """
    points = [(settings, seed) for seed in study.seeds for settings in settings_of(study)]  # whole replicates first
    ledger.check_same(study, [cell_id(*point) for point in points])
    known = _on_disk(ledger)
    before = [known.get(cell_id(*point)) for point in points]
    found = {one.run: _reopened(glance(ledger.root / one.run), again) for one in before if one is not None}
    over = [one is not None and found[one.run].status in runs.FINAL_STATUSES for one in before]
    if all(over) and ledger.study() == study:
        return StudyPlan(study, ledger, tuple(filter(None, before)), tuple(found.values()), 0, ())
    freeze = importlib.import_module(train_module).freeze  # and registers config groups on import
    configs = freeze_all(_cells(study, points, root=ledger.root), freeze)
    codes = ledger.codes()
    held = [
        one  # what is finished has been mixed with today's code already where some cell is frozen under it
        for one in filter(None, before)
        if found[one.run].status not in runs.FINAL_STATUSES or code.fingerprint not in codes
    ]
    drift = dict.fromkeys(code_drift(held, codes, code))
    cells, todo = [], []
    for point, today, frozen in zip(points, configs, before, strict=True):
        config, changes = (today, []) if frozen is None else _as_frozen(today, frozen, ledger.root)
        drift |= dict.fromkeys(changes)
        if frozen is not None and found[frozen.run].status in runs.FINAL_STATUSES and not _asks_more(config, frozen):
            cells.append(frozen)
        else:
            cells.append(_frozen(point, config, code))
            todo.append(config)
    planned = found | {run.key: _reopened(run, again) for run in plan_runs(todo)}
    chosen = tuple(planned[key] for key in dict.fromkeys(cell.run for cell in cells))
    return StudyPlan(study, ledger, tuple(cells), chosen, before.count(None), tuple(drift))


def _reopened(run: runs.Run, again: Collection[str]) -> runs.Run:
    return replace(run, meta={**run.meta, "status": "pending"}) if run.key in again else run


def code_drift(cells: Iterable[Frozen], codes: Mapping[str, Code], now: Code) -> list[str]:
    """How the code of now differs from what the cells were frozen under, one sentence each."""
    fingerprints = dict.fromkeys(cell.code for cell in cells)
    return [sentence for fingerprint in fingerprints for sentence in code_changes(codes[fingerprint], now)]


def _on_disk(ledger: Ledger) -> dict[str, Frozen]:
    """Cells whose frozen config is still there."""
    return {cell: one for cell, one in ledger.frozen().items() if (ledger.root / one.run / "config.yaml").is_file()}


def _cells(study: Study, points: Sequence[tuple[Settings, int]], *, root: Path) -> list[Cell]:
    composer = Composer(study.base)
    common = {"root": str(root), "experiment": {"name": study.name, "question": study.question or None}}

    def compose(settings: Settings, seed: int) -> DictConfig:
        config = composer.compose({**settings, "seed": seed})
        for key, value in common.items():
            OmegaConf.update(config, key, value, merge=True)
        return config

    return [
        Cell(f"{study.name}: {label(settings)} seed={seed}", partial(compose, settings, seed))
        for settings, seed in points
    ]


_FOUND = ("data_fingerprints", "model_fingerprint", "code")  # with others than these a run does not go on


def _as_frozen(config: dict[str, Any], frozen: Frozen, root: Path) -> tuple[dict[str, Any], list[str]]:
    """The config that a cell goes on with, and in what today's differs from it."""
    if runs.config_hash(config) == frozen.config_hash:
        return config, []
    was = runs.read_run(root / frozen.run).config
    today = {key: config[key] for key in (*runs.VOLATILE, *_FOUND) if key in config}
    return {**was, **today}, config_changes(was, config)


def _asks_more(config: Mapping[str, Any], frozen: Frozen) -> bool:
    """Whether a config asks for evaluations that the finished run of its cell lacks."""
    same = runs.config_hash(config) == frozen.config_hash
    return same and not runs.is_finished(runs.read_run(runs.run_dir_for(config)), config)


def _frozen(point: tuple[Settings, int], config: Mapping[str, Any], code: Code) -> Frozen:
    run = runs.Run(runs.run_dir_for(config), dict(config))
    return Frozen(*point, run.key, runs.config_hash(config), code.fingerprint)
