"""Check the gold answers of a problem file.

Prints every gold answer that no answer can equal, or only one with the same text. Exit status: 0 if there is none, 1 if
there is one, 2 if the file is unusable.

examples:
  python -m agrae_lab.tasks check mine.jsonl
  python -m agrae_lab.tasks check data/math_train.parquet
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agrae_lab.tasks.base import read_problems, text_problem
from agrae_lab.tasks.problems import COLUMNS
from agrae_lab.verify.golds import gold_faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m agrae_lab.tasks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["check"])
    parser.add_argument("file", type=Path, help="problems as .jsonl or .parquet, with columns problem and answer")
    return check(parser.parse_args(arguments).file)


def check(path: Path) -> int:
    """Print the unusable gold answers of a problem file; return the exit status."""
    try:
        rows = [text_problem(row, source=f"task file {path}, id {row['id']}") for row in read_problems(path, COLUMNS)]
    except ValueError as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2
    faults = gold_faults([row["answer"] for row in rows])
    faulty = [(row, fault) for row, fault in zip(rows, faults, strict=True) if fault]
    for row, fault in faulty:
        print(f"{path}, id {row['id']}: the answer {_short(row['answer'])} {fault}. Write it in another way.")
    print(f"{path}: {len(rows)} problems, {len(faulty) or 'no'} gold answer{'' if len(faulty) == 1 else 's'} to mend")
    return 1 if faulty else 0


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


if __name__ == "__main__":
    sys.exit(main())
