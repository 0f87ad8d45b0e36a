"""Reader of the files of a simulation: `python -m agrae_lab.advantages.simulator` writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.io.parquet import FrameError

SCHEMA_VERSION = 1

# Columns that figures need; simulation.csv has more.
_COLUMNS = {
    "simulation": ("estimator", "step", "pass_at_1", "pass_at_64", "entropy", "unsolved_share", "omega"),
    "logit_updates": (
        "estimator", "trajectory", "num_draws", "correct", "probability", "update", "update_closed_form"
    ),
    "update_mass": ("estimator", "p", "groups", "abs_sum", "abs_sum_min", "abs_sum_max"),
}  # fmt: skip
_SETTINGS = ("seed", "num_prompts", "num_trajectories", "num_generations", "learning_rate", "estimators")


@dataclass(frozen=True)
class Simulation:
    """Records of a simulation: one frame for each file, and the settings of simulation.json."""

    path: Path
    settings: dict[str, Any]
    simulation: pd.DataFrame  # one row per estimator and recorded step
    logit_updates: pd.DataFrame  # one row per estimator and trajectory of the small behaviour space
    update_mass: pd.DataFrame  # one row per estimator and success rate p of the first step's groups


def load_simulation(path: Path) -> Simulation:
    """Return the records of a simulation's directory.

    Raises:
        FrameError: the directory, a file or a column is missing or unreadable, or the schema version differs.
    """
    settings = _read_settings(path / "simulation.json")
    return Simulation(path, settings, **{name: _read_table(path / f"{name}.csv", _COLUMNS[name]) for name in _COLUMNS})


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FrameError(
            f"{path.parent}: no simulation here, {path.name} is missing; "
            f"write one with python -m agrae_lab.advantages.simulator out={path.parent}"
        )
    try:
        settings = json.loads(path.read_text())
    except ValueError as error:
        raise FrameError(f"{path}: damaged JSON ({error}); run the simulation again") from error
    version = settings.get("schema_version") if isinstance(settings, dict) else None
    if version != SCHEMA_VERSION:
        raise FrameError(
            f"{path}: schema version {version}, but this analysis reads version {SCHEMA_VERSION}; "
            "run the simulation again"
        )
    if missing := [name for name in _SETTINGS if name not in settings]:
        raise FrameError(f"{path}: the settings {', '.join(missing)} are missing; run the simulation again")
    return settings


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise FrameError(f"{path}: cannot be read ({error}); run the simulation again") from error
    if missing := [name for name in columns if name not in frame.columns]:
        raise FrameError(f"{path}: the columns {', '.join(missing)} are missing; run the simulation again")
    return frame
