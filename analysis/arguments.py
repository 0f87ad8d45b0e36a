"""Parser of the words of `python -m analysis`. A bad word raises UsageError with one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agrae_lab.runs import Experiment, list_experiments, run_dirs
from agrae_lab.runs.suggestions import close_match
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
    """Command that cannot be carried out. The message names the fault and the remedy."""


@dataclass(frozen=True)
class Request:
    """Runs to analyse, settings of the analysis, and folder of the results."""

    root: Path
    experiments: tuple[Experiment, ...]  # to draw
    everything: tuple[Experiment, ...]  # to judge together
    out: Path
    view: View
    formats: tuple[str, ...] = ()


def read_words(words: Sequence[str]) -> dict[str, str]:
    """Return `key=value` words as a dict. A flag is a key with an empty value.

    Raises:
        UsageError: a word has another form, a key or flag is unknown, or a key is given twice.
    """
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        known = list(dict.fromkeys((*KEYS, *SIMULATION_KEYS)))
        if is_flag := word.startswith("-"):
            known = list(FLAGS)
            if key in known and equals:
                raise UsageError(f"cannot read {word!r}: {key} takes no value; give {key}, or leave it out")
        if key not in known or not (equals or is_flag):
            hint = " ".join(filter(None, (close_match(key, known), f"give {FORMS}")))
            raise UsageError(f"cannot read {word!r}; {hint}")
        if not value and not is_flag:
            raise UsageError(f"cannot read {word!r}: it has no value; give {FORMS}")
        if key in given:
            raise UsageError(f"{key} is given twice; leave one out")
        given[key] = value
    return given


def parse(given: Mapping[str, str]) -> Request:
    """Return the request that the words describe.

    Raises:
        UsageError: there are no runs, no such root or experiment, or an option has an invalid value.
        RunError: an experiment file cannot be read.
    """
    if "runs" not in given:
        raise UsageError("runs= is missing; name the folder of the runs: python -m analysis runs=<root>")
    root, view = Path(given["runs"]), _view(given)
    if not root.is_dir():
        raise UsageError(f"runs={root}: there is no such directory; name the root that the runs were written to")
    everything = tuple(list_experiments(root)) or _one_of_all_runs(root)
    if not everything:
        raise UsageError(f"runs={root}: it holds no runs and lists no experiments; name the root of some runs")
    experiments = everything
    if (name := given.get("experiment")) is not None:
        names = [experiment.name for experiment in everything]
        experiments = tuple(experiment for experiment in everything if experiment.name == name)
        if not experiments:
            hint = " ".join(filter(None, (close_match(name, names), f"choose from {', '.join(names)}")))
            raise UsageError(f"experiment={name}: {root} has no such experiment; {hint}")
    out = Path(given.get("out", root / "figures"))
    return Request(root, experiments, everything, out, view, formats(given))


def _one_of_all_runs(root: Path) -> tuple[Experiment, ...]:
    """Return one experiment with all runs of a root that names none; load_study names those it cannot read."""
    keys = tuple(f"{path.parent.name}/{path.name}" for path in run_dirs(root))
    return (Experiment("all_runs", "How do these runs compare?", keys),) if keys else ()


def formats(given: Mapping[str, str], default: str = "") -> tuple[str, ...]:
    """Return the file formats of figures beside SVG, which is always written.

    Raises:
        UsageError: a format is unknown.
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
            raise UsageError(f"smooth={smooth}: a centred window is odd; choose {smooth - 1} or {smooth + 1}")
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
