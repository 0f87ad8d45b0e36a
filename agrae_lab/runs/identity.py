"""Two identities: one of training, which names a run's directory, and one of an evaluation, which names its directory.

Training identity: all that decides the trained weights. Another benchmark, more samples, a checkpoint more or less, an
arm's label and the machine are not in it. Evaluation identity: all that decides a sample and its verdict. The number
of samples and the batch size are not in it, since every sample has its own random stream (evaluation/streams.py).
Values count, not their spelling: 1 is 1.0, an estimator is its links, a file is what it holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from agrae_lab.runs.files import RunError

# Sections of a config that change no result: where it is written, on what, who watches.
HOW = ("hardware", "tracking")
VOLATILE = ("root", "experiment", *HOW)
# Keys that freezing derives from the rest of a config and that tell a reader nothing new; data_fingerprints do.
DERIVED = ("schema_version", "model_fingerprint", "method", "code")

_NOT_OF_TRAINING = (*VOLATILE, "arm", "world", "evaluation", "schema_version", "method")
_WATCHING = ("checkpoint_every", "validate_every", "validate_on", "validate_samples")  # of `train`
_NOT_OF_TASKS = ("train_file", "on_bad_row")  # data_fingerprints say which problems there are


def config_hash(config: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> str:
    """12 hex digits that name the weights a run trains: its training identity less `without`."""
    return _digest({key: value for key, value in training_identity(config).items() if key not in without})


def training_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Everything in a frozen config that decides the trained weights, in a form in which equal runs are equal."""
    kept = {key: value for key, value in config.items() if key not in _NOT_OF_TRAINING}
    if isinstance(train := kept.get("train"), Mapping):
        kept["train"] = {key: value for key, value in train.items() if key not in _WATCHING}
    if isinstance(task := kept.get("task"), Mapping) and "name" in task:
        kept["task"] = _task(str(task["name"]), task)
    if isinstance(advantage := kept.get("advantage"), Mapping):
        kept["advantage"] = {key: _link(value) for key, value in advantage.items() if key not in ("name", "flavor")}
    if (fingerprint := kept.pop("model_fingerprint", None)) is not None:
        kept["model"] = {key: value for key, value in kept["model"].items() if key != "path"} | {"is": fingerprint}
    if "data_fingerprints" in kept:
        kept["data_fingerprints"] = kept["data_fingerprints"]["train"]
    if isinstance(code := kept.get("code"), Mapping):
        kept["code"] = code["training"]
    return _plain(kept)


def evaluation_identity(config: Mapping[str, Any], benchmark: str, *, model: str, stream: int) -> dict[str, Any]:
    """Everything that decides the samples and verdicts of one policy on one benchmark.

    Args:
        config: frozen.
        model: fingerprint of the policy.
        stream: of its training seed (evaluation/streams.py).
    """
    evaluation = config["evaluation"]
    return _plain(
        {
            "model": model,
            "dtype": config["model"]["dtype"],
            "engine": config["engine"],
            "task": _task(evaluation["benchmarks"][benchmark]["task"], {**config["task"], "reward": None}),
            "problems": config["data_fingerprints"][benchmark],
            "decoding": {key: evaluation[key] for key in ("temperature", "top_p", "max_new_tokens")},
            "seed": evaluation["seed"],
            "stream": stream,
            "code": config["code"]["evaluation"][benchmark],
        }
    )


def evaluation_hash(identity: Mapping[str, Any]) -> str:
    """8 hex digits of an evaluation identity."""
    return _digest(identity)[:8]


def same_evaluation(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two frozen configs of one run ask for the same evaluations."""

    def asked(config: Mapping[str, Any]) -> str:
        evaluation = {key: value for key, value in (config.get("evaluation") or {}).items() if key != "batch_size"}
        names = evaluation.get("benchmarks") or {}
        problems = {name: (config.get("data_fingerprints") or {}).get(name) for name in names}
        code = (config.get("code") or {}).get("evaluation")
        return _digest({"evaluation": evaluation, "problems": problems, "code": code})

    return asked(one) == asked(other)


def joined_evaluations(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`one`, a frozen config, with the benchmarks and samples that either of two configs of one run asks for.

    Raises:
        RunError: they ask for samples of one benchmark drawn in two ways, say.
    """
    a, b = one.get("evaluation") or {}, other.get("evaluation") or {}
    benchmarks = {**b.get("benchmarks", {}), **a.get("benchmarks", {})}
    for name in a.get("benchmarks", {}).keys() & b.get("benchmarks", {}).keys():
        if _digest(a["benchmarks"][name]) != _digest(b["benchmarks"][name]):
            raise RunError(_two_ways(one, f"benchmarks.{name}"))
    for key in sorted((a.keys() | b.keys()) - {"benchmarks", "num_samples", "batch_size"}):
        if _digest(a.get(key)) != _digest(b.get(key)):
            raise RunError(_two_ways(one, key))
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
    return result


def _two_ways(config: Mapping[str, Any], key: str) -> str:
    return (
        f"evaluation.{key} differs between two configurations that train the same policy ({config.get('method')}, seed "
        f"{config.get('seed')}); evaluate it the second way afterwards: python -m agrae_lab.evaluate"
    )


def _task(name: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """A task with those settings of a run's section `task` that it uses."""
    from agrae_lab.tasks import settings_of_task  # pandas comes with it

    used = settings_of_task(name, section)
    return {"name": name, **{key: value for key, value in used.items() if key not in _NOT_OF_TASKS}}


def _link(settings: Any) -> Any:
    """A link's settings; a file of one's own is its content, wherever it lies and however it is written."""
    if not isinstance(settings, Mapping) or settings.get("_target_") is None:
        return settings
    class_name = str(settings["_target_"]).replace(":", ".").rpartition(".")[2]
    return {**settings, "_target_": class_name}


def _plain(value: Any) -> Any:
    """The value with every number as a float: 1 and 1.0 are one setting."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return float(value) if type(value) is int else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True, default=str).encode()).hexdigest()[:12]
