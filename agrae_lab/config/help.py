"""Text of `python -m agrae_lab.train --help`: groups with their choices, and every key of a config."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path

from agrae_lab.config.frozen import CONF_DIR
from agrae_lab.config.schema import BENCHMARK_RULES, RULES, Rule

WIDTH = 110
EXAMPLES = """\
python -m agrae_lab.train advantage=a_grae seed=1                      one run
python -m agrae_lab.train -m +experiment=group_symmetry seed=0,1,2     an experiment, three seeds of each arm"""


def help_text() -> str:
    """Return examples, the groups of conf/ with their choices, and every key with type, default and meaning."""
    benchmark = {f"evaluation.benchmarks.<name>.{key}": rule for key, rule in BENCHMARK_RULES.items()}
    rules = {key: rule for key, rule in RULES.items() if key != "schema_version"} | benchmark
    return "\n".join(
        [
            "Train and evaluate one run, or many.\n",
            textwrap.indent(EXAMPLES, "    "),
            "\nGroups: <group>=<choice>, with a + before experiment.\n",
            *(_wrapped(f"{group}: {', '.join(choices)}") for group, choices in _groups().items()),
            "\nKeys: <key>=<value>, or ++<key>=<value> for a key that the world leaves out. Defaults in [ ]; the world "
            "sets the\nothers. `python -m agrae_lab.advantages show <name>` lists the settings of advantage.*.\n",
            *(line for key, rule in rules.items() for line in _entry(key, rule)),
            "\n--cfg job prints the composed config, --hydra-help the options of Hydra.",
        ]
    )


def _groups() -> dict[str, list[str]]:
    """Return group → choices: the folders of conf/ that hold YAML files, Hydra's and Accelerate's apart."""
    groups: dict[str, list[str]] = {}
    for path in sorted(CONF_DIR.rglob("*.yaml")):
        group = str(path.parent.relative_to(CONF_DIR))
        if group != "." and Path(group).parts[0] not in ("hydra", "accelerate"):
            groups.setdefault(group, []).append(path.stem)
    return groups


def _entry(key: str, rule: Rule) -> list[str]:
    default = "" if rule.default is dataclasses.MISSING else f" [{json.dumps(rule.default)}]"
    return [f"{key}: {rule.wanted}{default}", _wrapped(rule.help_text)]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="        ")
