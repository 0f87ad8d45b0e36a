"""Overrides as the user may write them, in the words that Hydra reads."""

from __future__ import annotations

import re

_SLOT = re.compile(r"(?P<sign>\+{0,2})advantage[./](?P<slot>base|sample|group|token|match)=(?P<value>.*)", re.DOTALL)
_LIST = re.compile(r"\[([^\[\]{}]*)\]")


def hydra_word(override: str) -> str:
    """Return an override as Hydra reads it: `+method=` is `method=`, a list of links the choice of a chain.

    Raises:
        ValueError: as `with_chains`.
    """
    return with_chains(override.removeprefix("+") if override.startswith("+method=") else override)


def with_chains(override: str) -> str:
    """Return `advantage/sample=focal+dynamic` for `advantage.sample=[focal,dynamic]`; any other override as it is.

    Hydra would merge two choices of a group into one link, and no list into a section. In a sweep, each list among the
    values is one choice.

    Raises:
        ValueError: a list with settings in it.
    """
    match = _SLOT.fullmatch(override)
    if match is None or "[" not in match["value"]:
        return override
    slot = match["slot"]
    if "{" in match["value"]:
        raise ValueError(
            f"advantage.{slot} takes names of links, and their settings apart: advantage/{slot}=focal+my_file:MyWeight "
            f"advantage.{slot}.focal.gamma=1, got {match['value']}"
        )
    chosen = _LIST.sub(lambda names: "+".join(name.strip(" '\"") for name in names[1].split(",")), match["value"])
    return f"advantage/{slot}={chosen}"
