"""Training one run from its directory: build the shared trainer, resume from the last checkpoint, save the policy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig

from agrae_lab.config import estimator_of
from agrae_lab.evaluation.sample import decode_greedily
from agrae_lab.models.load import load_model
from agrae_lab.runs import Run
from agrae_lab.tasks import Problem, load_task
from agrae_lab.training.recorder import Recorder
from agrae_lab.training.tracking import WandbMirror
from agrae_lab.training.trainer import AdvantageTrainer, TaskReward

COMPLETE = ".complete"  # written into a checkpoint last: one without it was cut off while it was being saved


def train(
    run: Run,
    problem_sets: dict[str, list[dict[str, Any]]],
    *,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Train the policy of a run and save it to `model/`, unless it is there. Returns warnings for meta.json.

    Raises:
        DivergedError: the loss or gradient is no longer finite.
    """
    if (run.path / "model").is_dir():
        return []
    config = run.config
    trainer = build_trainer(run, problem_sets, on_step=on_step)
    checkpoint = last_checkpoint(run.path / "checkpoints")
    if trainer.recorder is not None:
        trainer.recorder.resume_after(_step_of(checkpoint, config) if checkpoint else 0)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    save_policy(trainer, run.path / "model")
    return trainer.warnings


def build_trainer(
    run: Run,
    problem_sets: dict[str, list[dict[str, Any]]],
    *,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> AdvantageTrainer:
    """The shared trainer as a run's config asks for it."""
    config = run.config
    model, tokenizer = load_model(config["model"]["path"], dtype=config["model"]["dtype"])
    task = load_task(config["task"]["name"])
    problems = problem_sets["train"]
    is_main = int(os.environ.get("RANK", "0")) == 0
    mirror = WandbMirror(run) if is_main and config["tracking"]["name"] == "wandb" else None

    def after_step(row: dict[str, Any]) -> None:
        if mirror is not None:
            mirror.log(row)
        on_step(row["step"], config["train"]["num_steps"])

    trainer = AdvantageTrainer(
        model=model,
        processing_class=tokenizer,
        args=trl_config(config, run.path / "checkpoints"),
        train_dataset=Dataset.from_list([{"problem_id": str(p["id"]), "prompt": task.prompt(p)} for p in problems]),
        estimator=estimator_of(config),
        reward=TaskReward(task, {str(p["id"]): p for p in problems}),
        recorder=Recorder(run.path) if is_main else None,
        validate=_validation(config, problem_sets, tokenizer),
        validate_every=config["train"]["validate_every"],
        on_step=after_step if is_main else None,
        callbacks=[MarkComplete()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def trl_config(config: dict[str, Any], checkpoints: Path) -> GRPOConfig:
    """TRL's arguments for a run's config.

    TRL counts optimizer updates where we count generation batches; a generation batch is `num_minibatches` updates of
    `gradient_accumulation_steps` forward passes each. Checkpoints fall between generation batches, since TRL cannot
    resume in the middle of one.
    """
    train, loss, hardware = config["train"], config["loss"], config["hardware"]
    updates = train["num_minibatches"]
    minibatch = train["num_prompts"] * train["num_generations"] // updates
    per_process = minibatch // int(os.environ.get("WORLD_SIZE", "1"))
    per_device = min(hardware["per_device_batch_size"] or per_process, per_process)
    use_cpu = hardware["device"] == "cpu" or not torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(checkpoints),
        seed=config["seed"],
        data_seed=config["seed"],
        use_cpu=use_cpu,
        bf16=not use_cpu and config["model"]["dtype"] == "bfloat16",
        fp16=not use_cpu and config["model"]["dtype"] == "float16",
        gradient_checkpointing=not use_cpu,
        max_steps=train["num_steps"] * updates,
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=per_process // per_device,
        steps_per_generation=updates * (per_process // per_device),
        num_generations=train["num_generations"],
        max_completion_length=train["max_completion_length"],
        temperature=train["temperature"],
        top_p=train["top_p"],
        learning_rate=train["learning_rate"],
        lr_scheduler_type="constant",
        weight_decay=train["weight_decay"],
        max_grad_norm=train["max_grad_norm"],
        loss_type=loss["name"],
        epsilon=loss["clip_low"],
        epsilon_high=loss["clip_high"],
        beta=loss["kl_coefficient"],
        scale_rewards="none",  # our estimator does its own scaling
        logging_steps=updates,
        logging_nan_inf_filter=False,  # a NaN must be seen
        save_strategy="steps",
        save_steps=train["checkpoint_every"] * updates,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
    )


def _validation(
    config: dict[str, Any], problem_sets: dict[str, list[dict[str, Any]]], tokenizer: Any
) -> Callable[[Any], dict[str, float]]:
    """Greedy accuracy and entropy (nats a token, temperature 1) on the first benchmark. Uses no random numbers."""
    name, benchmark = next(iter(config["evaluation"]["benchmarks"].items()))
    task, problems = load_task(benchmark["task"]), problem_sets[name]
    max_new_tokens = config["evaluation"]["max_new_tokens"]

    def validate(model: Any) -> dict[str, float]:
        drawn = decode_greedily(model, tokenizer, [task.prompt(p) for p in problems], max_new_tokens=max_new_tokens)
        assert drawn.mean_entropy is not None
        num_correct = sum(_is_correct(task, text, p) for text, p in zip(drawn.texts, problems, strict=True))
        tokens = sum(drawn.num_tokens)
        entropy = sum(h * n for h, n in zip(drawn.mean_entropy, drawn.num_tokens, strict=True)) / tokens
        return {"greedy_accuracy": num_correct / len(problems), "greedy_entropy": entropy}

    return validate


def _is_correct(task: Any, text: str, problem: Problem) -> bool:
    return task.verify(text, problem).correct


class MarkComplete(TrainerCallback):
    """Marks a checkpoint once all of it is written."""

    def on_save(self, args: Any, state: Any, control: Any, **unused: Any) -> None:
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


def last_checkpoint(checkpoints: Path) -> Path | None:
    """The newest complete checkpoint; those cut off while being saved are removed."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    for path in found:
        if not (path / COMPLETE).is_file():
            shutil.rmtree(path)
    complete = [p for p in found if p.is_dir()]
    return complete[-1] if complete else None


def _step_of(checkpoint: Path, config: dict[str, Any]) -> int:
    return int(checkpoint.name.split("-")[1]) // config["train"]["num_minibatches"]


def save_policy(trainer: AdvantageTrainer, path: Path) -> None:
    """Save model and tokenizer under a temporary name, then rename: `path` exists only when it is whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    trainer.save_model(str(temporary))
    if trainer.accelerator.is_main_process:
        temporary.rename(path)
        shutil.rmtree(path.parent / "checkpoints")
    trainer.accelerator.wait_for_everyone()
