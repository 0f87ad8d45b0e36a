"""Discovery of figures and tables in a folder, and their making: a broken one costs itself alone."""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from analysis.presentation.render import Rendered


@dataclass(frozen=True)
class Broken:
    """A figure or table that cannot be used; `reason` is one sentence for its author."""

    NAME: str
    reason: str
    QUESTION: str = ""


def discover(package: ModuleType, required: Sequence[str], *, several: str = "") -> list[Any]:
    """Return what the files of a package declare, by NAME; files that start with an underscore declare nothing.

    Args:
        required: names that a figure or table must have; without one it becomes a Broken.
        several: name of a tuple by which a file declares several.
    """
    found: list[Any] = []
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_"):
            continue
        file = f"{package.__name__.replace('.', '/')}/{info.name}.py"
        try:
            module = importlib.import_module(f"{package.__name__}.{info.name}")
        except Exception as error:  # a user's file may raise anything
            found.append(Broken(info.name, f"{file} cannot be imported: {_words(error)}"))
            continue
        for entry in getattr(module, several, (module,)) if several else (module,):
            missing = [name for name in required if not hasattr(entry, name)]
            fault = f"{file} has no {' and no '.join(missing)}; add it"
            found.append(Broken(str(getattr(entry, "NAME", info.name)), fault) if missing else entry)
    return sorted(found, key=lambda entry: entry.NAME)


def find(found: Iterable[Any], name: str) -> Any:
    """Return the figure or table with this NAME."""
    return next(entry for entry in found if name == entry.NAME)


def make(drawable: Any, render: Callable[[Any], Rendered]) -> Rendered:
    """Return the outcome of one figure or table; an error in its file is the reason for the lack of it."""
    if isinstance(drawable, Broken):
        return Rendered(drawable.NAME, drawable.QUESTION, reason=drawable.reason, refused=True)
    try:
        return render(drawable)
    except Exception as error:  # a user's file may raise anything
        reason = f"{_place(error)} raises {_words(error)}; correct that file"
        return Rendered(drawable.NAME, drawable.QUESTION, reason=reason, refused=True)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"


def _place(error: Exception) -> str:
    """Return the innermost line of a figure or table in the error's traceback, such as analysis/figures/mine.py:12."""
    frames = traceback.extract_tb(error.__traceback__)
    rooms = ("/analysis/figures/", "/analysis/tables/")
    ours = [frame for frame in frames if any(room in frame.filename for room in rooms)]
    own = [frame for frame in ours if "/_" not in frame.filename]  # not the helpers that several share
    frame = (own or ours or frames)[-1]
    return f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno}"
