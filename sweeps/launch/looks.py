"""Looks of a study: seeds are added until every comparison of a candidate with the reference is decided.

Each look runs its seeds through `launch_study` and then judges the paired differences. A candidate whose comparisons
are all decided gets no more seeds. The looks are recorded in looks.json (agrae_lab/runs/protocols.py); a look that a
kill cut short is run to its end by the next call, and judged the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agrae_lab import runs
from analysis.statistics.sequential import OPEN, Rule, describe_look, judge
from sweeps.launch.cells import ALL_DONE, INTERRUPTED, SOME_NOT_DONE
from sweeps.launch.study import LaunchOptions, launch_study
from sweeps.planning.drift import read_code
from sweeps.planning.run_dirs import read_run_meta
from sweeps.planning.study_directory import StudyDirectory, cell_id
from sweeps.spec.axes import Settings
from sweeps.spec.objectives import metric_value
from sweeps.spec.study import Axes, Study

NO_VALUE = "undecided: {run} is {status} and has no value"


@dataclass(frozen=True)
class Question:
    """Comparisons of a study: every candidate with the reference, in every metric.

    arms: name → settings, which the study's base is composed with.
    metrics: `pass@<k>/<benchmark>`.
    first_seed: the seeds are first_seed, first_seed + 1, …
    """

    arms: Mapping[str, Settings]
    reference: str
    metrics: tuple[str, ...]
    rule: Rule
    first_seed: int = 0

    @property
    def candidates(self) -> list[str]:
        """Return the arms that are compared with the reference."""
        return [arm for arm in self.arms if arm != self.reference]

    @property
    def identity(self) -> str:
        """Return the digest of everything that the decisions depend on."""
        return runs.digest({**asdict(self), "arms": {arm: dict(settings) for arm, settings in self.arms.items()}})

    def seeds(self, num_seeds: int) -> tuple[int, ...]:
        """Return the first seeds."""
        return tuple(range(self.first_seed, self.first_seed + num_seeds))

    def study(self, study: Study, arms: Sequence[str], num_seeds: int) -> Study:
        """Return the study with the cells of these arms and the first seeds."""
        cells = tuple(self.arms[arm] for arm in arms)
        looked = replace(study, protocol=None, axes=Axes(cells=cells), exclude=(), seeds=self.seeds(num_seeds))
        # a look may leave out arms that the study's own comparison names
        return replace(looked, reference="", candidates=(), metrics=(), smallest_effect="")


Look = dict[str, Any]  # of looks.json: num_seeds, date, code, comparisons


def run_looks(
    question: Question,
    study: Study,
    directory: StudyDirectory,
    options: LaunchOptions,
    *,
    folder: Path,
    identity: str | None = None,
    report: Callable[[str], None] = print,
) -> tuple[list[Look], int]:
    """Run the study look by look, or resume it; inside sweeps.spec.compose.config_dir.

    Args:
        study: its base, stop rules and resources are used; its axes and seeds are the question's.
        directory: of the study.
        folder: of looks.json.
        identity: of the design that the looks belong to, the digest of a frozen file; None: the question's own.
        report: receives a sentence for each comparison after its look.

    Returns:
        the looks, and the exit code: 0 all comparisons have ended; 1 some runs have failed or are not done, and the
        same call resumes; 130 stopped on request.

    Raises:
        PlanError: nothing was started (see launch_study).
        RunError: looks.json or a run cannot be read.
    """
    identity = question.identity if identity is None else identity
    looks = runs.read_looks(folder, identity)
    for num_seeds in question.rule.looks[len(looks) :]:
        still_open = open_comparisons(question, looks)
        if not still_open:
            break
        arms = [question.reference, *dict.fromkeys(candidate for candidate, _ in still_open)]
        quiet = replace(options, warns=False)  # protocol.py warns of arms that differ in several factors
        exit_code = launch_study(question.study(study, arms, num_seeds), directory, quiet)
        name_arms(question, study, directory)
        if exit_code == INTERRUPTED:
            return looks, INTERRUPTED
        found = {arm: _runs(question, directory, arm, num_seeds) for arm in arms}
        if sentence := _unfinished_sentence(num_seeds, [run for arm in arms for run in found[arm]]):
            report(sentence)
            return looks, SOME_NOT_DONE
        look = {
            "num_seeds": num_seeds,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "code": read_code(options.train_module).fingerprint,
            "comparisons": [_compare(question, found, *pair) for pair in still_open],
        }
        looks = [*looks, look]
        runs.write_looks(folder, identity, looks)
        for sentence in describe_look(looks[-1], question.reference):
            report(sentence)
    return looks, ALL_DONE


def open_comparisons(question: Question, looks: Sequence[Look]) -> list[tuple[str, str]]:
    """Return the (candidate, metric) that the looks so far have left open."""
    decided = {
        (comparison["candidate"], comparison["metric"])
        for look in looks
        for comparison in look["comparisons"]
        if comparison["decision"] != OPEN
    }
    every = [(candidate, metric) for candidate in question.candidates for metric in question.metrics]
    return [pair for pair in every if pair not in decided]


def name_arms(question: Question, study: Study, directory: StudyDirectory) -> None:
    """Write the question's names of the arms into the manifest that analysis reads."""
    frozen = directory.frozen_cells()
    arms = {
        frozen[cell].run: arm
        for arm, settings in question.arms.items()
        for seed in question.seeds(question.rule.looks[-1])
        if (cell := cell_id(settings, seed)) in frozen
    }
    smallest_effect = f"{100 * question.rule.smallest_effect:.12f}".rstrip("0").rstrip(".") + "pp"  # no 1e-05
    metrics = tuple(dict.fromkeys(metric.partition("/")[0] for metric in question.metrics))
    comparison = runs.Comparison(question.reference, tuple(question.candidates), metrics, smallest_effect)
    runs.Experiment(study.name, study.question, tuple(arms), arms, comparison).write(directory.root)


def _unfinished_sentence(num_seeds: int, found: Sequence[runs.Run]) -> str:
    """Return a sentence about the runs that are neither done nor diverged; "" without any."""
    unfinished = [f"{run.key} is {run.status}" for run in found if run.status not in ("done", "diverged")]
    if not unfinished:
        return ""
    more = f", and {len(unfinished) - 3} more" if len(unfinished) > 3 else ""
    states = ", ".join(unfinished[:3])
    return f"the look at {num_seeds} seeds is not complete: {states}{more}. Run the same command again"


def _runs(question: Question, directory: StudyDirectory, arm: str, num_seeds: int) -> list[runs.Run]:
    """Return the arm's runs in the order of their seeds."""
    frozen = directory.frozen_cells()
    cells = (frozen[cell_id(question.arms[arm], seed)] for seed in question.seeds(num_seeds))
    return [read_run_meta(directory.root / cell.run) for cell in cells]


def _compare(
    question: Question, found: Mapping[str, Sequence[runs.Run]], candidate: str, metric: str
) -> dict[str, Any]:
    """Return the entry of one comparison in looks.json."""
    ours, theirs = found[candidate], found[question.reference]
    entry: dict[str, Any] = {"candidate": candidate, "metric": metric, "seeds": [run.seed for run in ours]}
    values = {run.key: metric_value(run, metric) if run.status == "done" else None for run in (*ours, *theirs)}
    if lacking := next((run for run in (*ours, *theirs) if values[run.key] is None), None):
        decision = NO_VALUE.format(run=lacking.key, status=lacking.status)
        return entry | {"differences": [], "estimate": None, "lo": None, "hi": None, "decision": decision}
    differences = [values[a.key] - values[b.key] for a, b in zip(ours, theirs, strict=True)]  # type: ignore[operator]
    judged = asdict(judge(differences, question.rule))
    bounds = {key: judged[key] if math.isfinite(judged[key]) else None for key in ("lo", "hi")}
    return entry | {
        "differences": differences,
        "estimate": judged["estimate"],
        **bounds,
        "decision": judged["decision"],
    }
