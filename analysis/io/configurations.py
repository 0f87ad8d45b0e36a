"""Names of the configurations of one arm, by the settings in which they differ: `grpo (learning_rate 0.001)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agrae_lab.runs import Run, differing, settings

_MOST_SETTINGS = 3  # in a name
_LONGEST_VALUE = 24  # characters


def group_by_configuration(runs: Iterable[Run]) -> dict[str, tuple[Run, ...]]:
    """Return name of a configuration → its runs by seed. The only configuration of an arm has the arm's name.

    A name ends with the hash of the runs' folder if the settings that it shows do not tell it from the others.
    """
    by_arm: dict[str, dict[str, list[Run]]] = {}  # arm → folder of a configuration → its runs
    for run in runs:
        by_arm.setdefault(run.arm, {}).setdefault(run.path.parent.name, []).append(run)
    by_name: dict[str, tuple[Run, ...]] = {}
    for arm, folders in by_arm.items():
        names = _names(arm, {folder: found[0].config for folder, found in folders.items()})
        for folder, found in folders.items():
            by_name[names[folder]] = tuple(sorted(found, key=lambda run: run.seed))
    return by_name


def is_configuration(name: str, arm: str) -> bool:
    """Return True if `name` is the arm, or one of several configurations of it."""
    return name == arm or name.startswith(f"{arm} (")


def _names(arm: str, configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the folder of each configuration → its name; a single one has the arm's."""
    if len(configs) == 1:
        return dict.fromkeys(configs, arm)
    keys = differing(list(configs.values()))
    last = [key.rpartition(".")[2] for key in keys]
    titles = [word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)]
    shown = list(zip(titles, keys, strict=True))[:_MOST_SETTINGS]
    texts = {}
    for folder, config in configs.items():
        own = settings(config)
        texts[folder] = ", ".join(f"{title} {_value(own.get(key))}" for title, key in shown)
    shared = {text for text in texts.values() if list(texts.values()).count(text) > 1}
    parts = {folder: [text, folder[-8:]] if text in shared else [text] for folder, text in texts.items()}
    return {folder: f"{arm} ({', '.join(filter(None, words))})" for folder, words in parts.items()}


def _value(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
