"""A study: the runs of one experiment, grouped by arm. A broken run is named and left out, never repaired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from agrae_lab.runs import Comparison, Experiment, Run, RunError, leaves, read_run
from analysis.io.configurations import group_by_configuration
from analysis.io.parquet import REMEDY, FrameError

Answer = TypeVar("Answer")

BASE = "base"
ACCURACY = "accuracy"

_SETTING = ("world", "train", "task", "model", "evaluation")  # sections of a config beside the method and the seed

# Config keys that figures, claims and reports need.
_LINKS = ("advantage.base.name", "advantage.sample.name", "advantage.group.name")
_MOST_RUNS = 3  # that a sentence names
_NEEDED = ("arm", "seed", "advantage.name", "advantage.flavor", *_LINKS)


@dataclass(frozen=True)
class View:
    """Settings of the analysis of a study. They change no recorded value."""

    intersect: bool = False  # compare arms on the problems and the number of samples that all of them have
    smooth: int | None = None  # steps of a centred moving mean, drawn over the recorded line
    published: str | None = None  # "<model>" or "<model>/<benchmark>" of the paper, shown beside our values
    seed: int = 0  # of every random draw


@dataclass(frozen=True)
class Study:
    """Runs that answer one question, grouped by arm. Runs of one arm differ in their seed only."""

    name: str
    question: str
    runs: tuple[Run, ...]
    not_started: tuple[str, ...] = ()  # one sentence for each run that has not started
    refused: tuple[str, ...] = ()  # one sentence for each run that cannot be read
    view: View = View()
    comparison: Comparison = field(default_factory=Comparison)

    @property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return self.comparison.reference

    @property
    def models(self) -> list[str]:
        """Names of the models that the runs start from."""
        return sorted(set(_model_names(self.runs).values()))

    @cached_property
    def arms(self) -> dict[str, tuple[Run, ...]]:
        """Arm → its runs by seed. Two configs under one name are two arms, named by what differs: never pooled."""
        return group_by_configuration(self.runs)

    @property
    def in_several_configurations(self) -> list[str]:
        """Arms of which the study has several configurations."""
        return list(dict.fromkeys(runs[0].arm for arm, runs in self.arms.items() if arm != runs[0].arm))

    def without(self, path: Path) -> Study:
        """Return the study without the run in that directory."""
        return replace(self, runs=tuple(run for run in self.runs if run.path != path))

    @property
    def unfinished(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.status != "done")

    @property
    def benchmarks(self) -> list[str]:
        """Benchmarks that at least one run has been evaluated on."""
        return sorted({name for run in self.runs for name in run.benchmarks()})

    @cached_property
    def settings_differ(self) -> list[str]:
        """One sentence for each setting in which the runs differ, besides the method (arm, advantage, loss, seed)."""
        flat = {run.key: dict(leaves(run.config)) for run in self.runs}
        shared = ("train.", "task.", "model.", "evaluation.")
        keys = sorted({key for config in flat.values() for key in config if key.startswith(shared)})
        sentences = []
        if several := self.in_several_configurations:
            names = ", ".join(several)
            sentences.append(f"several configurations of {names}: each is drawn by itself, and no claim uses them")
        for key in keys:
            by_value: dict[str, list[str]] = {}
            for run_key, config in flat.items():
                by_value.setdefault(str(config.get(key)), []).append(run_key)
            if len(by_value) > 1:
                parts = (f"{value} in {_listed(run_keys)}" for value, run_keys in by_value.items())
                sentences.append(f"{key} is not the same in all runs: {'; '.join(parts)}")
        return sentences


def _listed(run_keys: Sequence[str]) -> str:
    return ", ".join(run_keys) if len(run_keys) <= _MOST_RUNS else f"{len(run_keys)} runs"


def load_study(root: Path, experiment: Experiment) -> Study:
    """Return the study of an experiment. Missing runs are named in `not_started`, unreadable ones in `refused`."""
    runs, not_started, refused = [], [], []
    for key in experiment.runs:
        if not (root / key).is_dir():
            not_started.append(f"{key} has not started: there is no such directory under {root}")
            continue
        try:
            run = read_run(root / key)
            _check_config(run)
            # two experiments may share a run and give its arm different names
            runs.append(run.in_arm(experiment.arms.get(key, run.arm)))
        except (RunError, FrameError) as error:
            refused.append(str(error))
    study = Study(experiment.name, experiment.question, tuple(runs), tuple(not_started), tuple(refused))
    return replace(study, comparison=experiment.comparison or Comparison())


def on_sound_runs(compute: Callable[[Study], Answer], study: Study) -> tuple[Answer, list[str]]:
    """Return `compute(study)` on the runs without broken files, and one sentence for each run that was left out.

    Raises:
        FrameError: the fault is not that of a single run.
    """
    refused: list[str] = []
    while True:
        try:
            return compute(study), refused
        except FrameError as error:
            if error.run is None or error.run not in {run.path for run in study.runs}:
                raise
            refused.append(f"{error.run.parent.name}/{error.run.name} is left out: {error}")
            study = study.without(error.run)


def _check_config(run: Run) -> None:
    """Refuse a run whose config lacks a key that the analysis needs.

    Raises:
        FrameError: a key is missing.
    """
    if missing := [key for key in _NEEDED if key not in dict(leaves(run.config))]:
        raise FrameError(f"{run.path / 'config.yaml'}: the keys {', '.join(missing)} are missing; {REMEDY}")


def _model_names(runs: Sequence[Run]) -> dict[str, str]:
    """Return model.path → display name: as many last parts of the path as tell the models apart.

    Paths whose files have the same fingerprint hold one model, that of the first.
    """
    contents: dict[str, str] = {}  # a run that has not loaded its model has no fingerprint
    for run in runs:
        contents[_model_path(run)] = run.meta.get("model_fingerprint") or contents.get(_model_path(run), "")
    first: dict[str, Path] = {}
    for path, content in contents.items():
        first.setdefault(content or path, Path(path))
    lengths = range(1, 1 + max((len(path.parts) for path in first.values()), default=1))
    shortened = ({model: str(Path(*path.parts[-length:])) for model, path in first.items()} for length in lengths)
    names = next(names for names in shortened if len(set(names.values())) == len(names))
    return {path: names[content or path] for path, content in contents.items()}


def _model_path(run: Run) -> str:
    return str(Path(run.config.get("model", {}).get("path", "unknown")))


def reward_name(run: Run) -> str:
    """Return the name of a run's reward: ACCURACY (0 or 1), or the mixture of components named in task.reward."""
    return str((run.config.get("task") or {}).get("reward") or ACCURACY)


def has_binary_rewards(run: Run) -> bool:
    """Return whether a run's rewards are 0 and 1, for which alone closed forms of Σ|A| hold."""
    return reward_name(run) == ACCURACY and (run.config.get("train") or {}).get("overlong_share") is None


def split_by_model(study: Study) -> list[Study]:
    """Return one study per start model: Pass@k of different models is neither pooled nor compared."""
    names = _model_names(study.runs)
    if len(study.models) < 2:
        return [study]
    chosen = {model: tuple(run for run in study.runs if names[_model_path(run)] == model) for model in study.models}
    return [replace(study, name=f"{study.name}/{model}", runs=runs) for model, runs in chosen.items()]


def by_setting(study: Study) -> dict[str, Study]:
    """Return the part of the study under each setting: `num_prompts 64, temperature 0.7`, or "" for a single one.

    A setting is everything but the method and the seed.
    """
    flat = {run.key: dict(leaves({name: run.config.get(name) for name in _SETTING})) for run in study.runs}
    keys = dict.fromkeys(key for setting in flat.values() for key in setting)
    varied = [key for key in keys if len({str(setting.get(key)) for setting in flat.values()}) > 1]
    parts: dict[str, list[Run]] = {}
    for run in study.runs:
        words = (f"{key.rpartition('.')[2]} {flat[run.key].get(key, '–')}" for key in varied)
        parts.setdefault(", ".join(words), []).append(run)
    return {name: replace(study, runs=tuple(runs)) for name, runs in parts.items()}


@dataclass(frozen=True)
class _RunAtStep(Run):
    """A run whose evaluations are those of the policy after a given step."""

    step: int = 0

    def samples_path(self, benchmark: str) -> Path:
        return self.step_samples_path(self.step, benchmark)


def at_step(study: Study, step: int) -> Study:
    """Return the study with the evaluations of the policies after a step (evaluation.at_steps)."""
    runs = (_RunAtStep(run.path, run.config, run.meta, step) for run in study.runs)
    return replace(study, runs=tuple(runs))


def merge_studies(studies: Sequence[Study], *, name: str, question: str) -> Study:
    """Return one study with the runs of several, each once; its reference is theirs if all have the same.

    Where studies give a run to arms of different names, all runs of these arms are in the arms that their own configs
    name, so that no arm loses a seed.
    """
    runs: dict[Path, Run] = {}
    torn: set[str] = set()
    for run in (run for study in studies for run in study.runs):
        known = runs.setdefault(run.path, run)
        if known.arm != run.arm:
            torn |= {known.arm, run.arm}
    own = {path: read_run(path).arm for path, run in runs.items() if run.arm in torn}
    runs |= {path: runs[path].in_arm(arm) for path, arm in own.items()}
    not_started = dict.fromkeys(sentence for study in studies for sentence in study.not_started)
    refused = dict.fromkeys(sentence for study in studies for sentence in study.refused)
    references = {study.reference for study in studies}
    comparison = Comparison(references.pop()) if len(references) == 1 else Comparison()
    merged = Study(name, question, tuple(runs.values()), tuple(not_started), tuple(refused))
    return replace(merged, comparison=comparison)
