"""Run directories: identity, status, provenance, listing. The run directory is the ledger; nothing else keeps state.

    <root>/
        experiments/<name>.json             which runs answer which question (an Experiment)
        <arm>-<hash8>/seed-<n>/             one run
            config.yaml                     fully resolved
            meta.json                       status, error, provenance, timings
            progress.json                   what the run is doing now, for displays
            metrics.parquet                 one row per step (a step = one generation batch, counted from 1)
            rollouts/step-000001.parquet    one row per sampled completion of that step
            checkpoints/                    to resume from
            model/                          the trained policy
            eval/<benchmark>/samples.parquet
            log.txt
        base/<key>/<benchmark>/samples.parquet   evaluations of base models, shared by all runs that start there
        pictures/                           of the problems, small, for reports (training/thumbnails.py)

This module imports neither torch nor pandas: displays and launchers read run directories in milliseconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

SCHEMA_VERSION = 1

# Config sections that do not change a run's result: where it is written, on what, who watches.
HOW = ("hardware", "tracking")
VOLATILE = ("root", "experiment", *HOW)

# running: started and not ended (alive while its lock is held, else cut off); interrupted: stopped on request.
STATUSES = ("pending", "running", "interrupted", "failed", "diverged", "done")
FINAL_STATUSES = ("done", "diverged")  # never started again: the same config would end the same way


_LOCK_ATTEMPTS = 5  # who only asks whether a run is locked holds the lock for an instant


class RunError(ValueError):
    """A run directory cannot be used; the message names the directory and says what would be right."""


class RunBusyError(RunError):
    """Another process is at work in this run directory."""


def config_hash(config: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> str:
    """12 hex digits that name what makes a run's result: the resolved config less VOLATILE and `without`."""
    kept = {k: v for k, v in config.items() if k not in VOLATILE and k not in without}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def run_dir_for(config: Mapping[str, Any]) -> Path:
    """`<root>/<arm>-<hash8>/seed-<n>`; the hash leaves out the seed, so that an arm's seeds lie side by side."""
    arm_hash = config_hash(config, without=("seed",))[:8]
    return Path(config["root"]) / f"{config['arm']}-{arm_hash}" / f"seed-{config['seed']}"


def create_run(config: Mapping[str, Any]) -> Path:
    """Make the run directory of a frozen config and write config.yaml there.

    In an existing one only the sections of HOW are brought up to date, and only while the run is neither finished
    nor at work: after running out of memory, say, it goes on with a smaller batch per device.

    Raises:
        RunError: the directory holds another config: one edited by hand, say.
    """
    path = run_dir_for(config)
    if not (path / "config.yaml").exists():
        _write_config(path, config)
        return path
    run = read_run(path)
    check_same_run(run, config)
    how = {section: config[section] for section in HOW if section in config}
    if run.status not in FINAL_STATUSES and any(run.config.get(section) != how[section] for section in how):
        with suppress(RunBusyError), lock(path):
            _write_config(path, {**run.config, **how})
    return path


def check_same_run(run: Run, config: Mapping[str, Any]) -> None:
    """Raises RunError unless a run's config makes the result that `config` does."""
    if config_hash(run.config) != config_hash(config):
        raise RunError(
            f"{run.path} belongs to another configuration (its config.yaml was edited by hand, or two configurations "
            "share an 8-digit hash); move that directory away or choose another root"
        )


def _write_config(path: Path, config: Mapping[str, Any]) -> None:
    config_path = path / "config.yaml"
    path.mkdir(parents=True, exist_ok=True)
    with replacing(config_path) as temporary:
        temporary.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


def write_json(path: Path, value: Any) -> None:
    """Write to a temporary name, then rename, so that a reader or a crash never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on leaving without an error it takes the place of `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Run:
    """One run directory as found on disk. `meta` is a snapshot; read the run again to see it move."""

    path: Path
    config: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def arm(self) -> str:
        return str(self.config["arm"])

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def status(self) -> str:
        return str(self.meta.get("status", "pending"))

    @property
    def root(self) -> Path:
        return self.path.parent.parent

    @property
    def key(self) -> str:
        """The run's name inside its root, as experiments list it: `<arm>-<hash8>/seed-<n>`."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.parquet"

    def rollout_paths(self) -> list[Path]:
        """Rollout files in step order."""
        return sorted((self.path / "rollouts").glob("step-*.parquet"))

    def samples_path(self, benchmark: str) -> Path:
        return self.path / "eval" / benchmark / "samples.parquet"

    def base_samples_path(self, benchmark: str) -> Path | None:
        """The shared evaluation of the model this run started from; None before it is known."""
        relative = (self.meta.get("base_eval") or {}).get(benchmark)
        return None if relative is None else self.root / relative

    def benchmarks(self) -> list[str]:
        """Benchmarks with finished evaluations."""
        return sorted(p.parent.name for p in (self.path / "eval").glob("*/samples.parquet"))

    def progress(self) -> dict[str, Any]:
        """`{"phase": str, "done": int, "total": int, "seconds": float}`; empty before the first report."""
        return _read_json_if_any(self.path / "progress.json")

    def is_locked(self) -> bool:
        """Whether a live process is at work here. Shares the lock to find out, so that two askers do not meet."""
        with (self.path / ".lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


@dataclass(frozen=True)
class Experiment:
    """Which runs answer one question: `experiments/<name>.json`."""

    name: str
    question: str
    runs: tuple[str, ...]  # run keys

    @classmethod
    def read(cls, path: Path) -> Experiment:
        raw = _read_json(path)
        _check_schema(raw, path)
        if missing := [key for key in ("name", "question", "runs") if key not in raw]:
            raise RunError(f"{path} is not a list of runs: it has no {', '.join(missing)}; launch the experiment again")
        return cls(name=raw["name"], question=raw["question"], runs=tuple(raw["runs"]))

    def write(self, root: Path) -> Path:
        """Write, keeping the runs that an earlier launch of the same experiment listed (other seeds, say)."""
        path = root / "experiments" / f"{self.name}.json"
        known = Experiment.read(path).runs if path.exists() else ()
        runs = [*known, *(key for key in self.runs if key not in known)]
        value = {"schema_version": SCHEMA_VERSION, "name": self.name, "question": self.question, "runs": runs}
        write_json(path, value)
        return path


def read_run(path: str | Path) -> Run:
    """Read one run directory.

    Raises:
        RunError: no config.yaml there, unreadable files, or another schema version.
    """
    path = Path(path)
    config_path = path / "config.yaml"
    if not config_path.is_file():
        raise RunError(f"{path} is not a run directory: it has no config.yaml")
    try:
        config = yaml.safe_load(config_path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{config_path} is not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise RunError(f"{config_path} does not hold a config")
    meta = _read_json_if_any(path / "meta.json")
    _check_schema(meta if meta else config, path)
    return Run(path=path, config=config, meta=meta)


def list_runs(root: str | Path) -> list[Run]:
    """All runs under a root, sorted by name; [] where there is none."""
    return [read_run(p.parent) for p in sorted(Path(root).glob("*/seed-*/config.yaml"))]


def list_experiments(root: str | Path) -> list[Experiment]:
    """All experiments under a root, sorted by name."""
    return [Experiment.read(p) for p in sorted((Path(root) / "experiments").glob("*.json"))]


def update_meta(path: Path, **changes: Any) -> dict[str, Any]:
    """Merge `changes` into meta.json. Only the process that holds the run's lock may call this."""
    meta = {"schema_version": SCHEMA_VERSION, **_read_json_if_any(path / "meta.json"), **changes}
    meta["updated"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path / "meta.json", meta)
    return meta


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the directory's lock for the life of the block; the kernel frees it when the process dies.

    Raises:
        RunBusyError: another process holds it and `wait` is false.
    """
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("a") as handle:
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                break
            except BlockingIOError as error:
                if attempt == _LOCK_ATTEMPTS - 1:
                    text = f"another process is at work in {path}; wait for it or stop it first"
                    raise RunBusyError(text) from error
                time.sleep(0.02)
        yield


def _check_schema(raw: Mapping[str, Any], path: Path) -> None:
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{path} was written by schema version {version}, but this agrae_lab reads version {SCHEMA_VERSION}; "
            "use the agrae_lab that wrote it, or another root"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} must hold a JSON object, and holds {type(value).__name__}")
    return value


def _read_json_if_any(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}
