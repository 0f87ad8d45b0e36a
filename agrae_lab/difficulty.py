"""Write training problems chosen by the success rate that runs have recorded for them: a filter, or a curriculum.

    python -m agrae_lab.difficulty RUN… out=FILE.jsonl [low=0.1] [high=0.9] [until=STEP] [order=easy_first|hard_first]

RUN     a run directory, finished or not; of several runs of the same training problems the completions are added up
out     the file to write: the problems, each with recorded_p and recorded_n, of all its valid completions
low     problems with p below it are left out (default 0: none)
high    problems with p above it are left out (default 1: none)
until   the last step that counts, so that p is an early policy's (default: all)
order   easy_first, hard_first, or as in the run's problems (default); ties keep that order

A problem without a valid completion has no p and is left out. Completions that dynamic sampling has dropped count.

Examples:
    # train on problems that a run has solved sometimes
    python -m agrae_lab.difficulty runs/grpo-1a2b3c4d/seed-0 out=mixed.jsonl low=0.01 high=0.99
    python -m agrae_lab.train task.train_file=mixed.jsonl
    # from easy to hard, in the order of the file
    python -m agrae_lab.difficulty runs/grpo-1a2b3c4d/seed-0 out=easy_first.jsonl order=easy_first until=16
    python -m agrae_lab.train task.train_file=easy_first.jsonl train.prompt_order=listed

The exit status is 0, or 2 for a mistake in the command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from agrae_lab import runs
from agrae_lab.config import ConfigError, problem_sets
from agrae_lab.runs import Run, RunError, number_in, replacing

ORDERS = ("easy_first", "hard_first")
Counts = dict[str, tuple[int, int]]  # problem → correct and valid completions


@dataclass(frozen=True)
class Choice:
    """Bounds of p, the last step that counts, and the order of the problems."""

    low: float = 0.0
    high: float = 1.0
    until: int | None = None
    order: str | None = None


def main(arguments: Sequence[str]) -> int:
    """Write the file and print what was left out; return the exit status."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    try:
        paths, out, choice = parse(arguments)
        sources = [runs.read_run(path) for path in paths]
        problems = _shared_problems(sources)
        counts = recorded_counts(sources, until=choice.until)
        chosen = choose(problems, counts, choice)
        _write(chosen, out)
    except (ConfigError, RunError, ValueError, OSError) as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2
    print("\n".join(summarize(problems, counts, chosen, out)))
    return 0


def parse(arguments: Sequence[str]) -> tuple[list[Path], Path, Choice]:
    """Return the runs, the file to write and the choice of a command line.

    Raises:
        ValueError: no run, no file, an unknown word, or a value out of bounds.
    """
    paths, settings = runs.split_words(arguments)
    words = {key: value for key, _, value in (word.partition("=") for word in settings)}
    known = ("out", "low", "high", "until", "order")
    if strange := sorted(words.keys() - set(known)):
        raise ValueError(f"{strange[0]}={words[strange[0]]}: there is no such word; choose from {', '.join(known)}")
    if not paths or "out" not in words:
        raise ValueError("name a run and a file: python -m agrae_lab.difficulty RUN… out=FILE.jsonl; see --help")
    if not words["out"].endswith(".jsonl"):
        raise ValueError(f"out={words['out']}: the file's name must end in .jsonl")
    low, high = (_share(name, words.get(name, default)) for name, default in (("low", "0"), ("high", "1")))
    if low > high:
        raise ValueError(f"low={low:g} is above high={high:g}; no p lies between them")
    order, until = words.get("order"), words.get("until")
    if order not in (None, *ORDERS):
        raise ValueError(
            f"order={order}: must be {' or '.join(ORDERS)}; leave it out to keep the order of the problems"
        )
    if until is not None and not (until.isdecimal() and int(until) > 0):
        raise ValueError(f"until={until}: must be the number of a step, from 1")
    return (
        [Path(path) for path in paths],
        Path(words["out"]),
        Choice(low, high, None if until is None else int(until), order),
    )


def _share(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={text}: must be a success rate from 0 to 1")
    return value


def recorded_counts(sources: Iterable[Run], *, until: int | None = None) -> Counts:
    """Return the correct and the valid completions of each problem in the rollouts of runs.

    Raises:
        RunError: a run has none.
    """
    counts: Counts = {}
    for run in sources:
        steps = {path: number_in(path) for path in (run.path / "rollouts").glob("*-*.parquet")}
        paths = [path for path, step in steps.items() if step is not None and step <= (until or step)]
        if not paths:
            raise RunError(f"{run.path}: no rollouts up to step {until}" if until else f"{run.path}: no rollouts yet")
        for path in sorted(paths):
            table = pq.read_table(path, columns=["prompt_id", "correct", "valid"])
            for problem, correct, valid in zip(*(column.to_pylist() for column in table.columns), strict=True):
                solved, known = counts.get(str(problem), (0, 0))
                counts[str(problem)] = (solved + bool(correct and valid), known + bool(valid))
    return counts


def choose(problems: Sequence[Mapping[str, Any]], counts: Counts, choice: Choice) -> list[dict[str, Any]]:
    """Return the problems within the bounds, with recorded_p and recorded_n, in the wanted order.

    Raises:
        ValueError: none is left.
    """
    rows = []
    for problem in problems:
        solved, known = counts.get(str(problem["id"]), (0, 0))
        if known and choice.low <= solved / known <= choice.high:
            rows.append({**problem, "recorded_p": solved / known, "recorded_n": known})
    if not rows:
        raise ValueError(f"no problem has a recorded p from {choice.low:g} to {choice.high:g}; widen the bounds")
    if choice.order is not None:
        rows.sort(key=lambda row: row["recorded_p"], reverse=choice.order == "easy_first")
    return rows


def summarize(
    problems: Sequence[Mapping[str, Any]], counts: Counts, chosen: Sequence[Mapping[str, Any]], out: Path
) -> list[str]:
    """Return lines that say how many problems were written and left out, and why."""
    known = sum(1 for problem in problems if counts.get(str(problem["id"]), (0, 0))[1])
    return [
        f"{out}: {len(chosen)} of {len(problems)} problems",
        f"left out: {known - len(chosen)} by their p, {len(problems) - known} without a recorded p",
    ]


def _shared_problems(sources: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the training problems of runs, which must be the same.

    Raises:
        RunError: they differ.
        ConfigError: they cannot be read.
    """
    first, *others = sources
    fingerprint = first.config["data_fingerprints"]["train"]
    for run in others:
        if run.config["data_fingerprints"]["train"] != fingerprint:
            raise RunError(
                f"{run.path}: its training problems are not those of {first.path}; name runs of the same ones"
            )
    return problem_sets(first.config)["train"]


def _write(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    try:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    except TypeError as error:
        raise ValueError(f"{out}: problems with images cannot be written as JSON lines ({error})") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
