"""The commands that make a study's runs again, from their frozen configs.

Every setting is given in full, so that the commands do not depend on what the defaults are by then. The words are
Hydra's: `group=choice`, `key=value`, and `++key=value` where a key may not be there yet.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from agrae_lab.runs import DERIVED, VOLATILE, Run
from analysis.io.study import Study, View, leaves

ROOT = "runs/again"
_SLOTS = ("base", "sample", "group", "token", "match")
_FROZEN = (*VOLATILE, *DERIVED, "data_fingerprints", "seed", "advantage", "loss", "world")
_OF_SOME_WORLDS = ("evaluation.benchmarks.", "model.lora.", "task.")  # keys that not every world has
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)  # what Hydra reads as text without quotes
_REVISION = re.compile(r"[0-9a-f]{7,64}\+?")
_KEYWORDS = ("null", "true", "false", "nan", "inf")


def script(study: Study, experiment: str) -> str:
    """Shell commands: the revision, the settings that all runs share, a line for each arm, the analysis."""
    arms = list(study.arms.items())
    words = [list(overrides(runs[0].config)) for _, runs in arms]
    shared = [word for word in words[0] if all(word in others for others in words)]
    named = [f"experiment.name={_value(experiment)}", f"experiment.question={_value(study.question)}", f"root={ROOT}"]
    lines = [*_checkout(study), "", "SETTINGS=("]
    lines += [f"  {shlex.quote(word)}" for word in (*named, *shared)]
    lines.append(")")
    for (_, runs), own in zip(arms, words, strict=True):
        seeds = ",".join(str(run.seed) for run in runs)
        rest = [shlex.quote(word) for word in own if word not in shared]
        command = ["python -m agrae_lab.train -m", '"${SETTINGS[@]}"', *rest, f"seed={seeds}"]
        lines += [f"# {runs[0].path.parent.name}", " ".join(command)]
    lines.append(f"python -m analysis runs={ROOT} experiment={shlex.quote(experiment)}{_looks(study.view)}")
    return "\n".join(lines) + "\n"


def overrides(config: Mapping[str, Any]) -> Iterator[str]:
    """Hydra overrides that compose to this frozen config, seed and root aside.

    `_source_`, the fingerprint of an estimator in a file of one's own, is among them: another file is refused.
    """
    if "world" in config:
        yield f"world={_value(config['world'])}"
    if "loss" in config:
        yield f"loss={_value(config['loss']['name'])}"
        yield from (f"loss.{key}={_value(value)}" for key, value in config["loss"].items() if key != "name")
    advantage = config["advantage"]
    yield f"advantage={_value(advantage['name'])}"
    yield f"advantage.flavor={_value(advantage['flavor'])}"
    for slot in _SLOTS:
        yield from _slot(slot, advantage.get(slot, {}))
    for key, value in leaves({key: value for key, value in config.items() if key not in _FROZEN}):
        yield f"{'++' if key.startswith(_OF_SOME_WORLDS) else ''}{key}={_value(value)}"


def _slot(slot: str, settings: Mapping[str, Any]) -> Iterator[str]:
    fields = {key: value for key, value in settings.items() if key != "name"}
    if "_target_" in fields:  # the name is then the class's own
        yield from (f"++advantage.{slot}.{key}={_value(value)}" for key, value in fields.items())
    elif "name" in settings:
        yield f"advantage/{slot}={_value(settings['name'])}"
        yield from (f"advantage.{slot}.{key}={_value(value)}" for key, value in fields.items())


def _value(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_value(key)}:{_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_value, value)) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _KEYWORDS:
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    """Hydra's quotes: a backslash stands for itself unless it is before a quote, where each needs another."""
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def _checkout(study: Study) -> list[str]:
    revisions = dict.fromkeys(revision for run in study.runs for revision in _revisions(run))
    lines = [f"git checkout {shlex.quote(revision.removesuffix('+'))}" for revision in revisions]
    if len(lines) > 1:
        lines = ["# the runs were made by several revisions", *(f"# {line}" for line in lines)]
    if any(revision.endswith("+") for revision in revisions):
        lines.append("# the working tree had changes that no revision records")
    return [*lines, "python -m pip install --constraint constraints.txt --editable ."]


def _revisions(run: Run) -> Iterator[str]:
    for attempt in run.meta.get("attempts", []):
        revision = str(attempt.get("git_revision"))
        if _REVISION.fullmatch(revision):
            yield revision


def _looks(view: View) -> str:
    words = [f"{key}={value}" for key in ("published", "smooth") if (value := getattr(view, key)) is not None]
    words += [f"seed={view.seed}"] if view.seed else []
    words += ["--intersect"] if view.intersect else []
    return "".join(f" {shlex.quote(word)}" for word in words)
