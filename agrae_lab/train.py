"""Train and evaluate one run, or many.

python -m agrae_lab.train advantage=a_grae seed=1                 one run, here
python -m agrae_lab.train -m +experiment=group_symmetry           an experiment, side by side in processes
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, ConfigError, freeze, problem_sets, register_advantages
from agrae_lab.provenance import provenance
from agrae_lab.runs import Run, RunError
from agrae_lab.tasks import fingerprint_problems, load_task

__all__ = ["execute", "freeze", "main"]

logger = logging.getLogger(__name__)

register_advantages()


def execute(run_dir: str | Path) -> str:
    """Carry one run to its end from whatever state its directory is in; returns "done" or "diverged".

    The directory is locked meanwhile. An exception leaves status "failed" with its text, SIGTERM or Ctrl-C status
    "interrupted"; both can be executed again and continue from the last checkpoint.

    Raises:
        RunError: not a usable run directory, or another process is at work in it.
    """
    run = runs.read_run(run_dir)
    if int(os.environ.get("RANK", "0")) > 0:  # a further process of the same run: the main one keeps the books
        _train_and_evaluate(run)
        return "done"
    with runs.lock(run.path):
        run = runs.read_run(run_dir)
        if run.status in runs.FINAL_STATUSES:
            return run.status
        signal.signal(signal.SIGTERM, _raise_stopped)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        runs.update_meta(run.path, status="running", error=None, started=started, **provenance())
        runs.update_meta(run.path, config_hash=runs.config_hash(run.config))
        return _keep_books(run)


def _keep_books(run: Run) -> str:
    from agrae_lab.training.trainer import DivergedError

    try:
        _train_and_evaluate(run)
    except DivergedError as error:
        runs.update_meta(run.path, status="diverged", error=str(error))
        logger.warning("%s diverged: %s", run.key, error)
        return "diverged"
    except (KeyboardInterrupt, _Stopped):
        runs.update_meta(run.path, status="interrupted")
        raise
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        runs.update_meta(run.path, status="failed", error=text, traceback=traceback.format_exc())
        raise
    runs.update_meta(run.path, status="done")
    return "done"


def _train_and_evaluate(run: Run) -> None:
    """Train, evaluate the trained policy, and make sure that the base model's evaluation exists."""
    is_main = int(os.environ.get("RANK", "0")) == 0
    sets = problem_sets(run.config)
    _Progress(run, "load")(0, 1)
    from agrae_lab.training.train import train  # trl takes seconds to import

    start = time.perf_counter()
    warnings = train(run, sets, on_step=_Progress(run, "train"))
    trained = time.perf_counter()
    if not is_main:
        return
    base_eval = _evaluate(run, sets)
    timings = dict(run.meta.get("timings", {}))
    timings["train_seconds"] = timings.get("train_seconds", 0.0) + trained - start
    timings["evaluate_seconds"] = time.perf_counter() - trained
    runs.update_meta(
        run.path,
        warnings=[*run.meta.get("warnings", []), *warnings],
        timings=timings,
        data_fingerprints={name: fingerprint_problems(problems) for name, problems in sets.items()},
        **base_eval,
    )


def _evaluate(run: Run, sets: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Evaluate the trained policy, and the base model where no run has; returns what meta.json says of the base."""
    from agrae_lab.evaluation.sample import Decoding, evaluate
    from agrae_lab.models.load import fingerprint_model, load_model

    config = run.config
    settings = {k: v for k, v in config["evaluation"].items() if k != "benchmarks"}
    decoding = Decoding(**settings)
    model, tokenizer = _load_for_inference(str(run.path / "model"), config)
    for name, benchmark in config["evaluation"]["benchmarks"].items():
        task = load_task(benchmark["task"])
        path = run.path / "eval" / name
        evaluate(model, tokenizer, task, sets[name], decoding, path, on_progress=_Progress(run, "evaluate"))

    base, tokenizer = load_model(config["model"]["path"], dtype=config["model"]["dtype"])
    fingerprint = fingerprint_model(config["model"]["path"], base)
    base = base.to(model.device)
    base_eval = {}
    for name, benchmark in config["evaluation"]["benchmarks"].items():
        key = {"model": fingerprint, "problems": fingerprint_problems(sets[name]), **settings}
        path = run.root / "base" / runs.config_hash(key) / name
        with runs.lock(path, wait=True):  # made once; the other runs wait for it
            task = load_task(benchmark["task"])
            evaluate(base, tokenizer, task, sets[name], decoding, path, on_progress=_Progress(run, "evaluate base"))
            runs.write_json(path / "meta.json", {"schema_version": runs.SCHEMA_VERSION, **key})
        base_eval[name] = str((path / "samples.parquet").relative_to(run.root))
    return {"base_eval": base_eval, "model_fingerprint": fingerprint}


def _load_for_inference(path: str, config: dict[str, Any]) -> tuple[Any, Any]:
    import torch

    from agrae_lab.models.load import load_model

    model: Any
    model, tokenizer = load_model(path, dtype=config["model"]["dtype"])
    use_cuda = config["hardware"]["device"] != "cpu" and torch.cuda.is_available()
    return model.to("cuda" if use_cuda else "cpu").eval(), tokenizer


class _Progress:
    """Says in progress.json and in the log how far a phase of a run is."""

    def __init__(self, run: Run, phase: str) -> None:
        self._run, self._phase, self._start = run, phase, time.perf_counter()

    def __call__(self, done: int, total: int) -> None:
        seconds = time.perf_counter() - self._start
        if int(os.environ.get("RANK", "0")) == 0:
            progress = {"phase": self._phase, "done": done, "total": total, "seconds": seconds}
            runs.write_json(self._run.path / "progress.json", {"schema_version": runs.SCHEMA_VERSION, **progress})
        logger.info("%s: %s %d/%d", self._run.key, self._phase, done, total)


class _Stopped(SystemExit):
    """SIGTERM has come: end this process, in good order."""


def _raise_stopped(number: int, frame: Any) -> None:
    raise _Stopped(128 + number)


@hydra.main(config_path=str(CONF_DIR), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """One run in this process."""
    try:
        run_dir = runs.create_run(freeze(cfg))
        status = execute(run_dir)
    except (ConfigError, RunError) as error:
        sys.exit(f"agrae_lab: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues this run")
    print(json.dumps({"run": str(run_dir), "status": status}))
    if status != "done":
        sys.exit(1)


if __name__ == "__main__":
    # Hydra finds launcher plugins in the namespace package hydra_plugins, wherever it lies on the path.
    sys.path.append(str(CONF_DIR.parent / "sweeps" / "plugins"))
    main()
