"""Link classes, and other objects, in files of the user, outside the package."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any


def load_class(target: str) -> type:
    """Return the class at `my_file:MyEstimator`, `my_file.MyEstimator` or `path/to/my_file.py:MyEstimator`.

    A module may also lie in the current directory. A class without a `name` gets its own in snake_case.

    Raises:
        ValueError: no such module or class, a module that cannot be imported, or a class that is no frozen dataclass.
    """
    cls = load_object(target, "class", "my_file:MyEstimator", lambda value: isinstance(value, type))
    if not is_link_class(cls):
        raise ValueError(f"{target}: an estimator is a frozen dataclass; write @dataclass(frozen=True) above the class")
    if not any("__call__" in vars(base) for base in cls.__mro__):
        raise ValueError(f"{target} is no estimator: it has no method __call__(self, rewards_PG, context); write one")
    return named(cls)


def load_object(target: str, kind: str, example: str, is_kind: Callable[[Any], bool]) -> Any:
    """Return what a user's module or file calls by a name: `my_file:NAME`, `my_file.NAME` or `path/to/my_file.py:NAME`.

    A module may also lie in the current directory.

    Args:
        kind: the wanted kind of object in words, and is_kind its test.
        example: a target in messages.

    Raises:
        ValueError: no such module or name, or a module that cannot be imported.
    """
    place, name = _split(target)
    if not place:
        raise ValueError(f"{target!r} names no {kind}; write {example}")
    module = _load(place)
    found = getattr(module, name, None)
    if not is_kind(found):
        own = [key for key, value in vars(module).items() if is_kind(value) and _is_own(value, module)]
        near = difflib.get_close_matches(name, own, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"{place} has no {kind} {name}; {hint}it has {', '.join(own) or 'none'}")
    return found


def file_of(target: str) -> Path:
    """Return the file in which `load_object` looks for its target."""
    return Path(str(_load(_split(target)[0]).__file__)).resolve()


def _split(target: str) -> tuple[str, str]:
    place, _, name = target.rpartition(":" if ":" in target else ".")
    return place, name


def _load(place: str) -> ModuleType:
    return _load_file(Path(place).resolve()) if place.endswith(".py") else _load_module(place)


def _is_own(value: Any, module: ModuleType) -> bool:
    """Return False for a class that the module has imported."""
    return not isinstance(value, type) or value.__module__ == module.__name__


def named(cls: type) -> type:
    """Return the class with a `name` of its own: its class name in snake_case, unless it defines one."""
    if "name" not in vars(cls):
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()  # type: ignore[attr-defined]
    return cls


def is_link_class(cls: type) -> bool:
    """Return True for a frozen dataclass."""
    return dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


def source_fingerprint(cls: type) -> str:
    """Return 12 hex digits of the file that defines a class."""
    return hashlib.sha256(Path(inspect.getsourcefile(cls)).read_bytes()).hexdigest()[:12]  # type: ignore[arg-type]


def _load_module(name: str) -> ModuleType:
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            near = difflib.get_close_matches(name, [path.stem for path in Path(here).glob("*.py")], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"there is no module {name}, neither installed nor in {here}{hint}") from error
        raise ValueError(f"module {name} cannot be imported: {error}") from error
    except Exception as error:
        raise ValueError(f"module {name} cannot be imported: {type(error).__name__}: {error}") from error


@cache  # one file, one class: links of the same class and settings are equal
def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"  # that of no other module
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and their annotations look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
