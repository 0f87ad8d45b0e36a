"""Table of all estimators, details of one, their page, and the check of a user's own link.

python -m agrae_lab.advantages                                print the table of all estimators
python -m agrae_lab.advantages show a_grae                    print purpose, formula, settings and example of one
python -m agrae_lab.advantages page [out=docs]                write estimators.md and its figure
python -m agrae_lab.advantages configs [out=conf]             write the files of the config group advantage
python -m agrae_lab.advantages check my_file:MyEstimator      hold a link of yours to the laws it declares
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from agrae_lab.advantages.catalogue import configs, facts, page
from agrae_lab.advantages.catalogue.page import LAW_HEADS
from agrae_lab.advantages.estimator import SLOTS, unknown_name_message
from agrae_lab.advantages.properties.check import check

_COMMANDS = ("table", "show", "page", "configs", "check")
_WIDTH = 24  # of the names


def main(arguments: list[str]) -> int:
    """Run a command; return 0, 1 if a checked link has a fault (docstring, law, state), or 2 for a wrong line."""
    command, *rest = arguments or ["table"]
    try:
        if command in ("-h", "--help", "help"):
            print(__doc__)
        elif command not in _COMMANDS:
            raise ValueError(unknown_name_message("command", command, _COMMANDS))
        elif command == "check":
            return _check(rest)
        elif command in ("page", "configs"):
            _write(command, rest)
        elif command == "show":
            print("\n\n".join(_details(rest)))
        elif rest:
            raise ValueError(f"table takes no words, got {rest[0]!r}; `show {rest[0]}` prints one estimator")
        else:
            print(table())
    except (ValueError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def table() -> str:
    """Return every preset, then the links of the other slots: laws kept, needs, formula and source."""
    heads = " ".join(f"{head:5}" for head in LAW_HEADS.values())
    lines = [f"{'':{_WIDTH}}{heads} needs", ""]
    for entry in facts.presets():
        lines += _rows(entry, " → ".join(f"{slot} {part.name}" for slot, part in entry.filled.items()))
    for slot in SLOTS[1:]:
        if entries := facts.other_links(slot):
            lines += ["", f"{slot} links, on {entries[0].estimator.base.name}", ""]
            lines += [line for entry in entries for line in _rows(entry, "")]
    laws = [f"{head:5} {law}: {page.MEANING[law]}" for law, head in LAW_HEADS.items()]
    return "\n".join([*lines, "", *laws])


def _rows(entry: facts.Entry, slots: str) -> list[str]:
    ticks = " ".join(f"{'✓' if law in entry.estimator.laws else '·':5}" for law in LAW_HEADS)
    needs = [*sorted(entry.estimator.requires), *(["earlier batches"] if entry.estimator.is_stateful else [])]
    rows = [f"{entry.name:{_WIDTH}}{ticks} {', '.join(needs)}".rstrip()]
    if slots.count("→"):
        rows.append(f"    {slots}")
    for text in entry.descriptions.values():
        source = f"   ({text.source})" if text.source else ""
        rows.append(f"    {' '.join(text.formula.split())}{source}")
    return rows


def _details(names: list[str]) -> list[str]:
    """Return the section of each name: a preset, or links of the other slots."""
    entries = [*facts.presets(), *(entry for slot in SLOTS[1:] for entry in facts.other_links(slot))]
    known = list(dict.fromkeys(entry.name for entry in entries))
    if not names:
        raise ValueError(f"show takes names of estimators; choose from {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ValueError(unknown_name_message("estimator", name, known))
    return [page.section(entry) for name in names for entry in entries if entry.name == name]


def _write(command: str, arguments: list[str]) -> None:
    write, out = {"page": (page.write, "docs"), "configs": (configs.write, "conf")}[command]
    for argument in arguments:
        out = argument.removeprefix("out=")
        if out == argument or not out:
            raise ValueError(f"{command} takes out=<directory>, not {argument!r}")
    for path in write(Path(out)):
        print(path)


def _check(arguments: list[str]) -> int:
    if len(arguments) != 1:
        raise ValueError(
            "check takes one class: my_file:MyEstimator, path/to/my_file.py:MyEstimator or package.module:Class"
        )
    estimator, findings = check(arguments[0])
    slot = next(s for s in SLOTS if getattr(estimator, s).name == estimator.name)
    print(f"{arguments[0]}: {slot} link {estimator.name!r}" + ("" if slot == "base" else ", tried on grpo"), end="\n\n")
    print("\n".join(map(str, findings)))
    faults = [f.name for f in findings if f.is_fault]
    print(f"\n{'broken: ' + ', '.join(faults) if faults else 'all that it declares holds'}")
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
