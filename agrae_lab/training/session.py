"""Training of one run from its directory: build the trainer, resume from the last checkpoint, save the policy.

lifecycle.py calls it and keeps lock and status; trainer.py holds the steps.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from agrae_lab.config import estimator_of
from agrae_lab.evaluation.benchmarks import policy_after
from agrae_lab.models.load import load_model
from agrae_lab.models.lora import lora_config, merge_adapter
from agrae_lab.models.memory import advise_when_out_of_memory, is_out_of_memory
from agrae_lab.runs import Run, number_in, update_meta
from agrae_lab.runs.evaluated_steps import steps_to_keep
from agrae_lab.runs.failpoints import failpoint
from agrae_lab.runs.file_lists import list_files
from agrae_lab.runs.processes import is_main
from agrae_lab.runs.saved_policies import record_saved
from agrae_lab.tasks import Problem, Task, load_task
from agrae_lab.tasks.prompts import drop_overlong
from agrae_lab.training.checkpoints import (
    MarkComplete,
    last_checkpoint,
    naming_unreadable_file,
    num_updates_before,
    remove_torn,
)
from agrae_lab.training.memory_advice import update_advice
from agrae_lab.training.overlong import OverlongPenalty
from agrae_lab.training.recorder import Recorder
from agrae_lab.training.tracking import Mirror, make_mirror
from agrae_lab.training.trainer import AdvantageTrainer
from agrae_lab.training.trl_config import trl_config
from agrae_lab.training.validation import make_validation
from agrae_lab.training.vllm_colocate import colocated_vllm_settings

# transformers loads a checkpoint of several processes to the device "cpu:0", a name that torch does not read back
torch.serialization.register_package(
    19, lambda storage: None, lambda storage, device: storage if device.startswith("cpu:") else None
)

_GLOO_SOURCE = re.compile(r"[/\\]gloo[/\\][\w./\\-]+\.(?:cc|h):\d+")  # gloo's errors begin with a line of its source

logger = logging.getLogger(__name__)


def train(
    run: Run,
    problem_sets: dict[str, list[dict[str, Any]]],
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Train the policy of a run and save it to `model/`, unless it is there.

    Args:
        on_progress: called after each step with the steps done and all steps.

    Raises:
        DivergedError: the loss, the gradient or the policy's logits are not finite.
        ConnectionError: another process of the run has ended or does not answer.
    """
    checkpoints = run.path / "checkpoints"
    if not (run.path / "model").is_dir():
        if is_main():
            remove_torn(checkpoints)
        mirror = make_mirror(run) if is_main() else None
        try:
            with _lost_process_as_connection_error(), advise_when_out_of_memory(update_advice(run.config)):
                _train(run, problem_sets, on_progress, mirror)
        finally:
            if mirror is not None:
                mirror.finish()
    if is_main():
        shutil.rmtree(checkpoints, ignore_errors=True)  # of no use beside the model


def _train(
    run: Run,
    problem_sets: dict[str, list[dict[str, Any]]],
    on_progress: Callable[[int, int], None],
    mirror: Mirror | None,
) -> None:
    num_steps, updates_per_step = (run.config["train"][key] for key in ("num_steps", "num_minibatches"))

    def after_step(row: dict[str, Any]) -> None:
        if mirror is not None:
            mirror.log(row)
        on_progress(row["step"], num_steps)

    trainer = build_trainer(run, problem_sets, on_step=after_step)
    base = run.config["model"]["path"] if run.config["model"].get("lora") is not None else None
    for step in steps_to_keep(run.config):
        path = run.policy_dir(step) / "model"
        trainer.add_callback(SavePolicy(trainer, run.path, path, step * updates_per_step, base))
    checkpoint = last_checkpoint(run.path / "checkpoints")
    steps_done = 0 if checkpoint is None else num_updates_before(checkpoint) // updates_per_step
    resume_policies(run, steps_done)
    if trainer.recorder is not None:
        trainer.recorder.resume_after(steps_done)
    is_trained = checkpoint is not None and steps_done >= num_steps  # interrupted before the model was saved
    with naming_unreadable_file(checkpoint):
        if is_trained:
            trainer._load_from_checkpoint(str(checkpoint))  # transformers would train one update too many
        else:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    save_policy(trainer, run.path, run.path / "model", base)


def resume_policies(run: Run, steps_done: int) -> None:
    """Remove the policies after `steps_done`, whose steps are trained again.

    Raises:
        RunError: evaluation.at_steps asks for a policy of a step that is done, and training did not keep it.
    """
    for step in steps_to_keep(run.config):
        if step <= steps_done:
            policy_after(run, step)
    if is_main():
        for folder in (run.path / "policies").glob("step-*"):
            if (number_in(folder) or 0) > steps_done:
                shutil.rmtree(folder)


class SavePolicy(TrainerCallback):
    """Callback that saves the policy after a step of evaluation.at_steps, given by its last update."""

    def __init__(
        self, trainer: AdvantageTrainer, run_dir: Path, path: Path, last_update: int, base: str | None
    ) -> None:
        self._trainer = trainer
        self._run_dir = run_dir
        self._path = path
        self._last_update = last_update
        self._base = base

    def on_step_end(self, args: Any, state: Any, control: Any, **unused: Any) -> None:
        """Save the policy once, after optimizer update `last_update`."""
        if state.global_step == self._last_update:
            save_policy(self._trainer, self._run_dir, self._path, self._base)


@contextmanager
def _lost_process_as_connection_error() -> Iterator[None]:
    """Turn the errors of gloo and NCCL about a lost process into a ConnectionError that names the cause."""
    try:
        yield
    except RuntimeError as error:
        is_communication = isinstance(error, torch.distributed.DistError) or _GLOO_SOURCE.search(str(error)) is not None
        if not is_communication or is_out_of_memory(error):
            raise
        raise ConnectionError(
            f"another process of this run has ended or does not answer ({str(error).splitlines()[0]}). Its own output "
            "says why; the same command resumes from the last checkpoint"
        ) from error


def build_trainer(
    run: Run,
    problem_sets: dict[str, list[dict[str, Any]]],
    *,
    on_step: Callable[[dict[str, Any]], None] = lambda row: None,
) -> AdvantageTrainer:
    """Return the trainer of a run's config."""
    config = run.config
    args = trl_config(config, run.path / "checkpoints")  # first: it tells transformers of FSDP and DeepSpeed
    lora = lora_config(config)
    # Trained weights are float32 whatever model.dtype says: at small learning rates a bfloat16 weight does not move at
    # all. Only the frozen weights under LoRA may be bfloat16.
    dtype = "bfloat16" if lora is not None and args.bf16 else "float32"
    model, processing = load_model(config["model"]["path"], dtype=dtype)
    task = load_task(config["task"]["name"], config["task"])
    kept = _drop_overlong(run, task, processing, problem_sets["train"])
    problems: dict[str, Problem] = {str(problem["id"]): problem for problem in kept}
    validate_every = config["train"]["validate_every"]
    with colocated_vllm_settings(config):
        trainer = AdvantageTrainer(
            model=model,
            processing_class=processing,
            args=args,
            peft_config=lora,
            train_dataset=Dataset.from_dict({"problem_id": list(problems)}),
            estimator=estimator_of(config),
            task=task,
            problems=problems,
            recorder=Recorder(run.path) if is_main() else None,
            validate=make_validation(config, problem_sets, model, processing) if validate_every else None,
            validate_every=validate_every,
            on_step=on_step if is_main() else None,
            sampling_rounds=config["train"].get("sampling_rounds", 1),
            skip_window=config["train"].get("skip_window", 0),
            overlong=OverlongPenalty.of_config(config),
            loss=config["loss"],
            callbacks=[MarkComplete()],
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _drop_overlong(run: Run, task: Task, processing: Any, problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the problems whose prompts are within train.max_prompt_length; count the others in meta.json."""
    limit = run.config["train"].get("max_prompt_length")
    if limit is None:
        return problems
    kept, dropped = drop_overlong(problems, task, processing, max_length=limit)
    if is_main():
        update_meta(run.path, overlong_prompts=dropped)
        if dropped:
            logger.warning(
                "train.max_prompt_length: %d of %d training prompts are longer than %d tokens. They are left out",
                *(dropped, len(problems), limit),
            )
    return kept


def save_policy(trainer: AdvantageTrainer, run_dir: Path, path: Path, base: str | None) -> None:
    """Save model and processing under a temporary name, then rename: `path` exists only when it is whole.

    Its list of files is in meta.json, by which a later attempt sees damage.

    Args:
        path: a folder in `run_dir`.
        base: the model under a LoRA adapter, which is merged into it; None without one.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    if trainer.is_fsdp_enabled:  # checkpoints may lie in shards, a policy is one whole
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(temporary))
    if trainer.accelerator.is_main_process:
        if base is not None:
            merge_adapter(temporary, base)
        point = failpoint(path)
        point.before(path)
        record_saved(run_dir, path, list_files(temporary))
        point.written(temporary, path)
        temporary.rename(path)
        point.renamed(path)
    trainer.accelerator.wait_for_everyone()
