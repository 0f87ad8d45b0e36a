"""Storage of a search: the Optuna study behind it. Only the controller opens the storage."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.search.space import FINGERPRINTS, changes
from sweeps.spec.study import Search, Study

BOOKS = "optuna.db"  # in the study's directory
# User attribute of the Optuna study: the settings that must not change on resume; stored under an older name.
FIXED_SETTINGS = "facts"
_MAX_CHANGES = 4  # named in a refusal


def default_url(study_dir: Path) -> str:
    """Return the URL of a SQLite file in the study's directory, enough for the one controller that writes."""
    return f"sqlite:///{(study_dir / BOOKS).absolute()}"


@contextmanager
def storage_at(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """Open a storage for the life of the block.

    Raises:
        PlanError: the storage cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = optuna.storages.RDBStorage(url)
    except (SQLAlchemyError, ImportError, OSError, RuntimeError, ValueError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        shown = _without_password(url)
        hint = "" if shown else ". Write it as sqlite:///<file> or postgresql://<user>@<host>:<port>/<database>"
        raise PlanError([f"the storage {shown or 'of the search'} cannot be used: {reason}{hint}"]) from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _without_password(url: str) -> str | None:
    """Return the URL of a storage with its password hidden; None for text that is no URL."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):  # ValueError: a port that is no number
        return None


@contextmanager
def storage_in_use(url: str) -> Iterator[None]:
    """Turn a failure of the storage inside this block into one sentence.

    Raises:
        RunError: the storage has failed, for example because its server is gone or its disk is full.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        if "malformed" in reason or "not a database" in reason:
            place = make_url(url).database if url.startswith("sqlite:") else _without_password(url)
            how = f"Restore {place}, or delete it: the search then starts again, and finds its finished runs"
            raise runs.RunError(f"the search's storage is damaged: {reason}. {how}") from error
        raise runs.RunError(f"the search's storage has failed: {reason}; run the same command to resume") from error


def open_study(study: Study, storage: optuna.storages.RDBStorage, fixed_settings: Mapping[str, Any]) -> optuna.Study:
    """Create the Optuna study of this name, or open it to resume the search.

    Args:
        fixed_settings: settings that must not change between launches (see space.fixed_settings).

    Raises:
        PlanError: the search was started with other fixed settings, or this project did not create the Optuna study.
    """
    with _no_warnings():
        opened = optuna.create_study(
            storage=storage,
            study_name=study.name,
            directions=[objective.direction for objective in study.objective],
            load_if_exists=True,
        )
    before = opened.user_attrs.get(FIXED_SETTINGS)
    if before is None:
        if opened.trials:
            already = f"the storage already has an Optuna study '{study.name}' that this project did not create"
            raise PlanError([f"{already}; give this study another name"])
        opened.set_user_attr(FIXED_SETTINGS, dict(fixed_settings))
        with _no_warnings():
            opened.set_metric_names([objective.metric for objective in study.objective])
    elif different := changes(before, _without_new_fingerprints(fixed_settings, before)):
        more = f", and {len(different) - _MAX_CHANGES} more" if len(different) > _MAX_CHANGES else ""
        differences = "; ".join(different[:_MAX_CHANGES]) + more
        begun = f"the search '{study.name}' was started with other settings: {differences}"
        raise PlanError([f"{begun}. Restore them, or give the study another name"])
    return opened


def _without_new_fingerprints(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without fingerprints that the storage of an older search lacks."""
    return {name: value for name, value in now.items() if name in before or not name.startswith(FINGERPRINTS)}


def make_sampler(search: Search, *, num_trials: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of the next trial.

    Its seed comes from the search's seed and the number of trials so far: a constant seed would propose the same point
    after every resume.

    Args:
        num_trials: the counted trials so far, without requeued ones, so that a resumed search proposes the same points
            as an unbroken one.
    """
    digest = hashlib.sha256(f"{search.seed} {num_trials}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    match search.sampler:
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        case "nsga2":  # Optuna's population of 50 would make a search of 50 trials a random one
            size = min(50, max(4, search.num_trials // 5))
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=size)


def counted_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards num_trials: all but the waiting and the requeued ones."""
    requeued = {trial.user_attrs.get("retry_of") for trial in trials}
    return [trial for trial in trials if trial.state.name != "WAITING" and trial.number not in requeued]


def requeue_unfinished_trials(study: optuna.Study, *, failed_too: bool = False) -> None:
    """Queue the parameters of the trials that a dead controller left running, then close these trials.

    In this order, a call that is cut off can be repeated: the next call only closes.

    Args:
        failed_too: also queue the trials that ended because a run failed.
    """
    trials = study.get_trials(deepcopy=False)
    requeued = {trial.user_attrs.get("retry_of") for trial in trials}
    for trial in trials:
        running = trial.state == optuna.trial.TrialState.RUNNING
        failed = trial.state == optuna.trial.TrialState.FAIL and trial.user_attrs.get("failed_run") is not None
        if trial.number not in requeued and (running or (failed and failed_too)):
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            attempt = trial.user_attrs.get("attempt", 1) + 1
            study.enqueue_trial(params, user_attrs={"retry_of": trial.number, "attempt": attempt})
        if running:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Hide Optuna's warnings of experimental features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
