"""Lifecycle of one run: lock its directory, train, evaluate, and record its status however it ends."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from agrae_lab import runs
from agrae_lab.config import ConfigError, estimator_of, problem_sets
from agrae_lab.config.code_fingerprints import training_code
from agrae_lab.config.held_out import foreign_benchmarks_warning
from agrae_lab.evaluation.benchmarks import (
    check_at_steps,
    evaluate_base,
    evaluate_policy,
    evaluate_steps,
    evaluations_of,
    trained_policy,
)
from agrae_lab.runs import Run, RunError
from agrae_lab.runs.identity import changed_files
from agrae_lab.runs.processes import is_main, num_processes, strategy
from agrae_lab.runs.provenance import provenance
from agrae_lab.runs.saved_policies import check_saved
from agrae_lab.tasks import count_shared, fingerprint_problems, load_task

logger = logging.getLogger(__name__)

Problems = list[dict[str, Any]]


def execute(run_dir: str | Path, *, config: dict[str, Any] | None = None) -> str:
    """Train and evaluate a run from the state that its directory is in; return "done" or "diverged".

    The directory is locked meanwhile. An exception leaves status "failed" with its text, SIGTERM or Ctrl-C status
    "interrupted"; either run resumes from its last checkpoint when executed again. Processes other than the main one
    return "done" and leave the status to it, that of a diverged run too: the launcher must not end the main one then.

    Args:
        config: request, used by processes other than the main one only: they may start before the main process has
            written it to config.yaml (`runs.update_config`). The main process always reads config.yaml. None: so do
            they.

    Raises:
        RunError: not a usable run directory, or another process has locked it.
    """
    from agrae_lab.training.trainer import DivergedError

    run = runs.read_run(run_dir)
    if not is_main():
        with suppress(DivergedError):  # all processes raise it
            _train_and_evaluate(run if config is None else replace(run, config=runs.updated_config(run, config)))
        return "done"
    with runs.lock(run.path):
        run = runs.read_run(run_dir)
        if run.status in runs.FINAL_STATUSES:
            return run.status
        signal.signal(signal.SIGTERM, _raise_terminated)
        attempt = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "processes": num_processes(),
            "strategy": strategy(),
            **provenance(),
        }
        attempts = [*run.meta.get("attempts", []), attempt]
        runs.update_meta(
            run.path,
            status="running",
            error=None,
            arm=run.arm,
            config_hash=runs.training_hash(run.config),
            attempts=attempts,
        )
        return _execute_with_status(run)


def _execute_with_status(run: Run) -> str:
    """Train and evaluate; write the final status, and the error if there is one, to meta.json."""
    from agrae_lab.training.trainer import DivergedError

    try:
        _train_and_evaluate(run)
    except DivergedError as error:
        runs.update_meta(run.path, status="diverged", error=str(error))
        logger.warning("%s diverged: %s", run.key, error)
        return "diverged"
    except (KeyboardInterrupt, _Terminated):
        runs.update_meta(run.path, status="interrupted")
        raise
    except BaseException as error:
        text = "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
        runs.update_meta(run.path, status="failed", error=text, traceback=traceback.format_exc())
        raise
    runs.update_meta(run.path, status="done")
    return "done"


def _train_and_evaluate(run: Run) -> None:
    """Train, evaluate the trained policy, and make sure that the base model's evaluation exists."""
    _Progress(run, "load")(0, 1)
    is_trained, vllm = (run.path / "model").is_dir(), run.config["engine"] == "vllm"
    sets = _prepare(run, is_trained=is_trained)
    # Early only in one process, since others would idle, and without vLLM, since two cannot share a GPU. Otherwise
    # `_evaluate` does it after training.
    if num_processes() == 1 and not vllm:
        evaluate_base(run, sets, wait=False, on_progress=_Progress(run, "evaluate base"))
    if not is_trained:
        from agrae_lab.training.session import train

        with _timed(run, "train_seconds"):
            train(run, sets, on_progress=_Progress(run, "train"))
        if vllm:
            _restart_to_evaluate(run)  # never returns
    elif is_main():
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)  # interrupted before their removal
    _evaluate(run, sets)


def _prepare(run: Run, *, is_trained: bool) -> dict[str, Problems]:
    """Refuse a run that has changed or cannot work, before anything expensive starts; return its problems.

    Also sets the number of threads and keeps thumbnails of the problems' images.
    """
    sets = _problem_sets(run)
    _check_unchanged(run, sets, is_trained=is_trained)
    if is_main():
        _report_overlap(run, sets)
        if warning := foreign_benchmarks_warning(run.config):
            logger.warning("%s", warning)
    from agrae_lab.training.preflight import preflight  # trl takes seconds to import
    from agrae_lab.training.thumbnails import keep_thumbnails

    _set_num_threads(run)
    if is_trained:
        check_saved(run)
        check_at_steps(run, sets)
    else:
        with _value_error_as_config_error():
            preflight(run, sets)
    if is_main():
        keep_thumbnails(run, sets)
    return sets


def _evaluate(run: Run, sets: Mapping[str, Problems]) -> None:
    """Draw the missing evaluation samples of trained, kept and base policies; list the evaluations in meta.json."""
    with _timed(run, "evaluate_seconds"):
        policy = trained_policy(run)
        evaluate_policy(run, policy, sets, on_progress=_Progress(run, policy.phase))
        at_steps = evaluate_steps(run, sets, on_progress=partial(_Progress, run))
    base_eval = evaluate_base(run, sets, wait=True, on_progress=_Progress(run, "evaluate base"))
    if is_main():
        meta = runs.read_run(run.path).meta  # evaluations that this config does not ask for stay listed
        runs.update_meta(
            run.path,
            evaluations={**meta.get("evaluations", {}), **evaluations_of(run, policy)},
            evaluations_at={**meta.get("evaluations_at", {}), **at_steps},
            base_eval={**(meta.get("base_eval") or {}), **base_eval},
        )


@contextmanager
def _value_error_as_config_error() -> Iterator[None]:
    """Turn a ValueError of the block into a ConfigError, which the command prints without a traceback."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _set_num_threads(run: Run) -> None:
    """Compute with as many threads as the run's first attempt: another number changes the last bits of results."""
    import torch

    threads = int(run.meta.get("threads", torch.get_num_threads()))
    torch.set_num_threads(threads)
    if is_main():
        runs.update_meta(run.path, threads=threads)


def _restart_to_evaluate(run: Run) -> None:
    """Replace this program by agrae_lab.evaluate, under the same process id and lock. Never returns.

    A program that has trained with vLLM cannot free its GPU memory.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if is_main():
        runs.hand_over_lock(run.path)
    os.execv(sys.executable, [sys.executable, "-m", "agrae_lab.evaluate", str(run.path)])


def _problem_sets(run: Run) -> dict[str, Problems]:
    """Return the run's problems; count the rows that task.on_bad_row = skip leaves out, in meta.json and a warning."""
    skipped: dict[str, list[str]] = {}
    with _value_error_as_config_error():
        sets = problem_sets(run.config, on_bad_rows=skipped.__setitem__)
    if skipped and is_main():
        runs.update_meta(run.path, skipped_rows={name: len(sentences) for name, sentences in skipped.items()})
        for name, sentences in skipped.items():
            logger.warning("%d rows of %r cannot be used: left out; the first: %s", len(sentences), name, sentences[0])
    return sets


def _check_unchanged(run: Run, sets: Mapping[str, Problems], *, is_trained: bool) -> None:
    """Refuse other problems, another model or other code than those that the run was planned or started with.

    Raises:
        RunError: one of them has changed; the message names it.
    """
    from agrae_lab.models.load import fingerprint_model

    for name, problems in sets.items():
        if fingerprint_problems(problems) != run.config["data_fingerprints"][name]:
            raise RunError(
                f"the problems of {name!r} have changed since {run.path} was made. Restore them, or train another run"
            )
    fingerprint = fingerprint_model(run.config["model"]["path"])
    expected = run.config["model_fingerprint"] or run.meta.get("model_fingerprint", fingerprint)
    if expected != fingerprint:
        raise RunError(
            f"the model at model.path has changed since {run.path} was made. Restore it, or train another run"
        )
    if not is_trained:
        _check_code(run)
    if is_main():
        runs.update_meta(run.path, model_fingerprint=fingerprint)


def _check_code(run: Run) -> None:
    """Raise RunError if a source file that decides the weights has changed since the run was made."""
    current = training_code(run.config, estimator_of(run.config))
    if changed := changed_files(run.config["code"]["training"], current):
        raise RunError(
            f"{', '.join(changed)} changed since {run.path} was made, and one run cannot mix two versions. Restore "
            f"{'it' if len(changed) == 1 else 'them'}, or launch again, which makes another run"
        )


def _report_overlap(run: Run, sets: Mapping[str, Problems]) -> None:
    """Warn of test problems that are training problems too, and count them in meta.json."""
    section, overlap = run.config["task"], {}
    training_task = load_task(section["name"], section)
    for name, benchmark in run.config["evaluation"]["benchmarks"].items():
        task = load_task(benchmark["task"], section)
        if shared := count_shared(task, sets[name], training_task, sets["train"]):
            overlap[name] = shared
            logger.warning(
                "evaluation.benchmarks.%s: %d of its %d problems are training problems too. Its accuracy measures "
                "memory as well; take them out of one of the two",
                *(name, shared, len(sets[name])),
            )
    runs.update_meta(run.path, train_test_overlap=overlap)


@contextmanager
def _timed(run: Run, name: str) -> Iterator[None]:
    """Add the block's seconds to meta.json, however it ends, so that timings are the sum over all attempts."""
    start = time.perf_counter()
    try:
        yield
    finally:
        if is_main():
            timings = runs.read_run(run.path).meta.get("timings", {})
            timings[name] = timings.get(name, 0.0) + time.perf_counter() - start
            runs.update_meta(run.path, timings=timings)


class _Progress:
    """Progress of a phase of a run, in progress.json and in the log."""

    def __init__(self, run: Run, phase: str) -> None:
        self._run, self._phase, self._start = run, phase, time.perf_counter()
        self._first: tuple[int, float] | None = None  # (done, seconds) of the first report: an attempt may begin late

    def __call__(self, done: int, total: int) -> None:
        seconds = time.perf_counter() - self._start
        first_done, first_seconds = self._first = self._first or (done, seconds)
        if is_main():
            pace = (seconds - first_seconds) / (done - first_done) if done > first_done else None
            progress = {"phase": self._phase, "done": done, "total": total, "seconds": seconds, "pace": pace}
            runs.write_json(self._run.path / "progress.json", {"schema_version": runs.SCHEMA_VERSION, **progress})
        logger.info("%s: %s %d/%d", self._run.key, self._phase, done, total)


class _Terminated(SystemExit):
    """SIGTERM has ended this process."""


def _raise_terminated(number: int, frame: Any) -> None:
    raise _Terminated(128 + number)
