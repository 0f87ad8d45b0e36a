"""Figures of one per-step metric each: entropy, correct completions, fully unsolved prompts, ω."""

from __future__ import annotations

from analysis.figures._steps import StepFigure

ENTROPY = StepFigure(
    NAME="entropy",
    QUESTION="Does the policy keep its entropy during training, or collapse?",
    PAPER="Figure 3",
    column="entropy",
    quantity="Token entropy of the sampling policy",
    axis="Entropy (nats per token)",
    definition=(
        "Token entropy: mean over all sampled tokens of the batch, in nats, from the full softmax at the sampling "
        "temperature. With dynamic sampling: of the batch that is trained on.",
    ),
)

_DROPPED = "With dynamic sampling, completions that were dropped count too (columns dropped_* of metrics.parquet)."

FIGURES = (
    ENTROPY,
    StepFigure(
        NAME="correct_counts",
        QUESTION="How many completions of a training batch are correct as training goes on?",
        PAPER="Figure 5",
        column="correct_count",
        quantity="Correct completions of each generation batch",
        axis="Correct completions",
        paired=True,
        definition=("Correct: accepted by the verifier.", "Batches differ in their prompts.", _DROPPED),
    ),
    StepFigure(
        NAME="fully_unsolved",
        QUESTION="How many prompts of a training batch does no completion solve?",
        PAPER="",
        column="fully_unsolved",
        quantity="Prompts of each generation batch without a correct completion",
        axis="Fully unsolved prompts",
        paired=True,
        definition=("The figure collapse defines a collapse; none is marked where no run collapsed.", _DROPPED),
    ),
    StepFigure(
        NAME="omega",
        QUESTION="How does ω, the training state that A-GRAE steers by, move during training?",
        PAPER="",
        column="omega",
        quantity="ω, the mean accuracy of each generation batch",
        axis="ω (mean accuracy)",
        paired=True,
        definition=(
            "ω: mean accuracy over the batch's completions that are not invalid; with rewards of 0 and 1 it is their "
            "mean reward (paper Eq. 11).",
            "It is shown for arms that do not use it, too.",
            "Batches differ in their prompts.",
            _DROPPED,
        ),
    ),
)
