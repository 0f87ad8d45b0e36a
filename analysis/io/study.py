"""Run directories → frames. What cannot be trusted or compared is refused with one sentence, never repaired.

    scan.py      Parquet files → checked columns
    counts.py    evaluations → counts of correct samples, and which may be compared
    training.py  metrics by step, and groups of rollouts

Here: which runs answer a question, and how they are looked at. What the three offer to others is found here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from agrae_lab.runs import Experiment, Run, RunError, read_run
from analysis.io.parquet import AGAIN, FrameError

Answer = TypeVar("Answer")

BASE = "base"
ACCURACY = "accuracy"

# What of a run's config figures, claims and reports go by.
_LINKS = ("advantage.base.name", "advantage.sample.name", "advantage.group.name")
_NEEDED = ("arm", "seed", "advantage.name", "advantage.flavor", *_LINKS)


@dataclass(frozen=True)
class View:
    """How a study is looked at. Nothing here changes what was recorded."""

    intersect: bool = False  # compare arms on the problems, and the number of samples, that all of them have
    smooth: int | None = None  # steps of a centred moving mean, drawn over the recorded line
    published: str | None = None  # a model of the paper, "<model>" or "<model>/<benchmark>", shown beside ours
    seed: int = 0  # of every random draw


@dataclass(frozen=True)
class Study:
    """The runs that answer one question, grouped by arm. Runs of one arm differ in their seed alone."""

    name: str
    question: str
    runs: tuple[Run, ...]
    problems: tuple[str, ...] = ()  # runs that have not started
    refused: tuple[str, ...] = ()  # runs that cannot be read, a sentence each
    view: View = View()

    @property
    def models(self) -> list[str]:
        """Names of the models that the runs start from."""
        return sorted({model_name(run) for run in self.runs})

    @cached_property
    def arms(self) -> dict[str, tuple[Run, ...]]:
        """Arm → its runs by seed. Two configs under one name are two arms, named with their hash: never pooled."""
        folders: dict[str, set[str]] = {}
        for run in self.runs:
            folders.setdefault(run.arm, set()).add(run.path.parent.name)
        arms: dict[str, list[Run]] = {}
        for run in self.runs:
            key = run.arm if len(folders[run.arm]) == 1 else run.path.parent.name
            arms.setdefault(key, []).append(run)
        return {arm: tuple(sorted(runs, key=lambda run: run.seed)) for arm, runs in arms.items()}

    def without(self, path: Path) -> Study:
        """The study without the run in that directory."""
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
        """Settings besides the method (arm, advantage, loss, seed) in which the runs differ, one sentence each."""
        flat = {run.key: dict(leaves(run.config)) for run in self.runs}
        shared = ("train.", "task.", "model.", "evaluation.")
        keys = sorted({key for config in flat.values() for key in config if key.startswith(shared)})
        sentences = [
            f"{arm} is one of several configurations of {runs[0].arm}: drawn apart, and no claim is judged on them"
            for arm, runs in self.arms.items()
            if arm != runs[0].arm
        ]
        for key in keys:
            by_value: dict[str, list[str]] = {}
            for run_key, config in flat.items():
                by_value.setdefault(str(config.get(key)), []).append(run_key)
            if len(by_value) > 1:
                parts = (f"{value} in {', '.join(run_keys)}" for value, run_keys in by_value.items())
                sentences.append(f"{key} is not the same in all runs: {'; '.join(parts)}")
        return sentences


def load_study(root: Path, experiment: Experiment) -> Study:
    """Read an experiment's runs; one that is missing or unreadable is named in `problems` or `refused`, not raised."""
    runs, problems, refused = [], [], []
    for key in experiment.runs:
        if not (root / key).is_dir():
            problems.append(f"{key} has not started: there is no such directory under {root}")
            continue
        try:
            run = _checked(read_run(root / key))
            # one run may answer two questions, which call it by two names
            runs.append(replace(run, config={**run.config, "arm": experiment.arms.get(key, run.arm)}))
        except (RunError, FrameError) as error:
            refused.append(str(error))
    return Study(experiment.name, experiment.question, tuple(runs), tuple(problems), tuple(refused))


def on_sound_runs(compute: Callable[[Study], Answer], study: Study) -> tuple[Answer, list[str]]:
    """Compute from the study without the runs that have a broken file, each named in a sentence.

    Raises:
        FrameError: no single run is at fault.
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


def _checked(run: Run) -> Run:
    """The run, whose config names what everything here goes by.

    Raises:
        FrameError: it does not.
    """
    if missing := [key for key in _NEEDED if key not in dict(leaves(run.config))]:
        raise FrameError(f"{run.path / 'config.yaml'} is no config of a run: it lacks {', '.join(missing)}; {AGAIN}")
    return run


def model_name(run: Run) -> str:
    """What readers call the model that a run starts from: the last part of its path or hub name."""
    return Path(str(run.config.get("model", {}).get("path", "unknown"))).name


def reward_name(run: Run) -> str:
    """What pays a run's completions: ACCURACY (0 or 1), or the name of a mixture with other parts (task.reward)."""
    return str((run.config.get("task") or {}).get("reward") or ACCURACY)


def split_by_model(study: Study) -> list[Study]:
    """A study for each model: Pass@k of different models is never pooled, nor compared as if it were one arm's."""
    if len(study.models) < 2:
        return [study]
    chosen = {model: tuple(run for run in study.runs if model_name(run) == model) for model in study.models}
    return [replace(study, name=f"{study.name}/{model}", runs=runs) for model, runs in chosen.items()]


@dataclass(frozen=True)
class _RunAtStep(Run):
    """A run as it stood after a step: its evaluations are those of the policy of then."""

    step: int = 0

    def samples_path(self, benchmark: str) -> Path:
        return self.step_samples_path(self.step, benchmark)


def at_step(study: Study, step: int) -> Study:
    """The study with the evaluations of the policies after a step (evaluation.at_steps) in the place of the last."""
    runs = (_RunAtStep(run.path, run.config, run.meta, step) for run in study.runs)
    return replace(study, runs=tuple(runs))


def merge_studies(studies: Sequence[Study], *, name: str, question: str) -> Study:
    """The union of several studies' runs, each once."""
    runs = {run.path: run for study in studies for run in study.runs}
    problems = dict.fromkeys(problem for study in studies for problem in study.problems)
    refused = dict.fromkeys(sentence for study in studies for sentence in study.refused)
    return Study(name, question, tuple(runs.values()), tuple(problems), tuple(refused))


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a config; lists and empty sections are values."""
    if not isinstance(node, Mapping) or not node:
        yield prefix.removesuffix("."), node
        return
    for key, value in node.items():
        yield from leaves(value, f"{prefix}{key}.")
