"""Share of deliberate faults that the tests catch, room by room.

    python -m benchmarks mutations          60 faults, about an hour of two cores
    python -m benchmarks.mutations 12 7     12 faults chosen by seed 7

Each fault changes one expression of one file, in a copy of the repository, and runs the tests of the file's room until
the first failure, those named like the file first. A fault is caught if a test fails and survives if all of them pass.
It is out of time, and does not count as caught, if they do not end. Each is printed with its file, line and change: of
a survivor either a test is missing, or the change means the same.
"""

from __future__ import annotations

import ast
import itertools
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("agrae_lab", "sweeps", "analysis", "conf", "benchmarks", "tests", "docs")
COPIED_FILES = ("pyproject.toml", "README.md", "Makefile", "constraints.txt", "CITATION.cff")
SECONDS = 600
CAUGHT, SURVIVED, OUT_OF_TIME = "caught", "SURVIVED", "OUT OF TIME"

Fault = tuple[str, Path, ast.AST, ast.AST]  # room, file, node, broken node

# Room → its tests; of rooms that take minutes, a part of them.
MIRRORED = ("advantages", "tasks", "verify", "models", "runs", "sweeps/engines", "sweeps/search", "sweeps/launch")
MIRRORED += tuple(f"analysis/{name}" for name in ("io", "statistics", "estimates", "claims", "figures", "tables"))
MIRRORED += ("analysis/simulation", "analysis/audit", "analysis/report")
TESTS = {room if "/" in room else f"agrae_lab/{room}": (f"tests/{room}",) for room in MIRRORED} | {
    "agrae_lab/config": ("tests/config/test_config.py", "tests/runs/test_identity.py"),
    "agrae_lab/evaluation": ("tests/evaluation", "tests/training/test_evaluate_again.py"),
    "agrae_lab/training": tuple(
        f"tests/training/test_{name}.py" for name in ("runs_end_to_end", "preflight", "interruptions", "trl_adapter")
    ),
    **{f"sweeps/{name}": (f"tests/sweeps/{name}", "tests/sweeps/launch") for name in ("spec", "planning", "execution")},
    "sweeps/inspect": ("tests/sweeps/inspect", "tests/sweeps/launch"),
    "analysis/presentation": ("tests/analysis/presentation", "tests/analysis/figures"),
}

FLIPPED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
FLIPPED |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
SWAPPED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And}


def changed(node: ast.AST) -> ast.AST | None:
    """Return a broken copy of an expression or statement; None if there is no way to break it."""
    match node:
        case ast.Compare(left, [op], [right]) if type(op) in FLIPPED:
            return ast.Compare(left, [FLIPPED[type(op)]()], [right])
        case ast.BinOp(left, op, right) if type(op) in SWAPPED and not _is_text(left) and not _is_text(right):
            return ast.BinOp(left, SWAPPED[type(op)](), right)
        case ast.BoolOp(op, values):
            return ast.BoolOp(SWAPPED[type(op)](), values)
        case ast.UnaryOp(ast.Not(), operand):
            return operand
        case ast.Constant(bool(value)):
            return ast.Constant(not value)
        case ast.Constant(int(value)):
            return ast.Constant(value + 1)
        case ast.Return(value) if value is not None and not isinstance(value, ast.Constant):
            return ast.Return(ast.Constant(None))
    return None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def expressions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes inside functions, without annotations, default values and f-strings."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in child.body:
                yield from ast.walk(statement)
        elif isinstance(child, ast.ClassDef):
            yield from expressions(child)


def faults(path: Path) -> list[tuple[ast.AST, ast.AST]]:
    """Return every (node, broken node) of a file."""
    found = [(node, new) for node in expressions(ast.parse(path.read_text())) if (new := changed(node)) is not None]
    return [(node, new) for node, new in found if getattr(node, "end_lineno", None) == getattr(node, "lineno", 0)]


def replaced(text: str, node: ast.AST, new: ast.AST) -> str:
    """Return a source text with one node in the place of another; the rest stays as it is, byte for byte."""
    lines = text.encode().splitlines(keepends=True)
    line = lines[node.lineno - 1]  # type: ignore[attr-defined]
    code = ast.unparse(ast.fix_missing_locations(new))
    code = code if isinstance(new, ast.Return) else f"({code})"
    lines[node.lineno - 1] = line[: node.col_offset] + code.encode() + line[node.end_col_offset :]  # type: ignore[attr-defined]
    return b"".join(lines).decode()


def outcome(copy: Path, changed_file: Path, tests: tuple[str, ...]) -> str:
    """Run a room's tests in a copy until the first failure, and return what became of the fault."""
    files = [file for name in tests for file in _test_files(copy / name)]
    files.sort(key=lambda file: changed_file.stem.strip("_") not in file.stem)  # stable
    command = [sys.executable, "-m", "pytest", "-m", "not slow", "-x", "-q", "-p", "no:cacheprovider", *map(str, files)]
    env = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(command, cwd=copy, env=env, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            return SURVIVED if process.wait(timeout=SECONDS) == 0 else CAUGHT
        except subprocess.TimeoutExpired:
            return OUT_OF_TIME
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _test_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("test_*.py"))


def chosen(number: int, seed: int) -> list[Fault]:
    """Return (room, file, node, broken node) of `number` faults, drawn room by room in turn."""
    draw = random.Random(seed)
    rooms = draw.sample(sorted(TESTS), len(TESTS))
    found = {
        room: [(path, *fault) for path in sorted((ROOT / room).rglob("*.py")) for fault in faults(path)]
        for room in rooms
    }
    return [(room, *draw.choice(found[room])) for room in itertools.islice(itertools.cycle(rooms), number)]


def main(number: int = 60, seed: int = 0) -> None:
    found: dict[str, list[str]] = {}
    num_copies = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(num_copies) as threads:
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for index in range(num_copies):
            copies.put(_copied(Path(folder) / str(index)))

        def tried(fault: Fault) -> str:
            copy = copies.get()
            try:
                return _tried(copy, fault)
            finally:
                copies.put(copy)

        faults_drawn = chosen(number, seed)
        for (room, path, node, new), end in zip(faults_drawn, threads.map(tried, faults_drawn), strict=True):
            found.setdefault(room, []).append(end)
            place = f"{path.relative_to(ROOT)}:{node.lineno}"  # type: ignore[attr-defined]
            print(f"{end:11} {place}: {ast.unparse(node)} → {ast.unparse(new)}", flush=True)
    for room, ends in sorted(found.items()):
        print(f"{room:24} {ends.count(CAUGHT)} of {len(ends)} caught")
    ends = [end for of_room in found.values() for end in of_room]
    print(f"{ends.count(CAUGHT)} of {number} caught, {ends.count(OUT_OF_TIME)} out of time (seed {seed})")


def _copied(copy: Path) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, copy / name)
    return copy


def _tried(copy: Path, fault: Fault) -> str:
    room, path, node, new = fault
    broken, text = copy / path.relative_to(ROOT), path.read_text()
    broken.write_text(replaced(text, node, new))
    try:
        return outcome(copy, path, TESTS[room])
    finally:
        broken.write_text(text)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
