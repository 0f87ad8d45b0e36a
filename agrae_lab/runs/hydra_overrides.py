"""Overrides of a command line, rewritten where Hydra's reading differs from this project's."""

from __future__ import annotations

import re
from collections.abc import Sequence

SLOTS = ("base", "sample", "group", "token", "match")  # of an estimator (agrae_lab.advantages)

_LINK = re.compile(rf"(advantage\.(?:{'|'.join(SLOTS)}))=(\{{.*\}})", re.DOTALL)
_LINK_FIELD = re.compile(rf"(advantage\.(?:{'|'.join(SLOTS)}))\.(\w+)=.*", re.DOTALL)
_SLOT = re.compile(rf"(?P<sign>\+{{0,2}})advantage[./](?P<slot>{'|'.join(SLOTS)})=(?P<value>.*)", re.DOTALL)
_LIST = re.compile(r"\[([^\[\]{}]*)\]")
_NAMES_LINK = re.compile(r"[{,]\s*(?:_target_|name)\s*:")
_DOTTED = re.compile(r"\w+(?:\.\w+)+=")


def is_whole_link(key: str, value: object) -> bool:
    """Return True if key and value stand for a link with all its settings, so that the value replaces the section."""
    slots = {f"advantage.{slot}" for slot in SLOTS}
    return key in slots and isinstance(value, dict) and bool({"_target_", "name"} & value.keys())


def with_chains(override: str) -> str:
    """Return `advantage/sample=focal+dynamic` for `advantage.sample=[focal,dynamic]`; any other override as it is.

    Hydra would merge two choices of a group into one link, and no list into a section. In a sweep, each list among the
    values is one choice.

    Raises:
        ValueError: a list with settings in it.
    """
    match = _SLOT.fullmatch(override)
    if match is None or "[" not in match["value"] or match["value"].startswith("{"):
        return override
    slot = match["slot"]
    if "{" in match["value"]:
        raise ValueError(
            f"advantage.{slot} takes names of links, and their settings apart: advantage/{slot}=focal+my_file:MyWeight "
            f"advantage.{slot}.focal.gamma=1, got {match['value']}"
        )
    chosen = _LIST.sub(lambda names: "+".join(name.strip(" '\"") for name in names[1].split(",")), match["value"])
    return f"advantage/{slot}={chosen}"


def for_hydra(words: Sequence[str]) -> list[str]:
    """Return overrides for Hydra: `+method=` without plus, links of the user's own as Hydra accepts them, and chains.

    `advantage.base={_target_: my_file:Mine, tau: 0.1}` replaces the link: Hydra would keep the settings of the link
    before, and refuse `tau`, which that one lacks. `advantage.base.tau=0.1` beside a `_target_` sets its field.

    Raises:
        ValueError: as `with_chains`.
    """
    words = [with_chains(word) for word in words]
    own = {found[1] for word in words if (found := _LINK_FIELD.fullmatch(word)) and found[2] == "_target_"}
    rewritten: list[str] = []
    for word in words:
        if (found := _LINK.fullmatch(word)) and _NAMES_LINK.search(found[2]):
            own.add(found[1])
            rewritten += [f"~{found[1]}", f"+{word}"]
        elif (found := _LINK_FIELD.fullmatch(word)) and found[1] in own:
            rewritten.append(f"++{word}")
        else:
            rewritten.append(word.removeprefix("+") if word.startswith("+method=") else word)
    return rewritten


def for_multirun(words: Sequence[str]) -> list[str]:
    """Return the words of a multirun with -m first, and settings as sweeps of one value.

    Hydra's parser accepts overrides on one side of -m only, and it applies settings to the default method before any
    sweep: `advantage=a_grae,grpo_lead advantage.group.alpha=0.5` would end in its own error. A sweep of one value is
    left to the sweeper, which composes whole cells.

    Raises:
        ValueError: as `with_chains`.
    """
    flags = [word for word in words if word in ("-m", "--multirun")]
    if not flags:
        return for_hydra(words)
    return [*flags, *(_one_value_sweep(with_chains(word)) for word in words if word not in flags)]


def _one_value_sweep(word: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    if not _DOTTED.match(word) or word.startswith("hydra."):
        return word.removeprefix("+") if word.startswith("+method=") else word
    key, _, value = word.partition("=")
    sweep = f"{key}=choice({value})"
    try:
        (before,), (after,) = (OverridesParser.create().parse_overrides([text]) for text in (word, sweep))
    except OverrideParseException:
        return word
    return word if before.is_sweep_override() or not after.is_sweep_override() else sweep
