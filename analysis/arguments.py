"""The words of `python -m analysis` → what is asked for. A word that cannot be carried out is one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agrae_lab.runs import Experiment, list_experiments, list_runs
from analysis import published
from analysis.io.study import View
from analysis.presentation.render import FORMATS

KEYS = ("runs", "experiment", "out", "formats", "published", "smooth", "seed")
SIMULATION_KEYS = ("simulation", "out", "formats")
FLAGS = ("--intersect",)
FORMS = (
    f"{', '.join(f'{key}=...' for key in KEYS)}, {', '.join(FLAGS)}; "
    f"or {', '.join(f'{key}=...' for key in SIMULATION_KEYS)}; or audit <table.csv>"
)


class UsageError(ValueError):
    """The command cannot be carried out; the message says what would be right."""


@dataclass(frozen=True)
class Request:
    """What to analyse, how to look at it, and where the answer goes."""

    root: Path
    experiments: tuple[Experiment, ...]  # those to draw
    everything: tuple[Experiment, ...]  # those whose runs are judged together
    out: Path
    view: View
    formats: tuple[str, ...] = ()


def read_words(words: Sequence[str]) -> dict[str, str]:
    """`key=value` words as a dict; a flag is a key with an empty value.

    Raises:
        UsageError: a word of another form, an unknown key or flag, or a key given twice.
    """
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        known = list(dict.fromkeys((*KEYS, *SIMULATION_KEYS)))
        if word.startswith("-"):
            known, equals, value = list(FLAGS), "=", ""
        if key not in known or not equals:
            raise UsageError(f"cannot read {word!r}; {_near(key, known)}give {FORMS}")
        if not value and key not in FLAGS:
            raise UsageError(f"cannot read {word!r}: it has no value; give {FORMS}")
        if key in given:
            raise UsageError(f"{key} is given twice; leave one out")
        given[key] = value
    return given


def parse(given: Mapping[str, str]) -> Request:
    """What the words ask for.

    Raises:
        UsageError: no runs, no such root or experiment, or a value that an option cannot have.
        RunError: an experiment file cannot be read.
    """
    if "runs" not in given:
        raise UsageError("say where the runs are: python -m analysis runs=<root>")
    root, view = Path(given["runs"]), _view(given)
    if not root.is_dir():
        raise UsageError(f"there is no directory {root}; runs= names the root that the runs were written to")
    everything = tuple(list_experiments(root)) or _one_of_all_runs(root)
    if not everything:
        raise UsageError(f"{root} holds no runs and lists no experiments; runs= names a root of runs")
    experiments = everything
    if (name := given.get("experiment")) is not None:
        names = [experiment.name for experiment in everything]
        experiments = tuple(experiment for experiment in everything if experiment.name == name)
        if not experiments:
            hint = _near(name, names)
            raise UsageError(f"{root} has no experiment {name!r}; {hint}choose from {', '.join(names)}")
    out = Path(given.get("out", root / "figures"))
    return Request(root, experiments, everything, out, view, formats(given))


def _one_of_all_runs(root: Path) -> tuple[Experiment, ...]:
    """Runs that were launched under no experiment's name are one: whoever put them under a root wants them compared."""
    keys = tuple(run.key for run in list_runs(root))
    return (Experiment("all_runs", "How do these runs compare?", keys),) if keys else ()


def formats(given: Mapping[str, str], default: str = "") -> tuple[str, ...]:
    """File formats of figures beside SVG, which is always written.

    Raises:
        UsageError: a format that there is not.
    """
    names = [name for name in given.get("formats", default).split(",") if name]
    if unknown := [name for name in names if name not in (*FORMATS, "svg")]:
        raise UsageError(f"formats={given['formats']}: there is no format {unknown[0]!r}; choose from svg, pdf, png")
    return tuple(name for name in names if name != "svg")


def _view(given: Mapping[str, str]) -> View:
    smooth = None
    if "smooth" in given:
        smooth = _whole(given, "smooth", low=3, unit=" of steps")
        if smooth % 2 == 0:
            raise UsageError(f"smooth={smooth}: a centred window is odd; {smooth - 1} or {smooth + 1} would do")
    if (overlay := given.get("published")) is not None:
        try:
            published.parse(overlay)
        except ValueError as error:
            raise UsageError(f"published={overlay}: {error}") from error
    seed = _whole(given, "seed", low=0) if "seed" in given else 0
    return View(intersect="--intersect" in given, smooth=smooth, published=overlay, seed=seed)


def _whole(given: Mapping[str, str], key: str, *, low: int, unit: str = "") -> int:
    text = given[key]
    if not (text.isascii() and text.isdigit() and int(text) >= low):
        raise UsageError(f"{key}={text}: must be a whole number{unit} of at least {low}")
    return int(text)


def _near(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=2)
    return f"did you mean {' or '.join(close)}? " if close else ""
