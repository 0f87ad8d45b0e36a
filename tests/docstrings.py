"""Check of docstrings and names, part of `make lint`: `python -m tests.docstrings [file or folder ...]`.

A docstring's first sentence names the object (a noun phrase) or its work (a verb), and ends with a full stop. It never
opens with a question word. A private name says what its function returns or does.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("agrae_lab", "sweeps", "analysis", "benchmarks", "tests")
QUESTION_WORDS = ("What", "Who", "Whom", "Whose", "Which", "How", "Whether", "Where", "When", "Why", "If")
VAGUE_NAMES = ("_note", "_said", "_told", "_of", "_gone", "_say", "_tell")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def faults(path: Path) -> Iterator[str]:
    """Yield a sentence with file and line for every docstring or name that breaks a rule."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)) is not None:
            line = node.body[0].lineno
            for fault in docstring_faults(text):
                yield f"{path}:{line}: {fault}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in VAGUE_NAMES:
            yield f"{path}:{node.lineno}: {node.name} does not say what it returns or does. Rename it"


def docstring_faults(text: str) -> Iterator[str]:
    """Yield the faults of a docstring's first paragraph."""
    first = text.strip().split("\n\n")[0].replace("\n", " ")
    if not first:
        yield "empty docstring. Write a sentence, or delete it"
        return
    word = re.split(r"\W", first, maxsplit=1)[0]
    if word in QUESTION_WORDS:
        yield f'the docstring opens with "{word}". Open with a verb ("Return …") or a noun phrase'
    if not re.search(r"[.:!?…)`]$", first):
        yield "the docstring's first sentence has no full stop. End it with one"


def main(arguments: list[str]) -> int:
    """Print the faults of some files, of all rooms unless told; return 1 where there are any."""
    places = [Path(word) for word in arguments or ROOMS]
    paths = [file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    found = [fault for path in paths for fault in faults(path)]
    print("\n".join(found) or f"{len(paths)} files: no fault")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
