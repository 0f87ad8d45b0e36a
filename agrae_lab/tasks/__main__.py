"""Check the gold answers of a problem file: `python -m agrae_lab.tasks check mine.jsonl`.

Names every gold answer that no answer could equal, or only one with the same text. Exit status: 0 if there is none, 1
if there is one, 2 if the file cannot be used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from agrae_lab.tasks.base import read_problems, text_problem
from agrae_lab.tasks.problems import COLUMNS
from agrae_lab.verify.golds import gold_faults


def main(arguments: Sequence[str]) -> int:
    """Check the file at arguments[1]; returns the exit status."""
    if len(arguments) != 2 or arguments[0] != "check":
        print("say which file: python -m agrae_lab.tasks check <problems.jsonl or .parquet>", file=sys.stderr)
        return 2
    path = Path(arguments[1])
    try:
        rows = [text_problem(row, source=f"task file {path}, id {row['id']}") for row in read_problems(path, COLUMNS)]
    except ValueError as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2
    faults = gold_faults([row["answer"] for row in rows])
    found = [(row, fault) for row, fault in zip(rows, faults, strict=True) if fault]
    for row, fault in found:
        print(f"{path}, id {row['id']}: the answer {_short(row['answer'])} {fault}. Write it in another way.")
    print(f"{path}: {len(rows)} problems, {len(found) or 'no'} gold answer{'' if len(found) == 1 else 's'} to mend")
    return 1 if found else 0


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
