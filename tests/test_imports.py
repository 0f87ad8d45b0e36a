"""Imports point one way between rooms and inside them, no two files import each other, and light rooms stay light."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("agrae_lab", "sweeps", "analysis", "benchmarks")
OURS = (*PACKAGES, "hydra_plugins", "tests")

# Room → the rooms and files that it may import, besides itself. A room is a folder or a file; the longest name counts.
MAY_IMPORT = {
    # agrae_lab: advantages, verify, tasks ← models ← evaluation, runs, config ← training ← lifecycle ← entry points
    "agrae_lab": (),
    "agrae_lab.advantages": (),
    "agrae_lab.verify": (),
    "agrae_lab.tasks": ("agrae_lab.verify", "agrae_lab.advantages.external"),  # own_task: the object that it names
    "agrae_lab.models": ("agrae_lab.tasks",),
    "agrae_lab.runs": ("agrae_lab.tasks",),
    "agrae_lab.evaluation": ("agrae_lab.models", "agrae_lab.runs", "agrae_lab.tasks"),
    "agrae_lab.config": ("agrae_lab.advantages", "agrae_lab.models", "agrae_lab.runs", "agrae_lab.tasks"),
    "agrae_lab.training": (
        *("agrae_lab.advantages", "agrae_lab.config", "agrae_lab.evaluation", "agrae_lab.models", "agrae_lab.runs"),
        "agrae_lab.tasks",
    ),
    "agrae_lab.lifecycle": (
        *("agrae_lab.config", "agrae_lab.evaluation", "agrae_lab.models", "agrae_lab.runs", "agrae_lab.tasks"),
        "agrae_lab.training",
    ),
    "agrae_lab.node": ("agrae_lab.process", "agrae_lab.runs"),
    "agrae_lab.process": ("agrae_lab.runs",),  # imports the train module by its name
    "agrae_lab.__main__": (),  # names commands by their modules and imports none
    "agrae_lab.compare": ("agrae_lab.__main__",),
    "agrae_lab.train": (
        *("agrae_lab.config", "agrae_lab.evaluation.benchmarks", "agrae_lab.lifecycle", "agrae_lab.models"),
        "agrae_lab.runs",
    ),
    "agrae_lab.difficulty": ("agrae_lab.config", "agrae_lab.runs", "agrae_lab.tasks"),
    "agrae_lab.evaluate": (
        *("agrae_lab.config", "agrae_lab.evaluation.benchmarks", "agrae_lab.lifecycle", "agrae_lab.models"),
        "agrae_lab.runs",
    ),
    "agrae_lab.track": ("agrae_lab.runs", "agrae_lab.training.tracking"),
    # analysis: io ← statistics ← presentation ← estimates ← claims, figures, tables ← report ← commands
    "analysis": (),
    "analysis.io": ("agrae_lab.runs",),
    "analysis.statistics": ("analysis.io",),
    "analysis.presentation": ("agrae_lab.runs", "analysis.io", "analysis.statistics"),
    "analysis.published": ("analysis.io",),
    "analysis.estimates": ("agrae_lab.runs", "analysis.io", "analysis.statistics", "analysis.presentation"),
    "analysis.claims": (
        *("agrae_lab.runs", "analysis.io", "analysis.statistics", "analysis.estimates"),
        "analysis.presentation.style",
    ),
    "analysis.figures": (
        *("agrae_lab.runs", "analysis.io", "analysis.statistics", "analysis.estimates", "analysis.presentation"),
        "analysis.published",
    ),
    "analysis.tables": (
        *("agrae_lab.runs", "analysis.io", "analysis.statistics", "analysis.estimates", "analysis.presentation"),
        "analysis.published",
    ),
    "analysis.simulation": ("analysis.io", "analysis.statistics", "analysis.presentation", "analysis.figures"),
    "analysis.audit": ("agrae_lab.runs", "analysis.statistics"),
    "analysis.report": (
        *("agrae_lab.runs", "analysis.io", "analysis.statistics", "analysis.presentation"),
        *("analysis.estimates.answers", "analysis.estimates.control_gains", "analysis.claims"),
    ),
    "analysis.pareto": (
        *("agrae_lab.runs", "analysis.io", "analysis.statistics", "analysis.estimates", "analysis.presentation"),
    ),
    "analysis.arguments": ("agrae_lab.runs", "analysis.io", "analysis.presentation", "analysis.published"),
    "analysis.__main__": (
        *("agrae_lab.runs", "analysis.arguments", "analysis.audit", "analysis.claims", "analysis.estimates"),
        *("analysis.figures", "analysis.io", "analysis.presentation", "analysis.report", "analysis.simulation"),
        "analysis.tables",
    ),
    # sweeps: errors ← spec ← planning ← execution ← engines, search ← inspect ← launch ← commands
    "sweeps": (),
    "sweeps.errors": ("agrae_lab.runs.hydra_errors",),
    "sweeps.spec": (
        *("agrae_lab.runs", "sweeps.errors", "analysis.io", "analysis.statistics"),
        "agrae_lab.advantages",  # own_estimators: the class, or the links of a chain, that a choice names
    ),
    "sweeps.planning": ("agrae_lab.runs", "sweeps.errors", "sweeps.spec"),
    "sweeps.execution": ("agrae_lab.node", "agrae_lab.process", "agrae_lab.runs", "sweeps.errors", "sweeps.planning"),
    "sweeps.engines": ("agrae_lab.node", "agrae_lab.runs", "sweeps.errors", "sweeps.execution"),
    "sweeps.search": ("agrae_lab.runs", "sweeps.errors", "sweeps.spec", "sweeps.planning", "sweeps.execution"),
    "sweeps.inspect": (
        *("agrae_lab.runs", "sweeps.errors", "sweeps.spec", "sweeps.planning", "sweeps.execution", "sweeps.search"),
        *("analysis.io", "analysis.statistics", "analysis.estimates.passk_curves"),
        "agrae_lab.training.planned_memory",  # of a preview
    ),
    "sweeps.launch": (
        *("agrae_lab.runs", "sweeps.errors", "sweeps.spec", "sweeps.planning", "sweeps.execution", "sweeps.engines"),
        *("sweeps.search", "sweeps.inspect.preview", "sweeps.inspect.accuracy", "sweeps.inspect.trials"),
        *("analysis.io", "analysis.statistics"),
    ),
    "sweeps.targets": ("agrae_lab.runs.suggestions", "sweeps.errors", "sweeps.spec", "sweeps.planning"),
    "sweeps.commands": (
        *("agrae_lab.runs", "sweeps.errors", "sweeps.spec", "sweeps.planning", "sweeps.execution", "sweeps.inspect"),
        *("sweeps.engines", "sweeps.launch", "sweeps.targets", "analysis.io"),
    ),
    "sweeps.compare": (
        *("agrae_lab.runs", "sweeps.errors", "sweeps.spec", "sweeps.planning", "sweeps.execution", "sweeps.inspect"),
        *("sweeps.launch", "sweeps.targets"),
    ),
    "sweeps.__main__": ("agrae_lab.runs", "sweeps.errors", "sweeps.spec", "sweeps.launch", "sweeps.commands"),
    "sweeps.plugins": (
        "agrae_lab.runs.hydra_errors",
        "sweeps.launch",
        "sweeps.planning",
        "sweeps.spec",
        "sweeps.errors",
    ),
    "benchmarks": ("agrae_lab", "sweeps", "analysis"),
}


def modules(*packages):
    """Dotted name of every module of some packages → its path."""
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


MODULES = modules(*PACKAGES)


@cache
def parsed(path):
    return ast.parse(path.read_text())


def imported(name, path, *, deferred=True):
    """Yield the dotted name of everything that a module imports; with `deferred`, inside functions and for types too.

    `from agrae_lab import runs` counts as agrae_lab.runs, and a relative import as the absolute one.
    """
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    tree = parsed(path)
    for node in ast.walk(tree) if deferred else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def is_within(name, room):
    return name == room or name.startswith(f"{room}.")


def room_of(name):
    return max((room for room in MAY_IMPORT if is_within(name, room)), key=len)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room):
    for name, path in MODULES.items():
        if room_of(name) != room:
            continue
        ours = [used for used in imported(name, path) if used.split(".")[0] in OURS]
        # a package's own name, such as `agrae_lab` in `from agrae_lab import runs`, counts by what is taken of it
        wrong = [used for used in ours if not any(is_within(used, may) for may in (*MAY_IMPORT[room], room))]
        wrong = [used for used in wrong if room not in ("agrae_lab", "analysis", "sweeps") or is_within(used, room)]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_every_room_stands_in_the_table():
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in MODULES.values()}
    rooms = {folder for folder in folders if folder.count(".") <= 1}
    assert rooms <= set(MAY_IMPORT)
    assert all(room in folders or room in MODULES or room == "sweeps.plugins" for room in MAY_IMPORT)


def test_all_imports_are_absolute():
    for path in MODULES.values():
        nodes = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.ImportFrom)]
        assert not [node for node in nodes if node.level], path


def module_of(name):
    """Return the module that an imported name is, or is taken from; None for one of another project."""
    return name if name in MODULES else name.rpartition(".")[0] if name.rpartition(".")[0] in MODULES else None


def test_no_two_files_import_each_other():
    """A package's __init__ that collects names of its own files is left out: its files import each other directly."""
    uses = {
        name: {used for got in imported(name, path) if (used := module_of(got)) and used != name}
        for name, path in MODULES.items()
    }
    state = {}

    def visit(name, way):
        if state.get(name) == "done" or (MODULES[name].name == "__init__.py" and any(is_within(w, name) for w in way)):
            return
        assert name not in way, f"cycle: {' → '.join([*way[way.index(name) :], name])}"
        for used in sorted(uses[name]):
            visit(used, [*way, name])
        state[name] = "done"

    for name in MODULES:
        visit(name, [])


def test_only_training_imports_trl():
    users = {
        room_of(name) for name, path in MODULES.items() if "trl" in {n.split(".")[0] for n in imported(name, path)}
    }
    assert users - {"benchmarks"} == {"agrae_lab.training"}


HEAVY = {
    "agrae_lab.advantages": ["transformers", "trl", "hydra", "pandas", "pyarrow", "matplotlib", "numpy.testing"],
    "agrae_lab.train": ["trl", "transformers", "datasets"],
    "agrae_lab.runs": ["torch", "pandas", "pyarrow", "transformers"],
    "sweeps.__main__": ["torch", "scipy", "pandas", "optuna", "matplotlib"],
    "analysis.__main__": ["torch", "trl", "transformers", "vllm", "wandb"],
}


@pytest.mark.parametrize(
    "modules", [("agrae_lab.advantages", "agrae_lab.train"), ("agrae_lab.runs", "sweeps.__main__", "analysis.__main__")]
)
def test_light_rooms_stay_light(modules):
    """One process imports several, the lightest first, and looks after each: a module before it can hide nothing."""
    code = "import importlib, json, sys\nfor module, heavy in json.loads(sys.argv[1]):\n"
    code += "    importlib.import_module(module)\n    print(module, [name for name in heavy if name in sys.modules])"
    words = json.dumps([(module, HEAVY[module]) for module in modules])
    result = subprocess.run([sys.executable, "-c", code, words], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [f"{module} []" for module in modules]
