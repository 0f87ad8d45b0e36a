"""TRL's arguments for a run's config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trl import GRPOConfig

from agrae_lab.models.load import load_config
from agrae_lab.models.vision import reads_images
from agrae_lab.training.devices import divide_minibatch, runs_on_cpu, uses_checkpointing
from agrae_lab.training.vllm_colocate import vllm_arguments


def trl_config(config: dict[str, Any], checkpoints: Path) -> GRPOConfig:
    """Return TRL's arguments for a run's config.

    TRL counts optimizer updates where we count generation batches; a generation batch is `num_minibatches` updates of
    `gradient_accumulation_steps` forward passes each. Checkpoints fall between generation batches, since TRL cannot
    resume in the middle of one.

    With loss=dapo an update's sum over its tokens is divided by the tokens of the whole generation batch over the
    number of mini-batches, not by the update's own tokens.
    """
    train, loss = config["train"], config["loss"]
    updates = train["num_minibatches"]
    per_process, per_device = divide_minibatch(config)
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
        loss_type=loss["name"],
        epsilon=loss["clip_low"],
        epsilon_high=loss["clip_high"],
        beta=loss["kl_coefficient"],
        scale_rewards="none",  # our estimator does its own scaling
        logging_steps=updates,
        logging_nan_inf_filter=False,  # a NaN must reach the trainer, which stops at it
        save_strategy="steps",
        save_steps=train["checkpoint_every"] * updates,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        **vllm_arguments(config),
    )
