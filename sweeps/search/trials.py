"""Trials ↔ runs. The executor takes runs from here whenever a slot is free, and its display tells here how they end."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agrae_lab import runs
from sweeps.errors import one_sentence
from sweeps.execution.executor import ActiveRun
from sweeps.execution.run_status import Outcome
from sweeps.planning.drift import Code
from sweeps.planning.study_directory import Frozen, Ledger
from sweeps.search.pruning import Pruner
from sweeps.search.space import Space
from sweeps.search.storage import counted, make_sampler
from sweeps.search.table import FILE_NAME, rows_of, write_table
from sweeps.spec.axes import Settings
from sweeps.spec.objectives import metrics_of, value_of
from sweeps.spec.study import Study

if TYPE_CHECKING:
    import optuna


@dataclass(eq=False)
class OpenTrial:
    """A trial that is asked and not told."""

    trial: optuna.Trial
    runs: dict[Path, runs.Run]  # by directory, in the order of the study's seeds
    waiting: list[Path]  # not handed out yet
    ended: set[Path] = field(default_factory=set)  # done

    @property
    def at_work(self) -> bool:
        return len(self.ended) + len(self.waiting) < len(self.runs)


class Trials:
    """The trials of a search as this controller asks and tells them."""

    def __init__(
        self, study: Study, space: Space, opened: optuna.Study, *, ledger: Ledger, code: Code, pruner: Pruner | None
    ) -> None:
        assert study.search is not None
        self._study, self._search, self._space, self._optuna = study, study.search, space, opened
        self._ledger, self._code, self._pruner = ledger, code, pruner
        self._num_asked = len(counted(opened.get_trials(deepcopy=False)))  # in all launches
        self._open: list[OpenTrial] = []
        self._at_work: set[Path] = set()  # handed out, not ended
        self._pruned: dict[Path, str] = {}  # at work, and to be stopped: why
        self._read: dict[Path, int] = {}  # metrics.parquet → its time of change when last read

    def next_run(self) -> runs.Run | None:
        """The run to start now; a trial is asked only where no asked one has a run left to start. None: all started."""
        while True:
            sparing = self._pruner is not None and self._pruner.seed_by_seed
            if (run := self._take(sparing=sparing)) is not None:
                return run
            if self._num_asked < self._search.num_trials:
                self._ask()
            else:
                return self._take(sparing=False)

    def num_left(self) -> int:
        """Runs left to start, if every trial to come takes as many as there are seeds."""
        num_to_ask = max(0, self._search.num_trials - self._num_asked)
        return sum(len(one.waiting) for one in self._open) + num_to_ask * len(self._study.seeds)

    def ended(self, outcome: Outcome) -> None:
        """A run has ended, for good."""
        path, num_open = outcome.run.path, len(self._open)
        self._at_work.discard(path)
        stopped = self._pruned.pop(path, None)
        if stopped is not None and outcome.status == "interrupted":
            with suppress(runs.RunBusyError), runs.lock(path):
                runs.update_meta(path, pruned=stopped)
        for one in [one for one in self._open if path in one.runs]:
            if stopped is not None and outcome.status == "interrupted":
                one.waiting.append(path)  # of a trial of equal parameters that was asked since
            else:
                self._note(one, outcome.run, outcome.status)
        if len(self._open) < num_open:
            self.write_table()

    def watch(self, active: Collection[ActiveRun]) -> None:
        """Look at what the active runs have recorded, and stop those whose trials are pruned."""
        for run in [process.run for process in active]:
            if self._pruner is not None and self._has_changed(run):
                for one in [one for one in self._open if run.path in one.runs]:
                    self._judge(one, run)
        for process in active:
            if process.run.path in self._pruned:
                process.ask_to_end("stop")

    def write_table(self) -> None:
        write_table(rows_of(self._study, self._optuna), self._ledger.path / FILE_NAME)

    def _take(self, *, sparing: bool) -> runs.Run | None:
        """A run that waits; when sparing, none of a trial that has one at work."""
        for one in self._open:
            for path in [] if sparing and one.at_work else list(one.waiting):
                one.waiting.remove(path)
                if path not in self._at_work:  # else a trial of equal parameters has it at work
                    self._at_work.add(path)
                    return one.runs[path]
        return None

    def _ask(self) -> None:
        self._optuna.sampler = make_sampler(self._search, num_trials=self._num_asked)
        self._num_asked += 1
        trial = self._optuna.ask()
        params = self._space.suggest(trial)
        try:
            configs = [self._space.config(params, seed=seed) for seed in self._study.seeds]
            found = [runs.read_run(runs.create_run(config)) for config in configs]
        except ValueError as error:
            self._fail(trial, one_sentence(error))
            return
        trial.set_user_attr("runs", [run.key for run in found])
        self._record(params, found)
        one = OpenTrial(trial, {run.path: run for run in found}, [run.path for run in found])
        self._open.append(one)
        for run in found:
            if run.status in runs.FINAL_STATUSES and one in self._open:
                self._note(one, run, run.status)
        self.write_table()

    def _record(self, params: Settings, found: Sequence[runs.Run]) -> None:
        frozen = [
            Frozen(params, run.seed, run.key, runs.config_hash(run.config), self._code.fingerprint) for run in found
        ]
        self._ledger.record(self._study, frozen, self._code)

    def _note(self, one: OpenTrial, run: runs.Run, status: str) -> None:
        """What the end of a run means to a trial that has it. One that was stopped or is busy leaves it open."""
        if status == "done":
            one.runs[run.path] = run
            one.ended.add(run.path)
            one.waiting = [path for path in one.waiting if path != run.path]  # another trial may have had it run
            self._judge(one, run)
            if one in self._open and len(one.ended) == len(one.runs):
                self._complete(one)
        elif status in ("failed", "diverged"):
            self._open.remove(one)
            if status == "failed":
                one.trial.set_user_attr("failed_run", run.key)
            first_line = str(run.meta.get("error") or "").partition("\n")[0]
            self._fail(one.trial, f"{run.key} {status}: {first_line}")

    def _judge(self, one: OpenTrial, run: runs.Run) -> None:
        """Prune the trial if what the run has recorded speaks against it, and there is something left to spare."""
        if self._pruner is None:
            return
        try:
            why = self._pruner.report(one.trial, run, index=list(one.runs).index(run.path))
        except ValueError:  # a file that cannot be read, which is told when the run has ended
            return
        if why is None or len(one.ended) == len(one.runs):
            return
        self._open.remove(one)
        needed = {path for other in self._open for path in other.runs}
        said = f"trial {one.trial.number} of {self._study.name}: {why}"
        self._pruned |= dict.fromkeys((one.runs.keys() & self._at_work) - needed, said)
        one.trial.set_user_attr("pruned", why)
        if self._pruner.seed_by_seed:  # Optuna's advice: the mean so far tells the sampler more than "pruned"
            self._tell(one)
        else:
            self._optuna.tell(one.trial, state=_state("PRUNED"))

    def _complete(self, one: OpenTrial) -> None:
        self._open.remove(one)
        self._tell(one)

    def _tell(self, one: OpenTrial) -> None:
        """The trial's values from its runs that are done."""
        done = [run for path, run in one.runs.items() if path in one.ended]
        values: dict[str, list[float]] = {}
        for metric in metrics_of(self._study):
            try:
                found = [value_of(run, metric) for run in done]
            except ValueError as error:
                self._fail(one.trial, str(error))
                return
            values[metric] = [value for value in found if value is not None and math.isfinite(value)]
            if len(values[metric]) < len(done):
                self._fail(one.trial, f"{metric} is {', '.join(map(str, found))}, which is no number to go by")
                return
        one.trial.set_user_attr("values", values)
        means = {metric: sum(known) / len(known) for metric, known in values.items()}
        for bound in self._study.constraints:
            mean = means[bound.metric]
            too_much = mean - bound.at_most if bound.at_most is not None else (bound.at_least or 0.0) - mean
            side = "at most" if bound.at_most is not None else "at least"
            one.trial.set_constraint(f"{bound.metric} {side}", too_much)
        self._optuna.tell(one.trial, [means[objective.metric] for objective in self._study.objective])

    def _fail(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("reason", reason)
        self._optuna.tell(trial, state=_state("FAIL"))

    def _has_changed(self, run: runs.Run) -> bool:
        path = run.metrics_path
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        before, self._read[path] = self._read.get(path, 0), changed
        return changed != before


def _state(name: str) -> optuna.trial.TrialState:
    import optuna

    return optuna.trial.TrialState[name]
