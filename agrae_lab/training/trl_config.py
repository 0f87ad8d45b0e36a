"""TRL's arguments for a run's config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from agrae_lab.config.losses import LOSSES
from agrae_lab.models.load import load_config
from agrae_lab.models.vision import reads_images
from agrae_lab.training.devices import divide_minibatch, runs_on_cpu, uses_checkpointing
from agrae_lab.training.vllm_colocate import vllm_arguments

# Key of the section `loss` → TRL's argument.
_TRL_NAMES = {
    "clip_low": "epsilon",
    "delta": "delta",
    "tau_positive": "sapo_temperature_pos",
    "tau_negative": "sapo_temperature_neg",
    "k_positive": "vespo_k_pos",
    "lambda_positive": "vespo_lambda_pos",
    "k_negative": "vespo_k_neg",
    "lambda_negative": "vespo_lambda_neg",
    "top_entropy_quantile": "top_entropy_quantile",
    "entropy_coefficient": "entropy_coef",
    "entropy_target": "entropy_target",
    "entropy_step": "entropy_coef_delta",
}


def trl_config(config: dict[str, Any], checkpoints: Path) -> GRPOConfig:
    """Return TRL's arguments for a run's config.

    TRL counts optimizer updates where we count generation batches; a generation batch is `num_minibatches` updates of
    `gradient_accumulation_steps` forward passes each. Checkpoints fall between generation batches, since TRL cannot
    resume in the middle of one.

    With loss=dapo an update's sum over its tokens is divided by the tokens of the whole generation batch over the
    number of mini-batches, not by the update's own tokens.

    Raises:
        ValueError: the mini-batch does not divide evenly, or a quantile of entropies would depend on how it divides.
    """
    train = config["train"]
    updates = train["num_minibatches"]
    per_process, per_device = divide_minibatch(config)
    if "top_entropy_quantile" in config["loss"] and per_device < per_process:
        raise ValueError(
            f"hardware.per_device_batch_size = {per_device}: loss.top_entropy_quantile is a quantile over the tokens "
            f"of one pass, which must be the whole mini-batch, {per_process} completions on each process. Set "
            "hardware.per_device_batch_size=null"
        )
    use_cpu = runs_on_cpu(config)
    return GRPOConfig(
        output_dir=str(checkpoints),
        seed=config["seed"],
        data_seed=config["seed"],
        use_cpu=use_cpu,
        bf16=not use_cpu and config["model"]["dtype"] == "bfloat16",
        gradient_checkpointing=uses_checkpointing(config),
        # a text model uses all its parameters, and the search takes time in every step; a vision tower may have layers
        # whose output the model does not read, and prompts without an image skip it: there TRL's default searches
        ddp_find_unused_parameters=None if reads_images(load_config(config["model"]["path"])) else False,
        max_steps=train["num_steps"] * updates,
        shuffle_dataset=train.get("prompt_order") != "listed",
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=per_process // per_device,
        steps_per_generation=updates * (per_process // per_device),
        num_generations=train["num_generations"],
        max_completion_length=train["max_completion_length"],
        temperature=train["temperature"],
        top_p=train["top_p"],
        learning_rate=train["learning_rate"],
        lr_scheduler_type=train["learning_rate_schedule"],
        weight_decay=train["weight_decay"],
        max_grad_norm=train["max_grad_norm"],
        scale_rewards="none",  # our estimator does its own scaling
        logging_steps=updates,
        logging_nan_inf_filter=False,  # a NaN must reach the trainer, which stops at it
        save_strategy="steps",
        save_steps=train["checkpoint_every"] * updates,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        **_loss_arguments(config["loss"]),
        **vllm_arguments(config),
    )


def _loss_arguments(loss: Mapping[str, Any]) -> dict[str, Any]:
    """Return TRL's arguments for a section `loss`; what the loss does not use keeps TRL's default.

    Truncated completions are masked by the trainer, since TRL's mask would also take them out of the records.
    """
    kind = LOSSES[loss["name"]]
    arguments = {
        "loss_type": kind.trl_type,
        "importance_sampling_level": "sequence" if kind.sequence_ratio else "token",
        "beta": loss["kl_coefficient"],
        "use_bias_correction_kl": loss.get("kl_estimator") != "k3",
    }
    given = {trl_name: loss[key] for key, trl_name in _TRL_NAMES.items() if key in loss}
    if "clip_high" in loss:  # TRL clips a ratio at 1 + epsilon_high, but caps CISPO's at epsilon_high itself
        given["epsilon_high"] = loss["clip_high"] + (kind.trl_type == "cispo")
    if "entropy_target" in loss:
        given["use_adaptive_entropy"] = True
    if kind.trl_type == "vespo":  # TRL's default for vLLM, a mask of whole completions, is refused with it
        given["vllm_importance_sampling_mode"] = "token_truncate"
    return arguments | given
