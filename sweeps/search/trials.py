"""Trials ↔ runs. The executor takes its runs from here, and reports their ends to here."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import optuna
from optuna.trial import TrialState

from agrae_lab import runs
from agrae_lab.runs.failpoints import failpoint
from sweeps.errors import one_sentence
from sweeps.execution.executor import ActiveRun
from sweeps.execution.run_status import Outcome
from sweeps.planning.drift import Code
from sweeps.planning.study_directory import FrozenCell, StudyDirectory
from sweeps.search.pruning import Pruner
from sweeps.search.space import Space
from sweeps.search.storage import BOOKS, counted_trials, make_sampler
from sweeps.search.table import FILE_NAME, trial_rows, write_table
from sweeps.spec.axes import Settings
from sweeps.spec.objectives import metric_value, study_metrics
from sweeps.spec.study import Study

PRUNED = "pruned"  # outcome of a run that was stopped because its trial was pruned


@dataclass(eq=False)
class OpenTrial:
    """Trial with values still to be reported."""

    trial: optuna.Trial
    runs: dict[Path, runs.Run]  # by directory, in the order of the study's seeds
    waiting_paths: list[Path]  # not started yet
    done_paths: set[Path] = field(default_factory=set)

    @property
    def has_active_run(self) -> bool:
        """Return True if some run has started and not ended."""
        return len(self.done_paths) + len(self.waiting_paths) < len(self.runs)


class Trials:
    """Trials of a search, as this controller asks for them and reports their values."""

    def __init__(
        self,
        study: Study,
        space: Space,
        opened: optuna.Study,
        *,
        directory: StudyDirectory,
        code: Code,
        pruner: Pruner | None,
    ) -> None:
        assert study.search is not None
        self._study, self._search, self._space, self._optuna = study, study.search, space, opened
        self._directory, self._code, self._pruner = directory, code, pruner
        self._num_asked = len(counted_trials(opened.get_trials(deepcopy=False)))  # in all launches
        self._open: list[OpenTrial] = []
        self._active: set[Path] = set()  # started, not ended
        self._pruned: dict[Path, str] = {}  # active, and to be stopped → reason
        self._read: dict[Path, int] = {}  # metrics.parquet → its modification time when last read

    def next_run(self) -> runs.Run | None:
        """Return the run to start next, or None at the end. A new trial opens only if no open one has a run left."""
        while True:
            skip_active_trials = self._pruner is not None and self._pruner.seed_by_seed
            if (run := self._take(skip_active_trials=skip_active_trials)) is not None:
                return run
            if self._num_asked < self._search.num_trials:
                self._ask()
            else:
                return self._take(skip_active_trials=False)

    def num_left(self) -> int:
        """Return the number of runs left to start, if every future trial takes one per seed."""
        num_to_ask = max(0, self._search.num_trials - self._num_asked)
        return sum(len(open_trial.waiting_paths) for open_trial in self._open) + num_to_ask * len(self._study.seeds)

    def ended(self, outcome: Outcome) -> Outcome:
        """Record the final end of a run; return its outcome, which is PRUNED for a run that was stopped as such."""
        path, num_open = outcome.run.path, len(self._open)
        self._active.discard(path)
        stopped = self._pruned.pop(path, None)
        if stopped is not None and outcome.status == "interrupted":
            with suppress(runs.RunBusyError), runs.lock(path):
                runs.update_meta(path, pruned=stopped)
        for open_trial in [open_trial for open_trial in self._open if path in open_trial.runs]:
            if stopped is not None and outcome.status == "interrupted":
                open_trial.waiting_paths.append(path)  # for a later trial with the same parameters
            else:
                self._record_run_end(open_trial, outcome.run, outcome.status)
        if len(self._open) < num_open:
            self.write_table()
        if stopped is None or outcome.status != "interrupted":
            return outcome
        return replace(outcome, run=replace(outcome.run, meta={**outcome.run.meta, "error": stopped}), status=PRUNED)

    def watch(self, active: Collection[ActiveRun]) -> None:
        """Read what the active runs have recorded, and stop those whose trials are pruned."""
        for run in [process.run for process in active]:
            if self._pruner is not None and self._has_changed(run):
                for open_trial in [open_trial for open_trial in self._open if run.path in open_trial.runs]:
                    self._prune_if_due(open_trial, run)
        for process in active:
            if process.run.path in self._pruned:
                process.terminate("stop")

    def write_table(self) -> None:
        write_table(trial_rows(self._study, self._optuna), self._directory.path / FILE_NAME)

    def _take(self, *, skip_active_trials: bool) -> runs.Run | None:
        """Return a waiting run; with skip_active_trials, none of a trial that has an active run."""
        for open_trial in self._open:
            for path in [] if skip_active_trials and open_trial.has_active_run else list(open_trial.waiting_paths):
                open_trial.waiting_paths.remove(path)
                if path not in self._active:  # else a trial with the same parameters has started it
                    self._active.add(path)
                    return open_trial.runs[path]
        return None

    def _ask(self) -> None:
        self._optuna.sampler = make_sampler(self._search, num_trials=self._num_asked)
        self._num_asked += 1
        books = self._directory.path / BOOKS
        point = failpoint(books)
        point.before(books)
        trial = self._optuna.ask()
        if books.is_file():
            point.written(books, books)
            point.renamed(books)
        params = self._space.suggest(trial)
        try:
            configs = [self._space.config(params, seed=seed) for seed in self._study.seeds]
            found = [runs.read_run(runs.create_run(config)) for config in configs]
        except ValueError as error:
            self._fail(trial, one_sentence(error))
            return
        trial.set_user_attr("runs", [run.key for run in found])
        self._record(params, found)
        open_trial = OpenTrial(trial, {run.path: run for run in found}, [run.path for run in found])
        self._open.append(open_trial)
        for run in found:
            if run.status in runs.FINAL_STATUSES and open_trial in self._open:
                self._record_run_end(open_trial, run, run.status)
        self.write_table()

    def _record(self, params: Settings, found: Sequence[runs.Run]) -> None:
        frozen = [
            FrozenCell(params, run.seed, run.key, runs.training_hash(run.config), self._code.fingerprint)
            for run in found
        ]
        self._directory.record(self._study, frozen, self._code)

    def _record_run_end(self, open_trial: OpenTrial, run: runs.Run, status: str) -> None:
        """Record the end of a run in one of its trials. A stopped or busy run leaves the trial open."""
        if status == "done":
            open_trial.runs[run.path] = run
            open_trial.done_paths.add(run.path)
            open_trial.waiting_paths = [
                path for path in open_trial.waiting_paths if path != run.path
            ]  # another trial may have executed it
            self._prune_if_due(open_trial, run)
            if open_trial in self._open and len(open_trial.done_paths) == len(open_trial.runs):
                self._open.remove(open_trial)
                self._report_values(open_trial)
        elif status in ("failed", "diverged"):
            self._open.remove(open_trial)
            if status == "failed":
                open_trial.trial.set_user_attr("failed_run", run.key)
            first_line = str(run.meta.get("error") or "").partition("\n")[0]
            self._fail(open_trial.trial, f"{run.key} {status}: {first_line}")

    def _prune_if_due(self, open_trial: OpenTrial, run: runs.Run) -> None:
        """Prune the trial if its pruner rejects the run's recorded values and some of its runs have not ended."""
        if self._pruner is None:
            return
        try:
            why = self._pruner.report(open_trial.trial, run, index=list(open_trial.runs).index(run.path))
        except ValueError:  # an unreadable file is reported when the run has ended
            return
        if why is None or len(open_trial.done_paths) == len(open_trial.runs):
            return
        self._open.remove(open_trial)
        needed = {path for other in self._open for path in other.runs}
        reason = f"trial {open_trial.trial.number} of {self._study.name}: {why}"
        self._pruned |= dict.fromkeys((open_trial.runs.keys() & self._active) - needed, reason)
        open_trial.trial.set_user_attr("pruned", why)
        if self._pruner.seed_by_seed:  # as Optuna advises: the mean so far is more informative than PRUNED
            self._report_values(open_trial)
        else:
            self._optuna.tell(open_trial.trial, state=TrialState.PRUNED)

    def _report_values(self, open_trial: OpenTrial) -> None:
        """Report the trial's values to Optuna, from its finished runs."""
        done = [run for path, run in open_trial.runs.items() if path in open_trial.done_paths]
        values: dict[str, list[float]] = {}
        for metric in study_metrics(self._study):
            try:
                found = [metric_value(run, metric) for run in done]
            except ValueError as error:
                self._fail(open_trial.trial, str(error))
                return
            values[metric] = [value for value in found if value is not None and math.isfinite(value)]
            if len(values[metric]) < len(done):
                self._fail(open_trial.trial, f"{metric} is {', '.join(map(str, found))}, which is not a finite number")
                return
        open_trial.trial.set_user_attr("values", values)
        means = {metric: sum(known) / len(known) for metric, known in values.items()}
        for bound in self._study.constraints:
            mean = means[bound.metric]
            too_much = mean - bound.at_most if bound.at_most is not None else (bound.at_least or 0.0) - mean
            side = "at most" if bound.at_most is not None else "at least"
            open_trial.trial.set_constraint(f"{bound.metric} {side}", too_much)
        self._optuna.tell(open_trial.trial, [means[objective.metric] for objective in self._study.objective])

    def _fail(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("reason", reason)
        self._optuna.tell(trial, state=TrialState.FAIL)

    def _has_changed(self, run: runs.Run) -> bool:
        path = run.metrics_path
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        before, self._read[path] = self._read.get(path, 0), changed
        return changed != before
