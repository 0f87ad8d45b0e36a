"""Run directories: create, read, update and list them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from agrae_lab.runs.files import (
    RunBusyError,
    RunError,
    is_locked,
    lock,
    number_in,
    read_json_if_any,
    replacing,
    unreadable_message,
    write_json,
)
from agrae_lab.runs.identity import (
    MACHINE_SECTIONS,
    OBSERVING,
    changed_files,
    same_evaluation,
    training_hash,
    training_identity,
)
from agrae_lab.runs.processes import Layout, is_launched, num_processes, resume_fault, strategy

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1

# running: in progress while its lock is held, else killed; interrupted: stopped on request.
STATUSES = ("pending", "running", "interrupted", "failed", "diverged", "done")
FINAL_STATUSES = ("done", "diverged")  # never restarted: the same config would end the same way


def run_dir_for(config: Mapping[str, Any]) -> Path:
    """Return `<root>/<method>-<hash8>/seed-<n>`; the hash leaves out the seed, so that seeds share a folder."""
    name = config.get("method") or config["arm"]
    return Path(config["root"]) / f"{name}-{training_hash(config, without=('seed',))[:8]}" / f"seed-{config['seed']}"


def create_run(config: Mapping[str, Any]) -> Path:
    """Create the run directory of a frozen config and write config.yaml; an existing one goes to `update_config`.

    Raises:
        RunError: the directory holds another config, such as one edited by hand.
        RunBusyError: the config requests other evaluations of a run in progress.
    """
    path = run_dir_for(config)
    if (path / "config.yaml").exists():
        update_config(read_run(path), config)
        return path
    for earlier, files in trained_by_other_code(config):
        logger.warning(
            "%s was trained by other code: %s has changed since. %s is a new run", earlier, ", ".join(files), path
        )
    _write_config(path, config)
    return path


def update_config(run: Run, config: Mapping[str, Any]) -> None:
    """Write what `config` requests beyond training into a run's config.yaml.

    New evaluations are written unless the run diverged; a done run then becomes pending and is only evaluated. The
    sections of MACHINE_SECTIONS are written together with them, or alone while the run is unfinished: after running out
    of memory it may resume with a smaller batch per device. So are, until training has ended, the keys of `train` that
    change no result (OBSERVING: checkpoints and validations). While the run is in progress, a change of these alone is
    skipped silently.

    Raises:
        RunError: the directory holds another config.
        RunBusyError: `config` requests other evaluations of a run in progress.
    """
    check_same_run(run, config)
    if (run.path / "model").is_dir() and (missing := _unrecorded_validation(run.config, config)):
        logger.warning(
            "%s was trained without %s, so that its metrics lack that validation. "
            "Train under another root to record it",
            run.key,
            ", ".join(missing),
        )
    changes = _changes(run, config)
    if changes.keys() & _EVALUATION_SECTIONS:
        with lock(run.path):
            _write_config(run.path, {**run.config, **changes})
            if run.status == "done":
                update_meta(run.path, status="pending")
    elif changes:
        with suppress(RunBusyError), lock(run.path):
            _write_config(run.path, {**run.config, **changes})


def updated_config(run: Run, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that a run has, or will have, once `update_config` has written what `config` requests."""
    return {**run.config, **_changes(run, config)}


def _unrecorded_validation(recorded: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """Return requested settings of validation that differ from those that a run was trained with."""
    before, now = recorded.get("train") or {}, requested.get("train") or {}
    if not now.get("validate_every"):
        return []
    keys = ("validate_every", "validate_on", "validate_samples")
    return [f"train.{key} = {now[key]}" for key in keys if now.get(key) is not None and now.get(key) != before.get(key)]


def trained_by_other_code(config: Mapping[str, Any]) -> list[tuple[Path, list[str]]]:
    """Return runs that differ from `config`'s in nothing but code, each with the files that differ."""
    found = []
    wanted = training_identity(config)
    path = run_dir_for(config)
    for other in sorted(path.parents[1].glob(f"{path.parent.name.rpartition('-')[0]}-*/{path.name}/config.yaml")):
        try:
            known = training_identity(_read_config(other))
        except (RunError, KeyError, TypeError, AttributeError):  # a damaged config is reported when that run is read
            continue
        before, now = known.pop("code", {}), wanted.get("code", {})
        if known == {key: value for key, value in wanted.items() if key != "code"} and before != now:
            found.append((other.parent, changed_files(before, now)))
    return found


_EVALUATION_SECTIONS = {"evaluation", "data_fingerprints", "code", "task"}  # they define the evaluations


def _changes(run: Run, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of config.yaml that `update_config` changes, with their new values."""
    changes = {}
    if run.status not in FINAL_STATUSES:
        changes = {key: config[key] for key in MACHINE_SECTIONS if key in config and run.config.get(key) != config[key]}
        train, requested = run.config.get("train") or {}, config.get("train") or {}
        observed = {**train, **{key: requested[key] for key in OBSERVING if key in requested}}
        if observed != train and not (run.path / "model").is_dir():
            changes["train"] = observed
    if run.status != "diverged" and not same_evaluation(run.config, config):
        changes |= {key: config[key] for key in (*MACHINE_SECTIONS, *_EVALUATION_SECTIONS) if key in config}
    return changes


def is_finished(run: Run, config: Mapping[str, Any]) -> bool:
    """Return whether a run has done everything that `config` requests."""
    if run.status == "done":
        return same_evaluation(run.config, config)
    return run.status in FINAL_STATUSES


def check_same_run(run: Run, config: Mapping[str, Any]) -> None:
    """Raise RunError unless a run's config has the training identity of `config`, and can resume with its processes."""
    if training_hash(run.config) != training_hash(config):
        raise RunError(
            f"{run.path / 'config.yaml'} belongs to another configuration (it was edited or damaged, or two "
            "configurations share an 8-digit hash). Move the run's directory away, or choose another root"
        )
    has_checkpoint = any((run.path / "checkpoints").glob("checkpoint-*/.complete"))
    layout = Layout(num_processes(), strategy=strategy()) if is_launched() else Layout.of(config)
    if has_checkpoint and (fault := resume_fault(layout, run.meta.get("attempts") or [])):
        raise RunError(f"{run.path}: {fault}")


def _write_config(path: Path, config: Mapping[str, Any]) -> None:
    config_path = path / "config.yaml"
    path.mkdir(parents=True, exist_ok=True)
    with replacing(config_path) as temporary:
        temporary.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


@dataclass(frozen=True)
class Run:
    """One run directory as read from disk. `meta` is a snapshot; read the run again for its progress."""

    path: Path
    config: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)

    def in_arm(self, arm: str) -> Run:
        """Return the run in an arm of this name: experiments may share it and name its arm differently."""
        return replace(self, config={**self.config, "arm": arm})

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
        """The run's name within its root, as experiments list it: `<method>-<hash8>/seed-<n>`."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.parquet"

    def rollout_paths(self) -> list[Path]:
        """Return the rollout files in step order."""
        return sorted((self.path / "rollouts").glob("step-*.parquet"))

    def samples_path(self, benchmark: str) -> Path:
        """Return the file of the trained policy's evaluation on a benchmark, the last one requested."""
        return self._named_samples(self.meta.get("evaluations"), self.path / "eval", benchmark)

    def base_samples_path(self, benchmark: str) -> Path | None:
        """Return the file of the base model's shared evaluation; None before it is recorded."""
        relative = (self.meta.get("base_eval") or {}).get(benchmark)
        return None if relative is None else self.root / relative

    def benchmarks(self) -> list[str]:
        """Return the benchmarks with finished evaluations."""
        return sorted(_evaluated(self.path / "eval"))

    def policy_dir(self, step: int) -> Path:
        """Return the folder of the policy after a step (evaluation.at_steps)."""
        return self.path / "policies" / f"step-{step:06d}"

    def evaluated_steps(self) -> list[int]:
        """Return the steps before the last with evaluated policies, in order."""
        found = (self.path / "policies").glob("step-*/eval/*/samples.parquet")
        return sorted({step for path in found if (step := number_in(path.parents[2])) is not None})

    def step_samples_path(self, step: int, benchmark: str) -> Path:
        """Return the file of the evaluation of the policy after a step."""
        named = (self.meta.get("evaluations_at") or {}).get(str(step))
        return self._named_samples(named, self.policy_dir(step) / "eval", benchmark)

    def _named_samples(self, named: Mapping[str, str] | None, folder: Path, benchmark: str) -> Path:
        """Return the evaluation that meta.json names; the newest if it names none, as in a killed run.

        Before the first evaluation: a path that does not exist, which the error of a reader then shows.
        """
        if (relative := (named or {}).get(benchmark)) is not None:
            return self.path / relative / "samples.parquet"
        found = _evaluated(folder).get(benchmark)
        return max(found, key=lambda path: path.stat().st_mtime) if found else folder / benchmark / "samples.parquet"

    def progress(self) -> dict[str, Any]:
        """Return `{"phase": str, "done": int, "total": int, "seconds": float, "pace": float | None}`; empty at first.

        pace: seconds for each of the total, in this attempt.
        """
        return read_json_if_any(self.path / "progress.json")

    def is_locked(self) -> bool:
        """Return whether the run is in progress: a live process holds its lock."""
        return is_locked(self.path)


# libyaml's safe loader reads a config in a tenth of the time, where PyYAML was built with it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_run(path: str | Path) -> Run:
    """Read one run directory.

    Raises:
        RunError: the directory has no config.yaml, unreadable files, or another schema version.
    """
    path = Path(path)
    config_path = path / "config.yaml"
    if not config_path.is_file():
        raise RunError(f"{path} is not a run directory: it has no config.yaml")
    config = _read_config(config_path)
    meta = read_json_if_any(path / "meta.json")
    check_schema(meta if meta else config, path)
    # made before evaluations had identities of their own
    if config.keys() >= {"data_fingerprints", "engine", "evaluation", "loss"} and "code" not in config:
        revision = (meta.get("attempts") or [{}])[-1].get("git_revision") or "the revision of its time"
        raise RunError(
            f"{path} was made when evaluations were part of a run's name, and this agrae_lab cannot use it. "
            f"Analyse it with {revision}, or train anew under another root"
        )
    return Run(path=path, config=config, meta=meta)


def _read_config(path: Path) -> dict[str, Any]:
    """Read a config.yaml.

    Raises:
        RunError: the file is damaged or cannot be read.
    """
    try:
        config = yaml.load(path.read_text(), Loader=_LOADER)
    except OSError as error:
        raise RunError(unreadable_message(path, error)) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2026-13-01
        fault = f"is not readable as YAML: {' '.join(str(error).split())}"
        raise RunError(f"{path} {fault}. Restore it, or delete the run's directory") from error
    if not isinstance(config, dict):
        raise RunError(f"{path} does not hold a config. Restore it, or delete the run's directory")
    return config


def list_runs(root: str | Path) -> list[Run]:
    """Return all runs under a root, sorted by name; [] if there is none."""
    return [read_run(path) for path in run_dirs(root)]


def run_dirs(root: str | Path) -> list[Path]:
    """Return the directories of all runs under a root, sorted by name. A copy such as seed-0.bak is no run."""
    found = (path.parent for path in Path(root).glob("*/seed-*/config.yaml"))
    return sorted(path for path in found if number_in(path) is not None)


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the paths and the settings (key=value, or ~key) among the words of a command, each in their order.

    A word with "=" is a path if there is such a directory: the name of a run's may have one, as grpo+beta=0.5-1a2b3c4d.
    """
    # os.path, since Path.is_dir raises on a word that is too long for a name
    settings = [w for w in words if ("=" in w or w.startswith("~")) and not os.path.isdir(w)]  # noqa: PTH112
    return [word for word in words if word not in settings], settings


def update_meta(path: Path, **changes: Any) -> dict[str, Any]:
    """Merge `changes` into meta.json. Only the process that holds the run's lock may call this."""
    meta = {"schema_version": SCHEMA_VERSION, **read_json_if_any(path / "meta.json"), **changes}
    meta["updated"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path / "meta.json", meta)
    return meta


def _evaluated(folder: Path) -> dict[str, list[Path]]:
    """Return benchmark → its finished evaluations in a folder `eval`."""
    found: dict[str, list[Path]] = {}
    for path in folder.glob("*-*/samples.parquet"):
        found.setdefault(path.parent.name.rpartition("-")[0], []).append(path)
    return found


def check_schema(raw: Mapping[str, Any], path: Path) -> None:
    """Raise RunError if a file or run directory is of another schema version."""
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{path} was written by schema version {version}, but this agrae_lab reads version {SCHEMA_VERSION}. "
            "Use the agrae_lab that wrote it, or another root"
        )
