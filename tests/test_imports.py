"""Imports point one way, and the light rooms stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Room → what it may import of ours (itself included).
ALLOWED = {
    "agrae_lab/advantages": ("agrae_lab.advantages",),
    "agrae_lab/verify": ("agrae_lab.verify",),
    "agrae_lab/tasks": ("agrae_lab.tasks", "agrae_lab.verify"),
    "agrae_lab/models": ("agrae_lab.models", "agrae_lab.tasks"),
    "agrae_lab/runs": ("agrae_lab.runs", "agrae_lab.tasks.settings_of_task"),
    "agrae_lab/evaluation": ("agrae_lab.evaluation", "agrae_lab.models", "agrae_lab.runs", "agrae_lab.tasks"),
    "agrae_lab/schema.py": (),
    "agrae_lab/code.py": ("agrae_lab.advantages", "agrae_lab.tasks"),
    "agrae_lab/config.py": (
        "agrae_lab.schema",
        "agrae_lab.advantages",
        "agrae_lab.code",
        "agrae_lab.evaluation.vllm_engine.check_vllm",
        "agrae_lab.models",
        "agrae_lab.runs",
        "agrae_lab.tasks",
    ),
    "agrae_lab/training": ("agrae_lab",),
    "analysis": ("analysis", "agrae_lab.runs"),
    "sweeps": (
        "sweeps",
        "agrae_lab.runs",
        "agrae_lab.config",
        "agrae_lab.train",
        "agrae_lab.provenance",
        "analysis.curves",
        "analysis.frames",
        "analysis.passk",
    ),
}
OURS = ("agrae_lab", "analysis", "sweeps", "hydra_plugins")


def files(room):
    path = ROOT / room
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path):
    """Dotted names of everything of ours that a file imports; `from agrae_lab import runs` counts as agrae_lab.runs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{a.name}" for a in node.names)


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_it_may(room):
    for path in files(room):
        ours = [name for name in imported(path) if name.split(".")[0] in OURS]
        wrong = [n for n in ours if not any(n == a or n.startswith(f"{a}.") for a in ALLOWED[room])]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_only_training_imports_trl():
    users = [
        p
        for room in ("agrae_lab", "analysis", "sweeps")
        for p in files(room)
        if "trl" in {n.split(".")[0] for n in imported(p)}
    ]
    assert {p.parent.name for p in users} == {"training"}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("agrae_lab.advantages", ["transformers", "trl", "hydra", "pandas", "pyarrow", "matplotlib", "numpy.testing"]),
        ("agrae_lab.runs", ["torch", "pandas", "pyarrow", "transformers"]),
        ("analysis.__main__", ["torch", "trl", "transformers", "vllm", "wandb"]),
        ("agrae_lab.train", ["trl", "transformers", "datasets"]),
    ],
)
def test_light_rooms_stay_light(module, heavy):
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
