"""Training identity, which names a run's directory, and evaluation identity, which names an evaluation's directory.

Training identity: everything that decides the trained weights. It leaves out benchmarks, numbers of samples,
checkpoints, labels and the machine. Evaluation identity: everything that decides a sample and its verdict. It leaves
out the number of samples and the batch size, since every sample has its own random stream (evaluation/streams.py).
Identities compare values, not spelling: 1 is 1.0, an estimator is its links, a file is its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agrae_lab.runs.files import RunError

# Sections that say where and with what memory a run computes. An unfinished run may resume under others.
MACHINE_SECTIONS = ("hardware", "tracking")
# Sections that change no result: the machine's, and the run's place and experiment.
NOT_RESULT_SECTIONS = ("root", "experiment", *MACHINE_SECTIONS)
# Keys that freezing adds, from the config and from the files of model and code. data_fingerprints is not listed: it
# tells apart problem files that have one name.
DERIVED = ("schema_version", "model_fingerprint", "method", "code")

_NOT_OF_TRAINING = (*NOT_RESULT_SECTIONS, "arm", "world", "evaluation", "schema_version", "method")
OBSERVING = ("checkpoint_every", "validate_every", "validate_on", "validate_samples")  # keys of `train`
_NOT_OF_TASKS = ("train_file", "on_bad_row")  # data_fingerprints identify the problems


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of a config. Lists and empty sections are values."""
    if not isinstance(node, Mapping) or not node:
        yield prefix.removesuffix("."), node
        return
    for key, value in node.items():
        yield from leaves(value, f"{prefix}{key}.")


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dotted settings of a config, without its arm, seed, place and machine, and without derived keys."""
    left_out = (*NOT_RESULT_SECTIONS, *DERIVED, "arm", "seed")
    return {key: value for key, value in leaves(config) if key.partition(".")[0] not in left_out}


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings that are not the same in all configs, in the order of the first that has them."""
    found = [settings(config) for config in configs]
    keys = dict.fromkeys(key for one in found for key in one)
    return [key for key in keys if len({_digest(one.get(key)) for one in found}) > 1]


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of changed, added and removed files, sorted. Arguments: file → fingerprint."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def training_hash(config: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> str:
    """Return 12 hex digits of the training identity, less the keys in `without`."""
    return _digest({key: value for key, value in training_identity(config).items() if key not in without})


def training_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything in a frozen config that decides the trained weights; equal runs have equal identities."""
    identity = {key: value for key, value in config.items() if key not in _NOT_OF_TRAINING}
    if isinstance(train := identity.get("train"), Mapping):
        identity["train"] = {key: value for key, value in train.items() if key not in OBSERVING}
    if isinstance(task := identity.get("task"), Mapping) and "name" in task:
        identity["task"] = _task_identity(str(task["name"]), task)
    if isinstance(advantage := identity.get("advantage"), Mapping):
        identity["advantage"] = {
            key: _normalised_link(value) for key, value in advantage.items() if key not in ("name", "flavor")
        }
    if (fingerprint := identity.pop("model_fingerprint", None)) is not None:
        # a model on this machine is its content, under the key "is", and not its path
        identity["model"] = {key: value for key, value in identity["model"].items() if key != "path"} | {
            "is": fingerprint
        }
    if "data_fingerprints" in identity:
        identity["data_fingerprints"] = identity["data_fingerprints"]["train"]
    if isinstance(code := identity.get("code"), Mapping):
        identity["code"] = code["training"]
    return _normalised(identity)


def evaluation_identity(config: Mapping[str, Any], benchmark: str, *, model: str, stream: int) -> dict[str, Any]:
    """Return everything that decides the samples and verdicts of one policy on one benchmark.

    Args:
        config: a frozen config.
        model: the policy's fingerprint.
        stream: the random stream of its training seed (evaluation/streams.py).
    """
    evaluation = config["evaluation"]
    return _normalised(
        {
            "model": model,
            "dtype": config["model"]["dtype"],
            "engine": config["engine"],
            "task": _benchmark_task(config, benchmark),
            "problems": config["data_fingerprints"][benchmark],
            "decoding": {key: evaluation[key] for key in ("temperature", "top_p", "max_new_tokens")},
            "seed": evaluation["seed"],
            "stream": stream,
            "code": config["code"]["evaluation"][benchmark],
        }
    )


def evaluation_hash(identity: Mapping[str, Any]) -> str:
    """Return 8 hex digits of an evaluation identity."""
    return _digest(identity)[:8]


def same_evaluation(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two frozen configs of one run request the same evaluations."""

    def requested(config: Mapping[str, Any]) -> str:
        evaluation = {key: value for key, value in (config.get("evaluation") or {}).items() if key != "batch_size"}
        used = {name: _used_by_benchmark(config, name) for name in evaluation.get("benchmarks") or {}}
        return _digest({"evaluation": evaluation, "used": used})

    return requested(one) == requested(other)


def joined_evaluations(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the frozen config `one`, requesting the benchmarks of both configs and the larger num_samples.

    Raises:
        RunError: the configs differ in a setting of one benchmark, in its problems or code, or in decoding; or their
            benchmarks need different settings in `task`.
    """
    a, b = one.get("evaluation") or {}, other.get("evaluation") or {}
    benchmarks = {**b.get("benchmarks", {}), **a.get("benchmarks", {})}
    for name in a.get("benchmarks", {}).keys() & b.get("benchmarks", {}).keys():
        if _digest(a["benchmarks"][name]) != _digest(b["benchmarks"][name]):
            raise RunError(_conflict_message(one, f"evaluation.benchmarks.{name}"))
    for key in sorted((a.keys() | b.keys()) - {"benchmarks", "num_samples", "batch_size"}):
        if _digest(a.get(key)) != _digest(b.get(key)):
            raise RunError(_conflict_message(one, f"evaluation.{key}"))
    joined = {**a, "benchmarks": dict(sorted(benchmarks.items()))}
    if "num_samples" in a and "num_samples" in b:
        joined["num_samples"] = max(a["num_samples"], b["num_samples"])
    result = {**one, "evaluation": joined}
    for section in ("data_fingerprints", "task"):
        if section in one:
            result[section] = {**other.get(section, {}), **one[section]}
    if "code" in one:
        evaluation = {**other["code"]["evaluation"], **one["code"]["evaluation"]}
        result["code"] = {**one["code"], "evaluation": evaluation}
    _check_joined(result, (one, other))
    return result


def _check_joined(joined: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> None:
    """Raise RunError unless every benchmark uses in the joined config what it uses in its own."""
    for config in configs:
        for name in (config.get("evaluation") or {}).get("benchmarks", {}):
            own, shared = _used_by_benchmark(config, name), _used_by_benchmark(joined, name)
            for key in sorted(own.keys() | shared.keys()):
                if _digest(own.get(key)) != _digest(shared.get(key)):
                    raise RunError(_conflict_message(joined, key))


def _used_by_benchmark(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a benchmark uses outside the section `evaluation`, under the names that messages give it."""
    return {
        **{f"task.{key}": value for key, value in _benchmark_task(config, name).items()},
        f"the problem set of evaluation.benchmarks.{name}": (config.get("data_fingerprints") or {}).get(name),
        f"the code of evaluation.benchmarks.{name}": ((config.get("code") or {}).get("evaluation") or {}).get(name),
    }


def _benchmark_task(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the identity of a benchmark's task, {} if it names none; a reward does not change a verdict."""
    task = (config["evaluation"]["benchmarks"][name] or {}).get("task")
    return {} if task is None else _task_identity(str(task), {**config["task"], "reward": None})


def _conflict_message(config: Mapping[str, Any], differing_part: str) -> str:
    """Return the message for a part of an evaluation that differs between two configs of a run."""
    return (
        f"{differing_part} differs between two configurations that train the same policy ({config.get('method')}, seed "
        f"{config.get('seed')}). Run the second evaluation afterwards: python -m agrae_lab.evaluate"
    )


def _task_identity(name: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task's name with the settings of a run's section `task` that it uses."""
    from agrae_lab.tasks import settings_of_task  # imports pandas

    used = settings_of_task(name, section)
    return {"name": name, **{key: value for key, value in used.items() if key not in _NOT_OF_TASKS}}


def _normalised_link(settings: Any) -> Any:
    """Return the settings of a link or a chain. A class of the user's file counts by its name, not by the path."""
    if not isinstance(settings, Mapping):
        return settings
    inner = {key: _normalised_link(value) for key, value in settings.items()}  # a chain has a section for each link
    if settings.get("_target_") is not None:
        inner["_target_"] = str(settings["_target_"]).replace(":", ".").rpartition(".")[2]
    return inner


def _normalised(value: Any) -> Any:
    """Return the value with every number as a float: 1 and 1.0 are one setting. Whole numbers that no float is stay."""
    if isinstance(value, Mapping):
        return {str(key): _normalised(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_normalised(inner) for inner in value]
    return float(value) if type(value) is int and _is_float(value) else value


def _is_float(number: int) -> bool:
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(_normalised(value), sort_keys=True, default=str).encode()).hexdigest()[:12]
