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
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, ConfigError, freeze, problem_sets, register_advantages
from agrae_lab.evaluation.streams import BASE_STREAM, policy_stream
from agrae_lab.models.load import ModelError
from agrae_lab.models.memory import evaluation_needs, is_out_of_memory, out_of_memory_means
from agrae_lab.provenance import provenance
from agrae_lab.runs import Run, RunBusyError, RunError
from agrae_lab.tasks import count_shared, fingerprint_problems, load_task, task_settings

if TYPE_CHECKING:
    from agrae_lab.evaluation.engine import Decoding, Engine

__all__ = ["execute", "freeze", "main"]

logger = logging.getLogger(__name__)

Problems = list[dict[str, Any]]

register_advantages()


def execute(run_dir: str | Path) -> str:
    """Carry one run to its end from whatever state its directory is in; returns "done" or "diverged".

    The directory is locked meanwhile. An exception leaves status "failed" with its text, SIGTERM or Ctrl-C status
    "interrupted"; both can be executed again and continue from the last checkpoint.

    Raises:
        RunError: not a usable run directory, or another process is at work in it.
    """
    run = runs.read_run(run_dir)
    if not _is_main():  # a further process of the same run: the main one keeps the books
        _train_and_evaluate(run)
        return "done"
    with runs.lock(run.path):
        run = runs.read_run(run_dir)
        if run.status in runs.FINAL_STATUSES:
            return run.status
        signal.signal(signal.SIGTERM, _raise_stopped)
        attempt = {"started": datetime.now(UTC).isoformat(timespec="seconds"), **provenance()}
        attempts = [*run.meta.get("attempts", []), attempt]
        runs.update_meta(
            run.path, status="running", error=None, config_hash=runs.config_hash(run.config), attempts=attempts
        )
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
        text = "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
        runs.update_meta(run.path, status="failed", error=text, traceback=traceback.format_exc())
        raise
    runs.update_meta(run.path, status="done")
    return "done"


def _train_and_evaluate(run: Run) -> None:
    """Train, evaluate the trained policy, and make sure that the base model's evaluation exists."""
    _Progress(run, "load")(0, 1)
    sets = _problem_sets(run)
    _check_unchanged(run, sets)
    if _is_main():
        _report_overlap(run, sets)
    from agrae_lab.training.preflight import preflight
    from agrae_lab.training.thumbnails import keep_thumbnails
    from agrae_lab.training.train import train  # trl takes seconds to import

    several, trained, vllm = _num_processes() > 1, (run.path / "model").is_dir(), run.config["engine"] == "vllm"
    if not trained:
        with _for_users():
            preflight(run, sets)
    if _is_main():
        keep_thumbnails(run, sets)
    if not several and not vllm:  # several processes must not wait for one of them here, nor two vLLMs share a GPU
        _evaluate_base(run, sets, wait=False)
    with _timed(run, "train_seconds"):
        train(run, sets, on_step=_Progress(run, "train"))
    if vllm and not trained:
        _start_afresh(run)
    with _timed(run, "evaluate_seconds"):
        _evaluate(run, run.path / "model", run.path / "eval", sets, stream=policy_stream(run.seed))
    base_eval = _evaluate_base(run, sets, wait=True)
    if _is_main():
        runs.update_meta(run.path, base_eval=base_eval)


@contextmanager
def _for_users() -> Iterator[None]:
    """A ValueError in this block is for whoever gave the command, as a sentence without a traceback."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _start_afresh(run: Run) -> None:
    """Go on in a new program under the same process id: one that has trained with vLLM cannot free its GPU memory."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "agrae_lab.evaluate", str(run.path)])


def _problem_sets(run: Run) -> dict[str, Problems]:
    """The run's problems; meta.json and a warning say how many rows task.on_bad_row = skip has left out of them."""
    skipped: dict[str, list[str]] = {}
    with _for_users():
        sets = problem_sets(run.config, on_bad_rows=skipped.__setitem__)
    if skipped and _is_main():
        runs.update_meta(run.path, skipped_rows={name: len(sentences) for name, sentences in skipped.items()})
        for name, sentences in skipped.items():
            logger.warning("%d rows of %r cannot be used: left out; the first: %s", len(sentences), name, sentences[0])
    return sets


def _check_unchanged(run: Run, sets: Mapping[str, Problems]) -> None:
    """Refuse to go on with other problems, or another model, than the run was planned or begun with."""
    from agrae_lab.models.load import fingerprint_model

    for name, problems in sets.items():
        if fingerprint_problems(problems) != run.config["data_fingerprints"][name]:
            raise RunError(
                f"the problems of {name!r} have changed since {run.path} was made; restore them, or start anew"
            )
    fingerprint = fingerprint_model(run.config["model"]["path"])
    if run.meta.get("model_fingerprint", fingerprint) != fingerprint:
        raise RunError(f"the model at model.path has changed since {run.path} was begun; restore it, or start anew")
    if _is_main():
        runs.update_meta(run.path, model_fingerprint=fingerprint)


def _report_overlap(run: Run, sets: Mapping[str, Problems]) -> None:
    """Warn of test problems that the policy trains on, and count them in meta.json."""
    section, overlap = run.config["task"], {}
    trained = load_task(section["name"], section)
    for name, benchmark in run.config["evaluation"]["benchmarks"].items():
        task = load_task(benchmark["task"], section)
        if shared := count_shared(task, sets[name], trained, sets["train"]):
            overlap[name] = shared
            logger.warning(
                "evaluation.benchmarks.%s: %d of its %d problems are training problems too. Its accuracy measures "
                "memory as well; take them out of one of the two",
                *(name, shared, len(sets[name])),
            )
    runs.update_meta(run.path, train_test_overlap=overlap)


@contextmanager
def _timed(run: Run, name: str) -> Iterator[None]:
    """Add the block's seconds to meta.json, however it ends: timings are those of all attempts."""
    start = time.perf_counter()
    try:
        yield
    finally:
        if _is_main():
            timings = runs.read_run(run.path).meta.get("timings", {})
            timings[name] = timings.get(name, 0.0) + time.perf_counter() - start
            runs.update_meta(run.path, timings=timings)


def _is_main() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _num_processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _evaluate(
    run: Run, model_path: str | Path, into: Path, sets: Mapping[str, Problems], *, stream: int, phase: str = "evaluate"
) -> None:
    """Every benchmark of the run that `into` does not hold yet."""
    from agrae_lab.evaluation.sample import evaluate

    benchmarks = run.config["evaluation"]["benchmarks"]
    if all((into / name / "samples.parquet").is_file() for name in benchmarks):
        return
    shard = shard_of(run.config)
    if shard is None:
        return
    decoding = _decoding(run.config, stream=stream)
    needs = out_of_memory_means(evaluation_needs(decoding.batch_size))
    with needs, closing(_load_engine(str(model_path), run.config)) as engine:
        for name, benchmark in benchmarks.items():
            task, progress = load_task(benchmark["task"], run.config["task"]), _Progress(run, phase)
            evaluate(engine, task, sets[name], decoding, into / name, shard=shard, on_progress=progress)


def _evaluate_base(run: Run, sets: Mapping[str, Problems], *, wait: bool) -> dict[str, str]:
    """The evaluation of the model that the run starts from: made once, by the first run that comes to it.

    Another run that is at it is waited for, or, without `wait`, left to it. Returns benchmark → its samples, relative
    to the root.
    """
    from agrae_lab.models.load import fingerprint_model

    config = run.config
    key = {
        "model": fingerprint_model(config["model"]["path"]),
        "dtype": config["model"]["dtype"],
        "benchmarks": config["evaluation"]["benchmarks"],
        "problems": {name: fingerprint_problems(sets[name]) for name in config["evaluation"]["benchmarks"]},
        "decoding": asdict(_decoding(config, stream=BASE_STREAM)),
        **_unlike_nano(config),
    }
    into = run.root / "base" / runs.config_hash(key)
    if not _is_main():  # helps with the chunks; the main process holds the lock
        _evaluate(run, config["model"]["path"], into, sets, stream=BASE_STREAM, phase="evaluate base")
        return {}
    try:
        with runs.lock(into, wait=wait):
            runs.write_json(into / "meta.json", {"schema_version": runs.SCHEMA_VERSION, **key})
            _evaluate(run, config["model"]["path"], into, sets, stream=BASE_STREAM, phase="evaluate base")
    except RunBusyError:
        assert not wait
    return {name: str((into / name / "samples.parquet").relative_to(run.root)) for name in key["benchmarks"]}


def _unlike_nano(config: Mapping[str, Any]) -> dict[str, Any]:
    """What else decides an evaluation's samples and verdicts, where it is not what it always was."""
    settings = task_settings(config["task"], [b["task"] for b in config["evaluation"]["benchmarks"].values()])
    settings.pop("reward", None)  # that is for training
    engine = {} if config["engine"] == "transformers" else {"engine": config["engine"]}
    return {**({"task": settings} if settings else {}), **engine}


def _decoding(config: Mapping[str, Any], *, stream: int) -> Decoding:
    from agrae_lab.evaluation.engine import Decoding

    return Decoding(**{k: v for k, v in config["evaluation"].items() if k != "benchmarks"}, stream=stream)


def shard_of(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """(i, m): this process's part of an evaluation; None: no part, it lends its GPU to a neighbour's engine."""
    rank, size = int(os.environ.get("RANK", "0")), 1
    if config["engine"] == "vllm":
        size = config["hardware"]["vllm"]["tensor_parallel"]
    return None if rank % size else (rank // size, max(_num_processes() // size, 1))


def _load_engine(path: str, config: dict[str, Any]) -> Engine:
    import torch

    if config["engine"] == "vllm":
        from agrae_lab.evaluation.vllm_engine import VllmEngine

        parallel = config["hardware"]["vllm"]["tensor_parallel"]
        return VllmEngine(path, dtype=config["model"]["dtype"], tensor_parallel=parallel)
    from agrae_lab.evaluation.transformers_engine import TransformersEngine
    from agrae_lab.models.load import load_model

    model: Any
    model, processing = load_model(path, dtype=config["model"]["dtype"])
    use_cuda = config["hardware"]["device"] != "cpu" and torch.cuda.is_available()
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if use_cuda else "cpu"
    return TransformersEngine(model.to(device).eval(), processing)


class _Progress:
    """Says in progress.json and in the log how far a phase of a run is."""

    def __init__(self, run: Run, phase: str) -> None:
        self._run, self._phase, self._start = run, phase, time.perf_counter()

    def __call__(self, done: int, total: int) -> None:
        seconds = time.perf_counter() - self._start
        if _is_main():
            progress = {"phase": self._phase, "done": done, "total": total, "seconds": seconds}
            runs.write_json(self._run.path / "progress.json", {"schema_version": runs.SCHEMA_VERSION, **progress})
        logger.info("%s: %s %d/%d", self._run.key, self._phase, done, total)


class _Stopped(SystemExit):
    """SIGTERM has come: end this process, in good order."""


def _raise_stopped(number: int, frame: Any) -> None:
    raise _Stopped(128 + number)


def _join_experiment(config: Mapping[str, Any], run_dir: Path) -> None:
    """List a run that is launched alone among those of the experiment that its config names."""
    name, question = config["experiment"]["name"], config["experiment"]["question"]
    if name is not None:
        key = runs.read_run(run_dir).key
        runs.Experiment(name, question or "", (key,)).write(Path(config["root"]))


@hydra.main(config_path=str(CONF_DIR), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """One run in this process."""
    try:
        config = freeze(cfg)
        run_dir = runs.create_run(config)
        if _is_main():
            _join_experiment(config, run_dir)
        status = execute(run_dir)
    except (ConfigError, ModelError, RunError) as error:
        sys.exit(f"agrae_lab: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues this run")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        sys.exit("; ".join([f"agrae_lab: out of memory ({reason})", *getattr(error, "__notes__", [])]))
    if _is_main():
        print(json.dumps({"run": str(run_dir), "status": status}))
    if status != "done":
        sys.exit(1)


if __name__ == "__main__":
    # Hydra finds launcher plugins in the namespace package hydra_plugins, wherever it lies on the path.
    sys.path.append(str(CONF_DIR.parent / "sweeps" / "plugins"))
    main()
