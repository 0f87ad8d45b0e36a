"""Fingerprints of the source files that decide a result.

A run that starts after one of them was edited is a new run. Resuming the old one is refused, with the files' names.

Training: the links of the estimator and what they import of agrae_lab.advantages, the trainer and the loss
(agrae_lab/training, without modules that only check, watch or write), the task and its verifier. Evaluation: the task
and its verifier, the random streams and the engine. Comments, docstrings and blank lines do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import io
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agrae_lab.advantages import Estimator
from agrae_lab.advantages.external import file_of
from agrae_lab.tasks import load_task, own_task

PACKAGE = Path(__file__).resolve().parents[1]
_NOT_TRAINING = (  # of agrae_lab/training: modules that check, watch or write
    "__init__",
    "checkpoints",
    "devices",
    "memory_advice",
    "planned_memory",
    "preflight",
    "recorder",
    "thumbnails",
    "tracking",
    "validation",
)


def training_code(config: Mapping[str, Any], estimator: Estimator) -> dict[str, str]:
    """Return file → 8 hex digits for all code that decides the weights; paths are relative to the package's folder."""
    found = _with_imports((_file_of(type(link)) for link in estimator.links), within="agrae_lab.advantages")
    trainer = {path for path in (PACKAGE / "training").glob("*.py") if path.stem not in _NOT_TRAINING}
    trainer |= {PACKAGE / "advantages" / "adapters" / "trl.py", PACKAGE / "config" / "losses.py"}
    if config["engine"] != "vllm":
        trainer = {path for path in trainer if not path.stem.startswith("vllm")}
    found |= trainer | _task_imports(trainer) | _task_files(config["task"]["name"], config["task"])
    if config["model"].get("lora") is not None:
        found.add(PACKAGE / "models" / "lora.py")
    return _fingerprints(found)


def evaluation_code(config: Mapping[str, Any]) -> dict[str, str]:
    """Return benchmark → 12 hex digits of the files that decide its samples and verdicts."""
    drawing = {PACKAGE / "evaluation" / name for name in ("streams.py", f"engines/{config['engine']}.py")}
    drawing |= _task_imports(drawing)
    digests = {}
    for name, benchmark in config["evaluation"]["benchmarks"].items():
        judged = _task_files(benchmark["task"], {**config["task"], "reward": None})  # a reward is for training
        files = _fingerprints(drawing | judged)
        digests[name] = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]
    return digests


def fingerprint_source(path: Path) -> str:
    """Return 8 hex digits of a Python file without comments, docstrings and blank lines."""
    stat = path.stat()
    return _fingerprint(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=512)
def _fingerprint(path: Path, mtime_ns: int, size: int) -> str:  # the last two tell an edited file from a cached one
    text = path.read_text(encoding="utf-8")
    return hashlib.sha256(_without_prose(text).encode()).hexdigest()[:8]


def _without_prose(text: str) -> str:
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    in_text: set[int] = set()  # indices of lines in a text of several lines, where blanks count
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno is not None:
            in_text |= set(range(node.lineno - 1, node.end_lineno)) if node.end_lineno > node.lineno else set()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            match node.body[0]:
                case ast.Expr(value=ast.Constant(value=str())) as first if first.end_lineno is not None:
                    if not lines[first.lineno - 1][: first.col_offset].strip():
                        prose |= set(range(first.lineno - 1, first.end_lineno))
    kept = [(i, line) for i, line in enumerate(lines) if i not in prose and (i in in_text or line.strip())]
    return "\n".join(line if i in in_text else line.rstrip() for i, line in kept)


def _task_imports(files: Iterable[Path]) -> set[Path]:
    """Return the files of agrae_lab.tasks and models.generation that the files import, directly or not."""
    names = {name for path in files for name in _imports(path)}
    wanted = [n for n in names if n.startswith("agrae_lab.tasks.") or n == "agrae_lab.models.generation"]
    return _with_imports((file for name in wanted if (file := _module_file(name))), within="agrae_lab.tasks")


def _task_files(name: str, section: Mapping[str, Any]) -> set[Path]:
    task: Any = load_task(name, section)
    judging = [task, vars(task).get("_task", task)]  # a mixture of rewards wraps the task whose verdicts it uses
    files = [_file_of(type(judge)) for judge in judging]
    if (target := section.get("_target_")) is not None and own_task(str(target)).name == name:
        files.append(file_of(str(target)))
    found = _with_imports(files, within="agrae_lab.tasks")
    verifier = set((PACKAGE / "verify").glob("*.py"))
    return found | (verifier if any("agrae_lab.verify" in _imports(path) for path in found) else set())


def _file_of(cls: type) -> Path:
    return Path(str(inspect.getsourcefile(cls))).resolve()


def _with_imports(files: Iterable[Path], *, within: str) -> set[Path]:
    """Return the files and all their imports from a package, direct or not, without its __init__."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [
                file for name in _imports(path) if name.startswith(f"{within}.") and (file := _module_file(name))
            ]
    return found


def _imports(path: Path) -> frozenset[str]:
    """Return the dotted names of a file's imports, packages of modules included."""
    return _read_imports(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=512)
def _read_imports(path: Path, mtime_ns: int) -> frozenset[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names | {name.rpartition(".")[0] for name in names})


def _module_file(name: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None


def _fingerprints(files: Iterable[Path]) -> dict[str, str]:
    root = PACKAGE.parent
    return {
        str(path.relative_to(root)) if path.is_relative_to(root) else path.name: fingerprint_source(path)
        for path in sorted(files)
    }
