"""Send all recorded metrics of runs to Weights & Biases or TensorBoard.

agrae-lab track push runs/mine/grpo-1a2b3c4d/seed-0                        as each run's own `tracking` says
agrae-lab track push runs/mine/*/seed-* tracking=wandb tracking.mode=online

For runs whose mirror failed, or that had none. W&B keeps the steps that it has already; TensorBoard replaces them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from agrae_lab.runs import Run, RunError, read_run, split_words
from agrae_lab.runs.suggestions import close_match
from agrae_lab.training.tracking import make_mirror

KEYS = ("tracking", "tracking.mode", "tracking.project")
DEFAULTS = {"project": "agrae_lab", "mode": "offline"}


def push(words: Sequence[str]) -> int:
    """Send runs, and return the exit code: 0 all sent, 1 some failed.

    Raises:
        RunError: a bad word or run; nothing is sent.
    """
    places, given = split_words(words)
    settings = {key: value for key, _, value in (word.partition("=") for word in given)}
    for key in settings:
        if key not in KEYS:
            raise RunError(f"{key}: not a key of this command; {close_match(key, KEYS) or 'it has ' + ', '.join(KEYS)}")
    found = [_with_tracking(read_run(word), settings) for word in places]
    if not found:
        raise RunError("track push: name at least one run directory")
    failed = 0
    for run in found:
        mirror = make_mirror(run)
        assert mirror is not None
        mirror.push()
        sent = mirror.finish()
        failed += not sent
        print(f"{run.key}: {'sent to' if sent else 'could not be sent to'} {mirror.name}")
    return 1 if failed else 0


def _with_tracking(run: Run, settings: dict[str, str]) -> Run:
    """Return the run with its tracking settings, of which the command line's replace the run's own.

    Raises:
        RunError: the result is neither wandb nor tensorboard.
    """
    own = run.config.get("tracking") or {}
    name = settings.get("tracking", own.get("name", "none"))
    if name not in ("wandb", "tensorboard"):
        raise RunError(f"{run.path}: tracking={name} sends nothing; add tracking=wandb or tracking=tensorboard")
    chosen = {key.partition(".")[2]: value for key, value in settings.items() if "." in key}
    return replace(run, config={**run.config, "tracking": {**DEFAULTS, **own, "name": name, **chosen}})


def main() -> int:
    """Carry out the command line."""
    words = sys.argv[1:]
    if not words or words[0] != "push" or {"-h", "--help"} & set(words):
        print(__doc__)
        return 0 if {"-h", "--help"} & set(words) else 2
    try:
        return push(words[1:])
    except RunError as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
