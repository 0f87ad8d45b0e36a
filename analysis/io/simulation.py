"""A simulation's directory → frames; refuses what is not one, or not whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.io.parquet import FrameError

SCHEMA_VERSION = 1

# What is drawn; simulation.csv has more.
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
    """What was recorded, a frame for each file, and the settings of simulation.json."""

    path: Path
    settings: dict[str, Any]
    simulation: pd.DataFrame  # a row for each estimator and recorded step
    logit_updates: pd.DataFrame  # a row for each estimator and trajectory of the small behaviour space
    update_mass: pd.DataFrame  # a row for each estimator and success rate p of the first step's groups


def load_simulation(path: Path) -> Simulation:
    """Read a directory that `python -m agrae_lab.advantages.simulator out=<dir>` wrote.

    Raises:
        FrameError: no such directory, a file or column that is missing or unreadable, or another schema version.
    """
    settings = _read_settings(path / "simulation.json")
    return Simulation(path, settings, **{name: _read(path / f"{name}.csv", _COLUMNS[name]) for name in _COLUMNS})


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FrameError(
            f"{path.parent} holds no simulation: it has no {path.name}; "
            f"python -m agrae_lab.advantages.simulator out={path.parent} writes one"
        )
    try:
        settings = json.loads(path.read_text())
    except ValueError as error:
        raise FrameError(f"{path} is not whole: {error}; run the simulation again") from error
    version = settings.get("schema_version") if isinstance(settings, dict) else None
    if version != SCHEMA_VERSION:
        raise FrameError(
            f"{path} has schema version {version}, but this analysis reads version {SCHEMA_VERSION}; "
            "run the simulation again"
        )
    if missing := [name for name in _SETTINGS if name not in settings]:
        raise FrameError(f"{path} lacks {', '.join(missing)}; run the simulation again")
    return settings


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise FrameError(f"{path} cannot be read: {error}; run the simulation again") from error
    if missing := [name for name in columns if name not in frame.columns]:
        raise FrameError(f"{path} lacks the columns {', '.join(missing)}; run the simulation again")
    return frame
