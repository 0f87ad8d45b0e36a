"""One run directory: making it, reading it, listing those of a root."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from agrae_lab.runs.files import RunBusyError, RunError, is_locked, lock, read_json_if_any, replacing, write_json
from agrae_lab.runs.identity import HOW, config_hash, same_evaluation, training_identity

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1

# running: started and not ended (alive while its lock is held, else cut off); interrupted: stopped on request.
STATUSES = ("pending", "running", "interrupted", "failed", "diverged", "done")
FINAL_STATUSES = ("done", "diverged")  # never started again: the same config would end the same way


def run_dir_for(config: Mapping[str, Any]) -> Path:
    """`<root>/<method>-<hash8>/seed-<n>`; the hash leaves out the seed, so that a method's seeds lie side by side."""
    name = config.get("method") or config["arm"]
    return Path(config["root"]) / f"{name}-{config_hash(config, without=('seed',))[:8]}" / f"seed-{config['seed']}"


def create_run(config: Mapping[str, Any]) -> Path:
    """Make the run directory of a frozen config and write config.yaml there; in an existing one, `ask` for the config.

    Raises:
        RunError: the directory holds another config (one edited by hand, say).
        RunBusyError: other evaluations are asked of a run in progress.
    """
    path = run_dir_for(config)
    if (path / "config.yaml").exists():
        ask(read_run(path), config)
        return path
    for earlier, files in trained_by_other_code(config):
        logger.warning(
            "%s was trained by other code (%s has changed since): %s is another run", earlier, ", ".join(files), path
        )
    _write_config(path, config)
    return path


def ask(run: Run, config: Mapping[str, Any]) -> None:
    """Bring up to date what a run does beside training, while no process is at work there.

    That is HOW, as long as the run is not finished (after running out of memory it goes on with a smaller batch per
    device, say), and `evaluation`. A finished run of which other evaluations are asked is pending again: it lacks
    them, and is not trained again.

    Raises:
        RunError, RunBusyError: as create_run.
    """
    check_same_run(run, config)
    if (run.path / "model").is_dir() and (missing := _validation_not_recorded(run.config, config)):
        logger.warning(
            "%s is trained already, without %s: its metrics lack that validation, and figures of it will too; "
            "train under another root to record it",
            run.key,
            ", ".join(missing),
        )
    changes = _changes(run, config)
    if changes.keys() & _ASKED:
        with lock(run.path):
            _write_config(run.path, {**run.config, **changes})
            if run.status == "done":
                update_meta(run.path, status="pending")
    elif changes:
        with suppress(RunBusyError), lock(run.path):
            _write_config(run.path, {**run.config, **changes})


def _validation_not_recorded(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Settings of validation that are asked for and differ from those that a run was trained with."""
    before, now = recorded.get("train") or {}, asked.get("train") or {}
    if not now.get("validate_every"):
        return []
    keys = ("validate_every", "validate_on", "validate_samples")
    return [f"train.{key} = {now[key]}" for key in keys if now.get(key) is not None and now.get(key) != before.get(key)]


def trained_by_other_code(config: Mapping[str, Any]) -> list[tuple[Path, list[str]]]:
    """Runs beside `config`'s that differ from it in nothing but code, and the files in which they do."""
    found = []
    wanted = training_identity(config)
    path = run_dir_for(config)
    for other in sorted(path.parents[1].glob(f"{path.parent.name.rpartition('-')[0]}-*/{path.name}/config.yaml")):
        known = training_identity(yaml.safe_load(other.read_text()))
        before, now = known.pop("code", {}), {**wanted}.pop("code", {})
        if known == {key: value for key, value in wanted.items() if key != "code"} and before != now:
            files = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
            found.append((other.parent, files))
    return found


_ASKED = {"evaluation", "data_fingerprints", "code", "task"}  # what says which evaluations are asked for


def _changes(run: Run, config: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be written into config.yaml of a run that the config asks for again."""
    changes = {}
    if run.status not in FINAL_STATUSES:
        changes = {key: config[key] for key in HOW if key in config and run.config.get(key) != config[key]}
    if run.status != "diverged" and not same_evaluation(run.config, config):
        changes |= {key: config[key] for key in (*HOW, *_ASKED) if key in config}
    return changes


def is_finished(run: Run, config: Mapping[str, Any]) -> bool:
    """Whether nothing is left to do of a run that `config` asks for."""
    if run.status == "done":
        return same_evaluation(run.config, config)
    return run.status in FINAL_STATUSES


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
        """The run's name inside its root, as experiments list it: `<method>-<hash8>/seed-<n>`."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.parquet"

    def rollout_paths(self) -> list[Path]:
        """Rollout files in step order."""
        return sorted((self.path / "rollouts").glob("step-*.parquet"))

    def samples_path(self, benchmark: str) -> Path:
        """The evaluation of the trained policy on a benchmark, the last one that was asked for."""
        return self._named_samples(self.meta.get("evaluations"), self.path / "eval", benchmark)

    def base_samples_path(self, benchmark: str) -> Path | None:
        """The shared evaluation of the model this run started from; None before it is known."""
        relative = (self.meta.get("base_eval") or {}).get(benchmark)
        return None if relative is None else self.root / relative

    def benchmarks(self) -> list[str]:
        """Benchmarks with finished evaluations."""
        return sorted(_evaluated(self.path / "eval"))

    def policy_dir(self, step: int) -> Path:
        """Of the policy after a step, which evaluation.at_steps asks for."""
        return self.path / "policies" / f"step-{step:06d}"

    def evaluated_steps(self) -> list[int]:
        """Steps before the last whose policies have been evaluated, in order."""
        found = (self.path / "policies").glob("step-*/eval/*/samples.parquet")
        return sorted({int(path.parents[2].name.removeprefix("step-")) for path in found})

    def step_samples_path(self, step: int, benchmark: str) -> Path:
        """The evaluation of the policy after a step."""
        named = (self.meta.get("evaluations_at") or {}).get(str(step))
        return self._named_samples(named, self.policy_dir(step) / "eval", benchmark)

    def _named_samples(self, named: Mapping[str, str] | None, folder: Path, benchmark: str) -> Path:
        """The evaluation that meta.json names; where it names none (the run is cut off), the newest."""
        if (relative := (named or {}).get(benchmark)) is not None:
            return self.path / relative / "samples.parquet"
        found = _evaluated(folder).get(benchmark)
        return max(found, key=lambda path: path.stat().st_mtime) if found else folder / benchmark / "samples.parquet"

    def progress(self) -> dict[str, Any]:
        """`{"phase": str, "done": int, "total": int, "seconds": float}`; empty before the first report."""
        return read_json_if_any(self.path / "progress.json")

    def is_locked(self) -> bool:
        """Whether a live process is at work here."""
        return is_locked(self.path)


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
    meta = read_json_if_any(path / "meta.json")
    check_schema(meta if meta else config, path)
    if config.keys() >= {"data_fingerprints", "engine", "evaluation", "loss"} and "code" not in config:
        revision = (meta.get("attempts") or [{}])[-1].get("git_revision") or "the revision of its time"
        raise RunError(
            f"{path} was made when evaluations were part of what names a run, and this agrae_lab cannot use it; "
            f"analyse it with {revision}, or train anew under another root"
        )
    return Run(path=path, config=config, meta=meta)


def list_runs(root: str | Path) -> list[Run]:
    """All runs under a root, sorted by name; [] where there is none."""
    return [read_run(p.parent) for p in sorted(Path(root).glob("*/seed-*/config.yaml"))]


def update_meta(path: Path, **changes: Any) -> dict[str, Any]:
    """Merge `changes` into meta.json. Only the process that holds the run's lock may call this."""
    meta = {"schema_version": SCHEMA_VERSION, **read_json_if_any(path / "meta.json"), **changes}
    meta["updated"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path / "meta.json", meta)
    return meta


def _evaluated(folder: Path) -> dict[str, list[Path]]:
    """Benchmark → its finished evaluations in a folder `eval`."""
    found: dict[str, list[Path]] = {}
    for path in folder.glob("*-*/samples.parquet"):
        found.setdefault(path.parent.name.rpartition("-")[0], []).append(path)
    return found


def check_schema(raw: Mapping[str, Any], path: Path) -> None:
    """Raises RunError, with what to do, if a file or run directory is of another schema version."""
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{path} was written by schema version {version}, but this agrae_lab reads version {SCHEMA_VERSION}; "
            "use the agrae_lab that wrote it, or another root"
        )
