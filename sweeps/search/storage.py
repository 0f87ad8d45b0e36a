"""The Optuna study behind a study of ours. Only the controller opens the storage."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.search.space import changes
from sweeps.spec.study import Search, Study

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FACTS = "facts"  # user attribute of the Optuna study: the fingerprint of the search
_MAX_CHANGES = 4  # named in a refusal


def default_url(study_dir: Path) -> str:
    """A SQLite file in the study's directory: enough, since one controller alone writes."""
    return f"sqlite:///{(study_dir / 'optuna.db').absolute()}"


@contextmanager
def storage_at(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """An open storage inside this block.

    Raises:
        PlanError: Optuna is not installed, or the storage cannot be reached.
    """
    try:
        import optuna
        from sqlalchemy import make_url
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise PlanError(["a search needs Optuna; install it: pip install 'agrae-lab[search]'"]) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = optuna.storages.RDBStorage(url)
    except (SQLAlchemyError, ImportError, OSError, RuntimeError) as error:
        try:
            shown = make_url(url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            shown = "of the search"
        reason = str(error.__cause__ or error).splitlines()[0]
        raise PlanError([f"the storage {shown} cannot be used: {reason}"]) from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def storage_in_use() -> Iterator[None]:
    """Inside this block a failure of the storage is told in a sentence.

    Raises:
        RunError: its server is gone, say, or its disk is full.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise runs.RunError(f"the search's storage has failed: {reason}; the same command continues") from error


def open_study(study: Study, storage: optuna.storages.RDBStorage, facts: Mapping[str, Any]) -> optuna.Study:
    """Begin the search, or take up the one of this name.

    Args:
        facts: what must not change from one launch to the next (see space.fingerprint).

    Raises:
        PlanError: the search was begun with other facts, or the study of this name is not ours.
    """
    import optuna

    with _no_warnings():
        opened = optuna.create_study(
            storage=storage,
            study_name=study.name,
            directions=[objective.direction for objective in study.objective],
            load_if_exists=True,  # whatever its directions are
        )
    before = opened.user_attrs.get(FACTS)
    if before is None:
        if opened.trials:
            raise PlanError([f"the storage has a study '{study.name}' that was made by others; use another name"])
        opened.set_user_attr(FACTS, dict(facts))
        with _no_warnings():
            opened.set_metric_names([objective.metric for objective in study.objective])
    elif different := changes(before, facts):
        more = f", and {len(different) - _MAX_CHANGES} more" if len(different) > _MAX_CHANGES else ""
        told = "; ".join(different[:_MAX_CHANGES]) + more
        raise PlanError(
            [f"the search '{study.name}' was begun otherwise: {told}; restore that, or give the study another name"]
        )
    return opened


def make_sampler(search: Search, *, num_trials: int) -> optuna.samplers.BaseSampler:
    """The sampler of the next trial.

    Its seed comes from the search's and from the number of trials so far: one seed for all would propose the same
    point after every resume.

    Args:
        num_trials: the trials that count so far; those that were taken up again do not, so that a search that was cut
            off proposes what an unbroken one would have.
    """
    import optuna

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


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that are part of num_trials: all but the queued ones, and those that another trial has taken up."""
    taken_up = {trial.user_attrs.get("retry_of") for trial in trials}
    return [trial for trial in trials if trial.state.name != "WAITING" and trial.number not in taken_up]


def take_up(study: optuna.Study, *, failed_too: bool = False) -> None:
    """Close the trials that a dead controller left at work, and queue their parameters again.

    Queued first, then closed: cut off in between, the next call only closes.

    Args:
        failed_too: also those that ended because a run failed.
    """
    import optuna

    trials = study.get_trials(deepcopy=False)
    taken_up = {trial.user_attrs.get("retry_of") for trial in trials}
    for trial in trials:
        running = trial.state == optuna.trial.TrialState.RUNNING
        failed = trial.state == optuna.trial.TrialState.FAIL and trial.user_attrs.get("failed_run") is not None
        if trial.number not in taken_up and (running or (failed and failed_too)):
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            attempt = trial.user_attrs.get("attempt", 1) + 1
            study.enqueue_trial(params, user_attrs={"retry_of": trial.number, "attempt": attempt})
        if running:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Optuna warns of what it calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
