"""Files of the config groups `advantage` and `advantage/<slot>`: one for every preset and every link.

A pure function of the registry; Hydra finds the files in conf/, and a test holds them to the registry.
"""

from __future__ import annotations

import json
from pathlib import Path

from agrae_lab.advantages.catalogue import facts
from agrae_lab.advantages.catalogue.facts import one_line
from agrae_lab.advantages.estimator import SLOTS, links
from agrae_lab.advantages.presets import preset_names, preset_slots

_HEAD = "# Written by `python -m agrae_lab.advantages configs`; edit the link or the preset instead.\n"


def write(conf: Path) -> list[Path]:
    """Write the files below a config folder, and return their paths."""
    paths = []
    for name, text in texts().items():
        path = conf / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def texts() -> dict[str, str]:
    """Return file, relative to the config folder → its text."""
    found = {f"advantage/{slot}/{name}.yaml": _link(cls) for slot in SLOTS for name, cls in links(slot).items()}
    return found | {f"advantage/{name}.yaml": _preset(name) for name in preset_names()}


def _link(cls: type) -> str:
    """Return a link's file; null leaves a setting to the flavor, and freezing fills in the value."""
    about = facts.describe(cls)
    lines = [f"# {text}" for text in (about.purpose, one_line(about.formula)) if text]
    lines += [f"name: {cls.name}", "_target_: null   # my_file.py:MyEstimator, a link of yours in its place"]  # type: ignore[attr-defined]
    for value in facts.values(cls()):
        null = ", ".join([f"null: {value.value}", *(f"{flavor} flavor {v}" for flavor, v in value.flavors.items())])
        words = "; ".join(filter(None, [null, value.bounds, value.description]))
        lines.append(f"{value.name}: null   # {words}")
    return _HEAD + "\n".join(lines) + "\n"


def _preset(name: str) -> str:
    slots = preset_slots(name)
    lines = ["defaults:", *(f"  - {slot}: {settings['name']}" for slot, settings in slots.items()), "  - _self_", ""]
    lines += [f"name: {name}", "flavor: paper   # or official, the authors' code; or trl, GRPO's constants as in TRL"]
    for slot, settings in slots.items():
        if values := {key: value for key, value in settings.items() if key != "name"}:
            lines += [f"{slot}:", *(f"  {key}: {json.dumps(value)}" for key, value in values.items())]
    return _HEAD + "\n".join(lines) + "\n"
