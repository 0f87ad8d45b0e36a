"""Commands that repeat a study's runs, from their frozen configs.

Every setting is spelled out, so that the commands do not depend on later defaults. The overrides are Hydra's:
`group=choice`, `key=value`, and `++key=value` for a key that may not exist yet.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from agrae_lab.runs import DERIVED, NOT_RESULT_SECTIONS, Run, leaves
from analysis.io.study import Study, View

ROOT = "runs/again"
_SLOTS = ("base", "sample", "group", "token", "match")
_FROZEN = (*NOT_RESULT_SECTIONS, *DERIVED, "data_fingerprints", "seed", "advantage", "loss", "world")
_WORLD_KEYS = ("evaluation.benchmarks.", "model.lora.", "task.")  # prefixes of keys that some worlds lack
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)  # text that Hydra reads without quotes
_REVISION = re.compile(r"[0-9a-f]{7,64}\+?")
_KEYWORDS = ("null", "true", "false", "nan", "inf")


def script(study: Study, experiment: str) -> str:
    """Return shell commands: checkout, the settings that all runs share, a line for each arm, the analysis.

    "" where no run has started.
    """
    if not study.arms:
        return ""
    arms = list(study.arms.items())
    own_words = [list(overrides(runs[0].config)) for _, runs in arms]
    shared = [word for word in own_words[0] if all(word in others for others in own_words)]
    named = [f"experiment.name={_value(experiment)}", f"experiment.question={_value(study.question)}", f"root={ROOT}"]
    lines = [*_checkout(study), "", "SETTINGS=("]
    lines += [f"  {shlex.quote(word)}" for word in (*named, *shared)]
    lines.append(")")
    for (_, runs), own in zip(arms, own_words, strict=True):
        seeds = ",".join(str(run.seed) for run in runs)
        rest = [shlex.quote(word) for word in own if word not in shared]
        command = ["python -m agrae_lab.train -m", '"${SETTINGS[@]}"', *rest, f"seed={seeds}"]
        lines += [f"# {runs[0].path.parent.name}", " ".join(command)]
    lines.append(f"python -m analysis runs={ROOT} experiment={shlex.quote(experiment)}{_view_words(study.view)}")
    return "\n".join(lines) + "\n"


def overrides(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield Hydra overrides that compose to this frozen config, except seed and root.

    They include `_source_`, the fingerprint of an estimator in a user's file, so that another file is refused.
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
        yield f"{'++' if key.startswith(_WORLD_KEYS) else ''}{key}={_value(value)}"


def _slot(slot: str, settings: Mapping[str, Any]) -> Iterator[str]:
    names = str(settings.get("name", "")).split("+")
    if len(names) == 1:
        yield from _link(f"advantage.{slot}", settings)
        return
    sections = {name: settings.get(name, {}) for name in names}  # a chain: agrae_lab/advantages/chain.py
    choices = [section.get("_target_", name) for name, section in sections.items()]
    yield f"advantage/{slot}={'+'.join(choices)}"
    for name, section in sections.items():
        yield from (f"++advantage.{slot}.{name}.{key}={_value(value)}" for key, value in section.items())


def _link(key: str, settings: Mapping[str, Any]) -> Iterator[str]:
    fields = {field: value for field, value in settings.items() if field != "name"}
    if "_target_" in fields:  # the class has its own name
        yield from (f"++{key}.{field}={_value(value)}" for field, value in fields.items())
    elif "name" in settings:
        yield f"{key.replace('.', '/')}={_value(settings['name'])}"
        yield from (f"{key}.{field}={_value(value)}" for field, value in fields.items())


def _value(value: Any) -> str:
    """Return a value in Hydra's grammar."""
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
    """Return text in Hydra's quotes; a backslash is doubled only before a quote."""
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def _checkout(study: Study) -> list[str]:
    revisions = dict.fromkeys(revision for run in study.runs for revision in _revisions(run))
    lines = [f"git checkout {shlex.quote(revision.removesuffix('+'))}" for revision in revisions]
    if len(lines) > 1:
        lines = ["# the runs are from several revisions", *(f"# {line}" for line in lines)]
    if any(revision.endswith("+") for revision in revisions):
        lines.append("# the working tree had uncommitted changes")
    return [*lines, "python -m pip install --constraint constraints.txt --editable ."]


def _revisions(run: Run) -> Iterator[str]:
    for attempt in run.meta.get("attempts", []):
        revision = str(attempt.get("git_revision"))
        if _REVISION.fullmatch(revision):
            yield revision


def _view_words(view: View) -> str:
    words = [f"{key}={value}" for key in ("published", "smooth") if (value := getattr(view, key)) is not None]
    words += [f"seed={view.seed}"] if view.seed else []
    words += ["--intersect"] if view.intersect else []
    return "".join(f" {shlex.quote(word)}" for word in words)
