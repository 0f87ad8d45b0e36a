"""Losses: TRL's arguments behind each name of `loss.name`, the keys that each uses, and the rules between the keys.

The files of conf/loss hold each paper's settings, with one sentence on the difference from GRPO.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LossKind:
    """Average and ratio of a loss.

    trl_type: TRL's `loss_type`.
    needs: keys of the section `loss` that it must have.
    takes: keys of the section `loss` that it may have. It ignores the other LOSS_KEYS.
    sequence_ratio: the probability ratio is one of a whole completion, the geometric mean over its tokens.
    own_tokens: a sum over tokens is divided by the tokens of its own update, not by an equal share of the step's.
    """

    trl_type: str
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    sequence_ratio: bool = False
    own_tokens: bool = False


_CLIPS = ("clip_low", "clip_high")
_VESPO = ("k_positive", "lambda_positive", "k_negative", "lambda_negative")

LOSSES: dict[str, LossKind] = {
    "grpo": LossKind("grpo", _CLIPS, ("delta",)),
    "dapo": LossKind("dapo", _CLIPS, ("delta",)),
    "dr_grpo": LossKind("dr_grpo", _CLIPS, ("delta",)),
    # TRL's own "bnpo" averages over one pass, so that hardware.per_device_batch_size would change the weights.
    "bnpo": LossKind("dapo", _CLIPS, ("delta",), own_tokens=True),
    "gspo": LossKind("grpo", _CLIPS, ("delta",), sequence_ratio=True),
    "luspo": LossKind("luspo", _CLIPS, ("delta",), sequence_ratio=True),
    "cispo": LossKind("cispo", ("clip_high",)),
    "sapo": LossKind("sapo", ("tau_positive", "tau_negative")),
    "vespo": LossKind("vespo", _VESPO),
}

# Keys that some losses use and others ignore.
LOSS_KEYS = tuple(dict.fromkeys(key for kind in LOSSES.values() for key in (*kind.needs, *kind.takes)))
# Keys of every loss, with the value that means "off". Freezing removes it, so that off has one spelling.
_OFF = {"mask_truncated": False, "top_entropy_quantile": 1.0, "kl_estimator": "k3_weighted"}
# Keys that change a loss and are set in no file of conf/loss.
MODIFIERS = (
    *("delta", "kl_estimator", "mask_truncated", "top_entropy_quantile"),
    *("entropy_coefficient", "entropy_target", "entropy_step"),
)


def checked(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section `loss` without keys that are off.

    Raises:
        ValueError: a key that the loss needs is missing, a key would have no effect, or two keys contradict each other.
    """
    section = {key: value for key, value in section.items() if value != _OFF.get(key)}
    name, kind = section["name"], LOSSES[section["name"]]
    for key in kind.needs:
        if key not in section:
            raise ValueError(f"loss.{key} is missing from the config: loss.name = {name} needs it")
    for key in LOSS_KEYS:
        if key in section and key not in (*kind.needs, *kind.takes):
            users = ", ".join(
                other for other, other_kind in LOSSES.items() if key in (*other_kind.needs, *other_kind.takes)
            )
            raise ValueError(
                f"loss.{key} = {section[key]} would have no effect: loss.name = {name} does not use it, which is "
                f"used by {users}. Set loss.{key}=null or choose another loss"
            )
    _check_pairs(section)
    return section


def _check_pairs(section: Mapping[str, Any]) -> None:
    delta, high = section.get("delta"), section.get("clip_high")
    if delta is not None and high is not None and delta <= 1 + high:
        raise ValueError(
            f"loss.delta = {delta} must be above 1 + loss.clip_high = {1 + high:g}: it bounds the ratio of tokens with "
            "a negative advantage, which the clip leaves alone"
        )
    if "kl_estimator" in section and not section["kl_coefficient"]:
        raise ValueError(
            f"loss.kl_estimator = {section['kl_estimator']} would have no effect with loss.kl_coefficient = 0. "
            "Set loss.kl_coefficient, or loss.kl_estimator=null"
        )
    if "entropy_step" in section and "entropy_target" not in section:
        raise ValueError(
            f"loss.entropy_step = {section['entropy_step']} would have no effect without loss.entropy_target: it moves "
            "the weight of an adaptive bonus. Set loss.entropy_target, or loss.entropy_step=null"
        )
    if "top_entropy_quantile" in section and has_entropy_bonus(section):
        raise ValueError(
            "loss.top_entropy_quantile cannot be combined with loss.entropy_coefficient or loss.entropy_target: TRL "
            "would give the bonus to the kept tokens of each process apart. Set one of them to null"
        )


def has_entropy_bonus(section: Mapping[str, Any]) -> bool:
    """Return whether a section `loss` rewards the policy's entropy."""
    return section.get("entropy_coefficient") is not None or section.get("entropy_target") is not None


def loss_label(section: Mapping[str, Any]) -> list[str]:
    """Return the words that tell a checked section's loss from plain GRPO's, fit for a file name."""
    name, changes = section["name"], {key: section[key] for key in MODIFIERS if key in section}
    words = [key if value is True else f"{key}={value}" for key, value in changes.items()]
    return [name, *words] if name != "grpo" else words
