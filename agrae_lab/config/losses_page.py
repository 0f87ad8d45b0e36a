"""Page of all losses, docs/losses.md, from the files of conf/loss.

python -m agrae_lab.config.losses_page        write docs/losses.md
"""

from __future__ import annotations

from pathlib import Path

import yaml

from agrae_lab.config.frozen import CONF_DIR
from agrae_lab.config.losses import LOSSES, MODIFIERS
from agrae_lab.config.schema import RULES

PAGE = CONF_DIR.parent / "docs" / "losses.md"

_INTRODUCTION = """\
<!-- Written by `python -m agrae_lab.config.losses_page` from conf/loss; a test holds it to that. -->
# Losses

`loss=<name>` sets the probability ratio ρ, what bounds it, and how tokens are averaged; the advantage is another
choice, and every pair of them trains. On policy, in the first of a step's updates, all losses are one policy gradient
up to the average: they part where `train.num_minibatches` is above 1. TRL computes them, and
`tests/training/test_losses.py` compares the trainer's gradient with a formula of our own for each.

```bash
python -m agrae_lab.train loss=gspo
python -m agrae_lab.train -m +experiment=loss_by_advantage     # every loss under GRPO's advantage and A-GRAE's
```

| `loss=` | what differs from `grpo` | source | settings |
|---|---|---|---|
"""

_KEYS = """
## Keys

A key that the chosen loss ignores is refused. Those of the table above, and for every loss:

| key | meaning |
|---|---|
"""

_NOTES = """
A key that is set here is part of the arm's name, as in `grpo+delta=4.0`, and of the run's identity.

- **`mask_truncated`** acts on the loss alone: advantages, p, ω, lengths and rollouts are of all completions that were
  sampled, the truncated ones included (`truncated` in the rollouts says which they are).
- **`top_entropy_quantile`** is a quantile over the tokens of one forward pass, as in TRL; a pass must then be a whole
  mini-batch, and `hardware.per_device_batch_size` is refused otherwise.
- **`entropy_coefficient`** and **`bnpo`** are means over the tokens of a whole update on all processes. TRL takes them
  over each pass, which would make the weights depend on the machine.
- **`entropy_target`** makes the bonus adaptive (Skywork-OR1, arXiv 2505.22312): after each update its weight, at first
  `entropy_coefficient` or 0, grows by `entropy_step` if the entropy is at or below the target, and shrinks otherwise.
  Metrics record it as `entropy_coefficient`.
- **`delta`** is INTELLECT-2's (arXiv 2505.07291, which takes 4), **`top_entropy_quantile`** that of arXiv 2506.01939,
  which takes 0.2.

## Length

DAPO has two remedies for completions that are too long (arXiv 2503.14476, section 3.4). The second is a reward
component, not a loss; it goes with every loss and advantage.

| setting | what differs from `grpo` |
|---|---|
| `loss.mask_truncated=true` | The overlong filter: the loss leaves completions without an end token out. |
| `train.overlong_share=0.2` | The soft overlong penalty: the reward falls over the last fifth of the tokens allowed. |

The penalty of a completion y is DAPO's equation 13, computed by TRL's `get_soft_overlong_punishment`, with L_max =
`train.max_completion_length` and L_cache = `train.overlong_share` · L_max in whole tokens:

    R(y) = 0 if |y| ≤ L_max − L_cache;  ((L_max − L_cache) − |y|) / L_cache up to L_max, where it is −1

The reward is the verifier's plus `train.overlong_weight` (1 if not set) times R. DAPO's rewards are 1 and −1 with a
weight of 1. Ours are 1 and 0, so a weight of 0.5 gives DAPO's advantages: an advantage that divides by the standard
deviation does not see shift and scale. `method=dapo_resampled_overlong` sets it so.

R is a reward component of its own: `reward_overlong` in the rollouts and its mean `mean_overlong` in the metrics are
without the weight, `reward` and `mean_reward` with it. `correct`, p and ω stay the verifier's, in the records and for
the estimator, and dynamic sampling chooses its groups by them. A group that is all correct or all incorrect may then
have advantages, by its lengths. `task.reward=constant` beside it is a control: training sees the penalty alone.
"""


def markdown() -> str:
    """Return the page."""
    rows = "".join(_row(name) for name in LOSSES)
    keys = "".join(f"| `loss.{key}` | {RULES[f'loss.{key}'].help_text} |\n" for key in ("kl_coefficient", *MODIFIERS))
    return _INTRODUCTION + rows + _KEYS + keys + _NOTES


def _row(name: str) -> str:
    """Return a loss's row of the table: the first two comments of its file, and its settings."""
    text = (CONF_DIR / "loss" / f"{name}.yaml").read_text(encoding="utf-8")
    difference, source = (line.removeprefix("# ") for line in text.splitlines()[:2])
    settings = {key: value for key, value in yaml.safe_load(text).items() if key not in ("name", "kl_coefficient")}
    values = ", ".join(f"{key} {value:g}" for key, value in settings.items())
    cells = (f"`{name}`", difference, source.removeprefix("Source: "), values)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def write(path: Path = PAGE) -> Path:
    """Write the page and return its path."""
    path.write_text(markdown(), encoding="utf-8")
    return path


if __name__ == "__main__":
    print(write())
